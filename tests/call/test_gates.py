"""Which audio passes."""

from __future__ import annotations

import itertools

from esl_controller.call.actions import SetGates
from esl_controller.call.gates import Gates


def test_they_are_set_when_something_changes_and_only_then() -> None:
    gates = Gates()
    assert gates.set(talking=False, music=False, secret=False) == [], "closed at first"
    assert gates.set(talking=True, music=False, secret=False) == [SetGates("open", agent=True)]
    assert gates.set(talking=True, music=False, secret=False) == []
    assert gates.set(talking=True, music=False, secret=True) == [SetGates("secret", agent=True)]
    assert gates.set(talking=True, music=True, secret=False) == [SetGates("closed", agent=True)]
    assert gates.set(talking=False, music=False, secret=False) == [SetGates("closed", agent=False)]


def test_the_caller_is_heard_in_the_clear_only_if_nothing_forbids_it() -> None:
    for talking, music, secret in itertools.product((False, True), repeat=3):
        for action in Gates().set(talking=talking, music=music, secret=secret):
            assert isinstance(action, SetGates)
            assert action.agent is talking
            assert (action.caller == "open") is (talking and not music and not secret)
            assert not (music and action.caller != "closed"), "the hold comes first"

"""Which audio passes."""

from __future__ import annotations

import itertools

from esl_controller.call.actions import SetGates
from esl_controller.call.gates import Gates


def test_they_are_set_when_something_changes_and_only_then() -> None:
    gates = Gates()
    assert gates.set(talking=False, music=False, secret=False, held=False) == [], "closed at first"
    assert gates.set(talking=True, music=False, secret=False, held=False) == [
        SetGates("open", agent=True)
    ]
    assert gates.set(talking=True, music=False, secret=False, held=False) == []
    assert gates.set(talking=True, music=False, secret=True, held=False) == [
        SetGates("silent", agent=True)
    ]
    assert gates.set(talking=True, music=True, secret=True, held=False) == [
        SetGates("closed", agent=True)
    ]
    assert gates.set(talking=False, music=False, secret=False, held=False) == [
        SetGates("closed", agent=False)
    ]


def test_the_caller_is_heard_in_the_clear_only_if_nothing_forbids_it() -> None:
    for talking, music, secret, held in itertools.product((False, True), repeat=4):
        for action in Gates().set(talking=talking, music=music, secret=secret, held=held):
            assert isinstance(action, SetGates)
            assert action.agent is talking
            expected = "silent" if secret or held else "open"
            assert action.caller == ("closed" if music or not talking else expected)

"""Whether the caller's voice silences ours."""

from __future__ import annotations

from esl_controller.call.actions import CheckSpeech, ForgetItem, Pause, StopCheck, Unpause
from esl_controller.call.turn_taking import Interruption


def test_confirmed_once() -> None:
    caller = Interruption()
    assert not caller.confirmed(), "nothing is being checked"
    assert caller.check(pause=True) == [Pause(), CheckSpeech()]
    assert caller.check(pause=True) == [], "one check at a time"
    assert caller.confirmed()
    assert caller.speaking
    assert not caller.confirmed()
    caller.silenced()
    assert caller.doubted() == []
    assert caller.stopped("u1") == [StopCheck()]
    assert not caller.speaking


def test_doubted_it_goes_on_and_is_more_careful_in_this_reply() -> None:
    caller = Interruption()
    caller.check(pause=True)
    assert caller.doubted() == [Unpause()]
    assert not caller.paused
    assert caller.stopped("u1") == [StopCheck(), ForgetItem("u1")]
    assert caller.check(pause=True) == [CheckSpeech()]
    caller.release()
    caller.new_reply()
    assert Pause() in caller.check(pause=True)


def test_over_before_a_verdict() -> None:
    caller = Interruption()
    caller.check(pause=True)
    assert caller.stopped("") == [StopCheck(), Unpause()], "without a name nothing is forgotten"
    assert caller.check(pause=True) == [CheckSpeech()]


def test_what_may_not_interrupt_is_checked_only() -> None:
    caller = Interruption()
    assert caller.check(pause=False) == [CheckSpeech()]
    assert not caller.paused
    assert caller.confirmed()


def test_a_turn_without_a_check() -> None:
    caller = Interruption()
    caller.speaking = True
    assert caller.stopped("u1") == []
    assert not caller.speaking


def test_release() -> None:
    caller = Interruption()
    assert caller.release() == []
    caller.check(pause=True)
    assert caller.release() == [StopCheck(), Unpause()]
    assert not caller.paused
    assert not caller.speaking
    assert not caller.confirmed()

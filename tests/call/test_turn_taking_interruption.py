"""Whether the caller's voice silences ours."""

from __future__ import annotations

from esl_controller.call.actions import CheckSpeech, ForgetItem, Pause, StopCheck, Unpause
from esl_controller.call.turn_taking import Interruption


def test_confirmed_once() -> None:
    interruption = Interruption()
    assert not interruption.speech_confirmed(), "nothing is being checked"
    assert interruption.sound_started(pause=True) == [Pause(), CheckSpeech()]
    assert interruption.sound_started(pause=True) == [], "one check at a time"
    assert interruption.speech_confirmed()
    assert interruption.caller_speaks
    assert not interruption.speech_confirmed()
    interruption.speech_dropped()
    assert interruption.speech_doubted() == []
    assert interruption.sound_stopped("u1") == [StopCheck()]
    assert not interruption.caller_speaks


def test_doubted_it_goes_on_and_is_more_careful_in_this_reply() -> None:
    interruption = Interruption()
    interruption.sound_started(pause=True)
    assert interruption.speech_doubted() == [Unpause()]
    assert not interruption.paused
    assert interruption.sound_stopped("u1") == [StopCheck(), ForgetItem("u1")]
    assert interruption.sound_started(pause=True) == [CheckSpeech()]
    interruption.reset()
    interruption.reply_started()
    assert Pause() in interruption.sound_started(pause=True)


def test_over_before_a_verdict() -> None:
    interruption = Interruption()
    interruption.sound_started(pause=True)
    assert interruption.sound_stopped("") == [StopCheck(), Unpause()], (
        "without a name nothing is forgotten"
    )
    assert interruption.sound_started(pause=True) == [CheckSpeech()]


def test_what_may_not_interrupt_is_checked_only() -> None:
    interruption = Interruption()
    assert interruption.sound_started(pause=False) == [CheckSpeech()]
    assert not interruption.paused
    assert interruption.speech_confirmed()


def test_a_turn_without_a_check() -> None:
    interruption = Interruption()
    interruption.caller_speaks = True
    assert interruption.sound_stopped("u1") == []
    assert not interruption.caller_speaks


def test_reset() -> None:
    interruption = Interruption()
    assert interruption.reset() == []
    interruption.sound_started(pause=True)
    assert interruption.reset() == [StopCheck(), Unpause()]
    assert not interruption.paused
    assert not interruption.caller_speaks
    assert not interruption.speech_confirmed()

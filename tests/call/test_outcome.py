"""What the record says became of a call."""

from __future__ import annotations

import pytest

from esl_controller.call import events as ev
from esl_controller.call.outcome import COMPLETED, FAILED, INTERRUPTED, MODEL_LOST, NO_AUDIO
from tests.call.parts import GONE, a_call, run, talking

ANSWERED = (ev.Arrived(False), ev.Answered())
MUTE = (ev.LaneFailed("no"), ev.FilesFailed("no"))
DEAF = (ev.StreamFailed("no", missing=True), ev.LaneFailed("no"), ev.FilesReady())


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ((ev.Arrived(False),), NO_AUDIO),
        (ANSWERED, NO_AUDIO),
        ((*ANSWERED, *MUTE), FAILED),
        ((*ANSWERED, *DEAF), FAILED),
        ((ev.Arrived(False), ev.AnswerFailed("no")), FAILED),
    ],
)
def test_a_call_without_a_conversation_is_not_completed(
    events: tuple[ev.Event, ...], outcome: str
) -> None:
    call = a_call()
    run(call, *events, ev.HungUp("NORMAL_CLEARING"))
    assert call.outcome == outcome


@pytest.mark.parametrize(
    ("events", "outcome"),
    [
        ((ev.HungUp("NORMAL_CLEARING"),), COMPLETED),
        ((ev.HungUp("MEDIA_TIMEOUT"),), NO_AUDIO),
        ((ev.LaneFailed("closed"), *MUTE[1:], ev.HungUp("NORMAL_TEMPORARY_FAILURE")), FAILED),
        ((GONE, ev.HungUp("NORMAL_CLEARING")), MODEL_LOST),
        ((ev.SwitchLost("gone"),), INTERRUPTED),
    ],
)
def test_how_a_conversation_ended(events: tuple[ev.Event, ...], outcome: str) -> None:
    call = talking()
    run(call, *events)
    assert call.outcome == outcome


def test_a_call_that_was_not_answered_in_time_is_ended_for_a_fault() -> None:
    call = a_call()
    run(call, ev.Arrived(False))
    run(call, ev.TimeUp(), now=60.0)
    run(call, ev.HungUp("NORMAL_TEMPORARY_FAILURE"), now=60.1)
    assert call.outcome == FAILED

"""A caller who waits for a model that errs."""

from __future__ import annotations

from esl_controller.call.actions import PlaySentence
from esl_controller.call.patience import SILENCE_AGAIN_S, SILENCE_S, THINKING_S, Patience
from esl_controller.call.replies import Waiting

MOMENT = [PlaySentence("moment")]


def test_the_caller_is_told_after_a_while_and_again() -> None:
    patience = Patience()
    patience.follow(Waiting.THE_MODEL, 10.0)
    patience.follow(Waiting.THE_MODEL, 11.0)
    told = 10.0 + SILENCE_S
    assert patience.deadline(silent=False) is None
    assert patience.deadline(silent=True) == told
    assert patience.time_up(told, silent=False) == [], "something is heard"
    assert patience.time_up(told - 0.1, silent=True) == []
    assert patience.time_up(told, silent=True) == MOMENT
    assert patience.deadline(silent=True) == told + SILENCE_AGAIN_S
    assert patience.time_up(told + SILENCE_AGAIN_S - 0.1, silent=True) == []
    assert patience.time_up(told + SILENCE_AGAIN_S, silent=True) == MOMENT
    patience.follow(Waiting.NOTHING, 30.0)
    assert patience.time_up(60.0, silent=True) == []


def test_a_reply_that_has_begun_may_be_thought_about() -> None:
    patience = Patience()
    patience.follow(Waiting.A_BEGINNING, 0.0)
    assert patience.deadline(silent=True) == SILENCE_S
    patience.follow(Waiting.AUDIO, 0.2)
    assert patience.deadline(silent=True) == 0.2 + THINKING_S
    patience.follow(Waiting.NOTHING, 0.8)
    assert patience.deadline(silent=True) is None


def test_a_failure_shortens_the_wait_and_asking_again_does_not_begin_it_anew() -> None:
    patience = Patience()
    patience.follow(Waiting.AUDIO, 0.0)
    patience.follow(Waiting.THE_MODEL, 0.1)
    assert patience.deadline(silent=True) == 0.1 + SILENCE_S
    patience.follow(Waiting.A_BEGINNING, 0.5)
    assert patience.deadline(silent=True) == 0.1 + SILENCE_S

"""What a conversation does by the clock."""

from __future__ import annotations

from typing import Any

from esl_controller.call.timers import (
    LAST_WORDS_S,
    LIMIT_PATIENCE_S,
    WARNING_PATIENCE_S,
    Due,
    Timers,
)
from esl_controller.secretaries.schema import Limits


def timers_of(**limits: Any) -> Timers:
    """One that began at 100 s."""
    timers = Timers(Limits(**limits))
    timers.begin(100.0)
    return timers


def test_warning_and_limit_come_once_each() -> None:
    timers = timers_of(max_call_s=60, warn_s=20)
    assert timers.deadline() == 140.0
    assert timers.pop_due(139.9) is None
    assert timers.pop_due(140.0) is Due.WARNING
    assert timers.deadline() == 140.0 + WARNING_PATIENCE_S
    assert timers.pop_due(150.0) is Due.WARNING_NOW
    assert timers.deadline() == 160.0
    assert timers.pop_due(160.0) is Due.LIMIT
    assert timers.pop_due(160.0) is None
    assert timers.deadline() is None
    assert timers_of(max_call_s=60, warn_s=0).deadline() == 160.0


def test_idle_counts_from_when_idling_began() -> None:
    timers = timers_of(idle_s=5.0)
    timers.set_idle(True, 101.0)
    timers.set_idle(True, 104.0)
    assert timers.pop_due(106.0) is Due.IDLE
    timers.set_idle(True, 107.0)
    timers.set_idle(False, 108.0)
    assert timers.pop_due(113.0) is None
    never = timers_of(idle_s=0.0)
    never.set_idle(True, 101.0)
    assert never.pop_due(1000.0) is None


def test_idle_prompts_are_counted_anew_once_the_caller_acts() -> None:
    timers = timers_of(idle_prompts=2)
    assert [timers.count_prompt() for _ in range(3)] == [True, True, False]
    timers.caller_active()
    assert timers.count_prompt()
    timers.count_turn()
    assert [timers.count_prompt() for _ in range(3)] == [True, True, False]
    assert not timers_of(idle_prompts=0).count_prompt()


def test_turns_are_counted() -> None:
    timers = timers_of(max_turns=2)
    assert [timers.count_turn() for _ in range(3)] == [False, False, True]
    assert not any(timers_of(max_turns=0).count_turn() for _ in range(100))


def test_last_words_replace_all_else_and_the_limit_comes_back() -> None:
    timers = timers_of(max_call_s=60)
    timers.set_idle(True, 100.0)
    timers.last_words(110.0)
    assert timers.deadline() == 110.0 + LAST_WORDS_S
    timers.stop()
    assert timers.deadline() is None
    timers.restart()
    assert timers.deadline() == 160.0
    assert timers.pop_due(170.0) is Due.LIMIT


def test_a_warning_close_to_the_end_has_less_patience() -> None:
    timers = timers_of(max_call_s=60, warn_s=2)
    assert timers.pop_due(158.0) is Due.WARNING
    assert timers.deadline() == 159.0


def test_the_limit_waits_once_for_a_caller() -> None:
    timers = timers_of(max_call_s=60, warn_s=0)
    assert not timers.limit_waits
    assert timers.pop_due(160.0) is Due.LIMIT
    assert timers.wait_for_caller(160.0)
    assert timers.limit_waits
    assert timers.deadline() == 160.0 + LIMIT_PATIENCE_S
    assert timers.pop_due(170.0) is Due.LIMIT
    assert not timers.wait_for_caller(170.0)
    assert not timers.limit_waits

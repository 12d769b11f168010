"""What a conversation does by the clock."""

from __future__ import annotations

from typing import Any

from esl_controller.call.timers import LAST_WORDS_S, Due, Timers
from esl_controller.secretaries.schema import Limits


def table(**limits: Any) -> Timers:
    """One that began at 100 s."""
    times = Timers(Limits(**limits))
    times.begin(100.0)
    return times


def test_warning_and_limit_come_once_each() -> None:
    times = table(max_call_s=60, warn_s=20)
    assert times.deadline() == 140.0
    assert times.next(139.9) is None
    assert times.next(140.0) is Due.WARNING
    assert times.deadline() == 160.0
    assert times.next(160.0) is Due.LIMIT
    assert times.next(160.0) is None
    assert times.deadline() is None
    assert table(max_call_s=60, warn_s=0).deadline() == 160.0


def test_idle_counts_from_when_rest_began() -> None:
    times = table(idle_s=5.0)
    times.rest(101.0, at_rest=True)
    times.rest(104.0, at_rest=True)
    assert times.next(106.0) is Due.IDLE
    times.rest(107.0, at_rest=True)
    times.rest(108.0, at_rest=False)
    assert times.next(113.0) is None
    never = table(idle_s=0.0)
    never.rest(101.0, at_rest=True)
    assert never.next(1000.0) is None


def test_prompts_begin_anew_when_the_caller_acts() -> None:
    times = table(idle_prompts=2)
    assert [times.prompt() for _ in range(3)] == [True, True, False]
    times.caller_acts()
    assert times.prompt()
    times.turn()
    assert [times.prompt() for _ in range(3)] == [True, True, False]
    assert not table(idle_prompts=0).prompt()


def test_turns_are_counted() -> None:
    times = table(max_turns=2)
    assert [times.turn() for _ in range(3)] == [False, False, True]
    assert not any(table(max_turns=0).turn() for _ in range(100))


def test_last_words_replace_all_else_and_the_limit_comes_back() -> None:
    times = table(max_call_s=60)
    times.rest(100.0, at_rest=True)
    times.last_words(110.0)
    assert times.deadline() == 110.0 + LAST_WORDS_S
    times.gone()
    assert times.deadline() is None
    times.back()
    assert times.deadline() == 160.0
    assert times.next(170.0) is Due.LIMIT

"""The line to the model."""

from __future__ import annotations

from esl_controller.call.actions import ConnectAgent, Note
from esl_controller.call.events import AgentFailed
from esl_controller.call.model_link import (
    AGAIN_S,
    AGE_S,
    GOOD_S,
    PATIENCE_S,
    REDIAL_S,
    ModelLink,
)

FAILED = AgentFailed("closed")


def ready(now: float = 0.0) -> ModelLink:
    """A line that is up since ``now``."""
    line = ModelLink()
    assert line.dial() == [ConnectAgent()]
    line.ready(now)
    return line


def fail(line: ModelLink, now: float) -> float | None:
    """Let the line fail; returns when it is called again, None if never."""
    actions = line.failed(FAILED, now)
    assert isinstance(actions[0], Note)
    if ConnectAgent() in actions:
        return now
    again = line.deadline(at_rest=False, silent=False)
    if again is not None:
        assert not line.redial_due(again - 0.01)
        assert line.redial_due(again)
        line.dial()
    return again


def test_is_called_again_at_once_and_then_more_and_more_slowly() -> None:
    line = ready()
    assert [fail(line, 1.0) for _ in range(5)] == [*(1.0 + wait for wait in REDIAL_S), None]
    assert line.lost
    assert sum(REDIAL_S) > 2.0


def test_a_permanent_failure_is_the_end() -> None:
    line = ready()
    (note,) = line.failed(AgentFailed("401", permanent=True), 1.0)
    assert note == Note("the model cannot be had, the call goes on without it", "401")
    assert line.lost


def test_the_tries_begin_anew_after_a_good_connection() -> None:
    line = ready()
    for _ in REDIAL_S:
        fail(line, 1.0)
    line.ready(2.0)
    assert fail(line, 2.0 + GOOD_S) == 2.0 + GOOD_S
    # One that fails again and again soon after it is up is none.
    for now in range(30, 30 + len(REDIAL_S) - 1):
        line.ready(now)
        fail(line, now + 0.5)
    line.ready(40.0)
    fail(line, 41.0)
    assert line.lost


def test_the_caller_is_told_after_a_while_and_again() -> None:
    line = ready()
    line.failed(FAILED, 10.0)
    line.awaited(10.0)
    line.awaited(11.0)
    told = 10.0 + PATIENCE_S
    assert line.deadline(at_rest=False, silent=False) is None
    assert line.deadline(at_rest=False, silent=True) == told
    assert not line.excuse_due(told - 0.1)
    assert line.excuse_due(told)
    assert line.deadline(at_rest=False, silent=True) == told + AGAIN_S
    assert not line.excuse_due(told + AGAIN_S - 0.1)
    assert line.excuse_due(told + AGAIN_S)
    line.ready(30.0)
    assert not line.excuse_due(60.0)


def test_nobody_misses_a_model_that_is_there() -> None:
    line = ready()
    line.awaited(1.0)
    assert line.deadline(at_rest=False, silent=True) is None


def test_is_renewed_at_rest_before_the_api_ends_it() -> None:
    line = ready(5.0)
    assert line.deadline(at_rest=False, silent=True) is None
    assert line.deadline(at_rest=True, silent=True) == 5.0 + AGE_S
    assert not line.too_old(4.0 + AGE_S)
    assert line.too_old(5.0 + AGE_S)


def test_a_renewal_has_all_its_tries() -> None:
    line = ready()
    for _ in REDIAL_S:
        fail(line, 1.0)
    line.ready(2.0)
    line.dial()
    assert fail(line, 2.0 + AGE_S) == 2.0 + AGE_S

"""The connection to the model."""

from __future__ import annotations

from esl_controller.call.actions import ConnectAgent, Note, PlaySentence
from esl_controller.call.events import AgentFailed
from esl_controller.call.model_link import (
    MAX_AGE_S,
    RECONNECT_S,
    SILENCE_AGAIN_S,
    SILENCE_S,
    STABLE_S,
    ModelLink,
)

FAILED = AgentFailed("closed")
MOMENT = [PlaySentence("moment")]


def ready(now: float = 0.0) -> ModelLink:
    """A connection that is up since ``now``."""
    link = ModelLink()
    assert link.connect() == [ConnectAgent()]
    link.ready(now)
    return link


def fail(link: ModelLink, now: float) -> float | None:
    """Let the link fail; returns when it is called again, None if never."""
    actions = link.failed(FAILED, now)
    assert isinstance(actions[0], Note)
    if ConnectAgent() in actions:
        return now
    again = link.deadline(idle=False, silent=False)
    if again is not None:
        assert link.time_up(again - 0.01, idle=False, silent=False) == []
        assert link.time_up(again, idle=False, silent=False) == [ConnectAgent()]
    return again


def test_is_called_again_at_once_and_then_more_and_more_slowly() -> None:
    link = ready()
    assert [fail(link, 1.0) for _ in range(5)] == [*(1.0 + wait for wait in RECONNECT_S), None]
    assert link.given_up
    assert sum(RECONNECT_S) > 2.0


def test_a_permanent_failure_is_the_end() -> None:
    link = ready()
    (note,) = link.failed(AgentFailed("401", permanent=True), 1.0)
    assert note == Note("the model cannot be had, the call goes on without it", "401")
    assert link.given_up


def test_the_tries_begin_anew_after_a_good_connection() -> None:
    link = ready()
    for _ in RECONNECT_S:
        fail(link, 1.0)
    link.ready(2.0)
    assert fail(link, 2.0 + STABLE_S) == 2.0 + STABLE_S
    # One that fails again and again soon after it is up is none.
    for now in range(30, 30 + len(RECONNECT_S) - 1):
        link.ready(now)
        fail(link, now + 0.5)
    link.ready(40.0)
    fail(link, 41.0)
    assert link.given_up


def test_the_caller_is_told_after_a_while_and_again() -> None:
    link = ready()
    link.failed(FAILED, 10.0)
    link.caller_waits(10.0)
    link.caller_waits(11.0)
    told = 10.0 + SILENCE_S
    assert link.deadline(idle=False, silent=False) is None
    assert link.deadline(idle=False, silent=True) == told
    assert link.time_up(told, idle=False, silent=False) == [], "something is heard"
    assert link.time_up(told - 0.1, idle=False, silent=True) == []
    assert link.time_up(told, idle=False, silent=True) == MOMENT
    assert link.deadline(idle=False, silent=True) == told + SILENCE_AGAIN_S
    assert link.time_up(told + SILENCE_AGAIN_S - 0.1, idle=False, silent=True) == []
    assert link.time_up(told + SILENCE_AGAIN_S, idle=False, silent=True) == MOMENT
    link.ready(30.0)
    assert link.time_up(60.0, idle=False, silent=True) == []


def test_nobody_misses_a_model_that_is_there() -> None:
    link = ready()
    link.caller_waits(1.0)
    assert link.deadline(idle=False, silent=True) is None


def test_is_renewed_at_rest_before_the_api_ends_it() -> None:
    link = ready(5.0)
    assert link.deadline(idle=False, silent=True) is None
    assert link.deadline(idle=True, silent=True) == 5.0 + MAX_AGE_S
    assert link.time_up(4.0 + MAX_AGE_S, idle=True, silent=True) == []
    assert link.time_up(5.0 + MAX_AGE_S, idle=False, silent=True) == [], "somebody speaks"
    assert link.time_up(5.0 + MAX_AGE_S, idle=True, silent=True) == [ConnectAgent()]


def test_a_renewal_has_all_its_tries() -> None:
    link = ready()
    for _ in RECONNECT_S:
        fail(link, 1.0)
    link.ready(2.0)
    link.connect()
    assert fail(link, 2.0 + MAX_AGE_S) == 2.0 + MAX_AGE_S

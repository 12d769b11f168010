"""The connection to the model."""

from __future__ import annotations

import pytest

from esl_controller.call.actions import ConnectAgent, Note
from esl_controller.call.agent import PATIENCE_S, Recovery
from esl_controller.call.agent_events import AgentFailed
from esl_controller.call.model_link import MAX_AGE_S, RECONNECT_S, STABLE_S, ModelLink

FAILED = AgentFailed("closed")


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
    if any(isinstance(action, ConnectAgent) for action in actions):
        return now
    again = link.deadline(idle=False)
    if again is None:
        return None
    assert link.time_up(again - 0.01, idle=False) == []
    due = link.time_up(again, idle=False)
    return again if due and isinstance(due[0], ConnectAgent) else None


def lost_after(link: ModelLink, now: float) -> float:
    """Let every connection fail at once; returns when the link gives up."""
    while not link.given_up:
        again = fail(link, now)
        now = now if again is None else again
        assert now < 100
    return now


def test_is_called_again_at_once_and_then_more_and_more_slowly() -> None:
    link = ready()
    now, waits = 1.0, []
    for _ in range(len(RECONNECT_S) + 1):
        again = fail(link, now)
        assert again is not None
        waits.append(round(again - now, 3))
        now = again
    assert waits == [*RECONNECT_S, RECONNECT_S[-1]]


def test_time_gives_it_up_not_a_number_of_tries() -> None:
    link = ready()
    assert lost_after(link, 5.0) == pytest.approx(5.0 + PATIENCE_S, abs=RECONNECT_S[-1])
    assert 10.0 <= PATIENCE_S <= 15.0


def test_a_connection_that_takes_too_long_is_not_waited_for() -> None:
    link = ready()
    assert link.failed(FAILED, 5.0)[-1] == ConnectAgent()
    assert link.deadline(idle=False) == 5.0 + PATIENCE_S
    assert link.time_up(4.9 + PATIENCE_S, idle=False) == []
    (note,) = link.time_up(5.0 + PATIENCE_S, idle=False)
    assert isinstance(note, Note)
    assert note.reason == f"not back within {PATIENCE_S:g} s; before: closed"
    assert link.given_up
    assert link.deadline(idle=False) is None


@pytest.mark.parametrize("recovery", [Recovery.NEXT_MODEL, Recovery.GIVE_UP])
def test_a_model_that_is_of_no_use_is_not_called_again(recovery: Recovery) -> None:
    link = ready()
    (note,) = link.failed(AgentFailed("401", recovery), 1.0)
    assert note == Note("the model cannot be had, the call goes on without it", "401")
    assert link.given_up


def test_the_service_says_when() -> None:
    link = ready()
    link.failed(AgentFailed("429", after_s=2.5), 1.0)
    assert link.deadline(idle=False) == 3.5
    link = ready()
    link.failed(AgentFailed("429", after_s=PATIENCE_S + 1), 1.0)
    assert link.given_up, "nobody waits so long on the telephone"


def test_a_good_connection_makes_up_for_the_failures_before_it() -> None:
    link = ready()
    fail(link, 1.0)
    fail(link, 1.0)
    link.ready(11.0)
    assert fail(link, 11.0 + STABLE_S) == 11.0 + STABLE_S


def test_one_that_fails_again_and_again_soon_after_it_is_up_is_none() -> None:
    link = ready()
    now = 50.0
    while not link.given_up:
        again = fail(link, now)
        if again is not None:
            link.ready(again + 0.1)
            now = again + 1.0
    assert 50.0 + PATIENCE_S <= now < 53.5 + PATIENCE_S


def test_is_renewed_at_rest_before_the_api_ends_it() -> None:
    link = ready(5.0)
    assert link.deadline(idle=False) is None
    assert link.deadline(idle=True) == 5.0 + MAX_AGE_S
    assert link.time_up(4.0 + MAX_AGE_S, idle=True) == []
    assert link.time_up(5.0 + MAX_AGE_S, idle=False) == [], "somebody speaks"
    assert link.time_up(5.0 + MAX_AGE_S, idle=True) == [ConnectAgent()]


def test_a_renewal_has_all_the_time() -> None:
    link = ready()
    fail(link, 1.0)
    link.ready(12.0)
    link.connect()
    assert lost_after(link, 20.0) > 20.0 + PATIENCE_S - RECONNECT_S[-1] - 0.1


# --- several models -------------------------------------------------------------------------------


def chain(models: int = 2) -> ModelLink:
    """The first of several is connected."""
    link = ModelLink(models)
    link.connect()
    link.ready(0.0)
    return link


def tried(link: ModelLink, now: float, failure: AgentFailed = FAILED) -> tuple[int, float]:
    """Let the link fail; which model is tried next, and after how long."""
    actions = link.failed(failure, now)
    if connects := [action for action in actions if isinstance(action, ConnectAgent)]:
        return connects[0].place, 0.0
    again = link.deadline(idle=False)
    assert again is not None
    (connect,) = link.time_up(again, idle=False)
    assert isinstance(connect, ConnectAgent)
    return connect.place, round(again - now, 3)


def test_one_that_breaks_is_called_once_again_and_then_the_others() -> None:
    link = chain(3)
    assert [tried(link, 10.0) for _ in range(4)] == [(0, 0.0), (1, 0.0), (2, 0.0), (0, 0.3)]
    assert [tried(link, 11.0) for _ in range(3)] == [(1, 0.0), (2, 0.0), (0, 0.6)]


def test_one_that_cannot_be_had_at_first_is_not_waited_for() -> None:
    link = ModelLink(2)
    assert link.connect() == [ConnectAgent(0)]
    assert tried(link, 0.1) == (1, 0.0)


def test_one_that_breaks_again_and_again_is_left() -> None:
    link = chain()
    assert tried(link, 10.0) == (0, 0.0)
    link.ready(10.5)
    assert tried(link, 11.0) == (1, 0.0)


def test_the_call_stays_with_the_model_that_has_it() -> None:
    link = chain()
    tried(link, 10.0)
    assert tried(link, 10.0) == (1, 0.0)
    link.ready(10.3)
    assert link.time_up(10.3 + MAX_AGE_S, idle=True) == [ConnectAgent(1)]
    link.ready(10.3 + MAX_AGE_S)
    later = 20.0 + MAX_AGE_S
    assert [tried(link, later) for _ in range(2)] == [(1, 0.0), (0, 0.0)]


@pytest.mark.parametrize("recovery", [Recovery.NEXT_MODEL, Recovery.GIVE_UP])
def test_one_that_is_of_no_use_is_not_tried_again_in_this_call(recovery: Recovery) -> None:
    link = chain()
    assert tried(link, 1.0, AgentFailed("401", recovery)) == (1, 0.0)
    assert link.failed(FAILED, 1.0)[0] == Note("the model is called again", "closed")
    (note,) = link.failed(AgentFailed("quota", recovery), 1.1)
    assert note == Note("the model cannot be had, the call goes on without it", "quota")


def test_one_that_wants_to_be_left_alone_does_not_keep_the_others_waiting() -> None:
    link = chain()
    busy = AgentFailed("429", after_s=60.0)
    assert tried(link, 10.0) == (0, 0.0)
    assert tried(link, 10.0, busy) == (1, 0.0)
    assert tried(link, 10.0) == (0, 0.3), "the connection to it says the same again"
    assert tried(link, 10.4, busy) == (1, 0.0)


def test_one_that_does_not_reply_is_replaced_and_the_last_one_given_up() -> None:
    link, silent = chain(), AgentFailed("silent", Recovery.NEXT_MODEL)
    assert link.failed(silent, 1.0) == [Note("another model is called", "silent"), ConnectAgent(1)]
    link.ready(2.0)
    assert link.failed(silent, 3.0) == [
        Note("the model cannot be had, the call goes on without it", "silent")
    ]
    assert link.given_up


def stalls(link: ModelLink) -> list[int]:
    """Every model connects and never speaks: the places of those that are called, until the call
    is given up."""
    now, places = 60.0, []
    while link.failed(FAILED, now, spoke=False) and not link.given_up:
        places.append(link.place)
        link.ready(now + 0.2)
        now += 8.2  # until the reply that is due counts as stalled
        assert now < 60.0 + 10 * PATIENCE_S
    return places


def test_models_that_connect_and_never_speak_are_left_one_after_the_other() -> None:
    assert stalls(chain(3)) == [0, 1, 2]
    assert stalls(ready()) == [0, 0]


def test_trouble_long_ago_costs_nobody_the_other_model() -> None:
    link = chain()
    assert tried(link, 50.0) == (0, 0.0)
    link.ready(50.3)
    assert tried(link, 302.0, AgentFailed("quota", Recovery.NEXT_MODEL)) == (1, 0.0)
    assert link.time_up(302.1, idle=False) == []
    assert not link.given_up


def test_a_model_that_was_not_tried_is_tried_although_the_time_is_up() -> None:
    link = chain()
    assert tried(link, 10.0) == (0, 0.0)
    late = 10.5 + PATIENCE_S
    link.ready(late - 1.0)
    assert tried(link, late) == (1, 0.0)
    assert link.time_up(late + 2.0, idle=False) == [], "it is still being connected"
    assert link.failed(FAILED, late + 3.0) == [
        Note("the model cannot be had, the call goes on without it", "closed")
    ]


def test_who_wants_to_be_left_alone_does_not_cost_the_call_the_model_that_it_had() -> None:
    link = ModelLink(2)
    link.connect()
    busy = AgentFailed("429", after_s=40.0)
    assert tried(link, 0.0, busy) == (1, 0.0)
    link.ready(0.2)
    assert tried(link, 100.0) == (1, 0.0)
    assert tried(link, 100.1) == (0, 0.0)
    assert tried(link, 100.2, busy) == (1, 0.3)


def test_what_is_given_up_is_not_called_again() -> None:
    link = ready()
    fail(link, 1.0)
    link.failed(FAILED, 1.1)
    assert link.deadline(idle=False) is not None
    link.give_up()
    assert link.deadline(idle=False) is None
    assert link.time_up(60.0, idle=False) == []


def test_several_that_are_had_and_break_again_and_again_are_given_up() -> None:
    link, now = chain(), 10.0
    while not link.given_up:
        actions = link.failed(FAILED, now)
        if not any(isinstance(action, ConnectAgent) for action in actions) and not link.given_up:
            now = link.deadline(idle=False) or now
            link.time_up(now, idle=False)
        if not link.given_up:
            link.ready(now + 0.2)
            now += 1.0
        assert now < 10.0 + 2 * PATIENCE_S
    assert now > 10.0 + PATIENCE_S / 2


def test_the_caller_has_no_more_patience_for_several_than_for_one() -> None:
    link = chain()
    assert lost_after(link, 5.0) == pytest.approx(5.0 + PATIENCE_S, abs=RECONNECT_S[-1])

"""A model that fails to reply: what is asked again, and what the caller hears meanwhile."""

from __future__ import annotations

import pytest

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent import PATIENCE_S, Recovery
from esl_controller.call.agent_events import AgentReady, SpeechStarted, SpeechStopped
from esl_controller.call.instructions import ASK_AGAIN
from esl_controller.call.patience import SILENCE_S, THINKING_S
from tests.call.world import FAREWELL, SALES, World, tool_call


def test_a_model_that_cannot_reply_counts_as_lost() -> None:
    world = World(fallback="Sales").greeted()
    world.turn()
    actions: list[do.Action] = []
    began = world.now
    while world.call.outcome != "model lost":
        if world.model == "connecting":
            actions += world.feed(AgentReady())
        actions += world.feed(world.started(), world.done(status="failed"))
        actions += world.later(1.1)
        assert world.now < began + PATIENCE_S + 5
    assert do.ConnectAgent() in actions, "another connection was never tried"
    assert actions[-1] == do.Transfer(SALES, fallback=True)
    assert world.now >= began + PATIENCE_S - 2


def test_a_reply_that_is_refused_is_asked_for_again_within_a_moment() -> None:
    world = World().greeted()
    assert world.turn() == [do.RequestReply()]
    assert world.feed(world.refused()) == []
    assert world.later(0.3) == [do.RequestReply()]
    world.reply()
    assert world.words


def test_a_reply_that_is_refused_while_the_caller_speaks_is_asked_for_afterwards() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.refused(), SpeechStarted(0, "u2"))
    assert world.later(1.0) == []
    assert world.feed(SpeechStopped(0, "u2")) == [do.RequestReply()]


def test_a_cancelled_reply_that_is_refused_is_not_asked_for_again() -> None:
    world = World().greeted()
    world.turn()
    world.feed(SpeechStarted(0, "u2"), ev.SpeechConfirmed(), world.refused())
    assert world.later(1.0) == []


def test_the_service_says_when_a_reply_may_be_asked_for_again() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.done(status="failed", after_s=1.4))
    assert world.later(1.35) == []
    assert world.later(0.1) == [do.RequestReply()]


@pytest.mark.parametrize("refused", [True, False])
def test_a_quota_that_is_used_up_is_no_reason_to_wait(refused: bool) -> None:
    world = World(fallback="Sales").greeted()
    world.turn()
    if refused:
        event = world.refused(recovery=Recovery.NEXT_MODEL)
    else:
        world.feed(world.started())
        event = world.done(status="failed", recovery=Recovery.NEXT_MODEL)
    assert world.feed(event) == [do.Transfer(SALES, fallback=True)]


def test_a_caller_whose_reply_is_refused_is_told_in_time() -> None:
    world = World().greeted()
    world.turn()
    told = None
    while told is None:
        world.feed(world.refused(after_s=0.5))
        if do.PlaySentence("moment") in world.later(0.51):
            told = world.now
    assert told < SILENCE_S + 0.6


def test_a_caller_whose_request_nobody_answers_is_told_in_time() -> None:
    world = World().greeted()
    world.turn()
    assert world.later(SILENCE_S - 0.1) == []
    assert world.later(0.2) == [do.PlaySentence("moment")]


def test_a_model_that_thinks_is_given_more_time() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started())
    assert world.later(THINKING_S - 0.1) == []
    world.feed(world.queued())
    assert world.later(5.0) == []


def test_a_model_that_begins_and_says_nothing_is_excused() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started())
    assert world.later(THINKING_S + 0.1) == [do.PlaySentence("moment")]


def test_nobody_misses_a_prompt() -> None:
    world = World().greeted()
    world.later(world.who.limits.idle_s + 0.1)
    assert world.in_flight
    assert do.PlaySentence("moment") not in world.later(5.0)


def test_a_caller_who_speaks_is_not_asked_for_patience() -> None:
    world = World().greeted()
    world.turn()
    world.feed(SpeechStarted(0, "u2"), ev.SpeechConfirmed())
    assert do.PlaySentence("moment") not in world.later(5.0)


@pytest.mark.parametrize("asked", [True, False])
def test_a_turn_that_a_new_connection_does_not_know_is_asked_for_again(asked: bool) -> None:
    world = World().greeted()
    world.turn() if asked else world.feed(SpeechStarted(0, "u1"))
    world.lose()
    assert world.feed(AgentReady(turn_lost=True)) == [do.RequestReply(ASK_AGAIN)]
    world.reply()
    assert not world.call.conversation.idle


def test_a_goodbye_is_not_held_up_by_a_turn_that_was_lost() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call"))
    world.lose()
    assert world.feed(AgentReady(turn_lost=True)) == [FAREWELL]

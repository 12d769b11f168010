"""The parts of a conversation, and a call, without a world around them."""

from __future__ import annotations

from typing import Literal

from esl_controller.call import events as ev
from esl_controller.call.actions import (
    Actions,
    ConfirmTaken,
    LimitCall,
    Note,
    RequestReply,
    SetGates,
)
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import AgentFailed, AgentReady
from esl_controller.call.call_setup import BACKSTOP_S
from esl_controller.call.conversation import Conversation
from esl_controller.call.conversation_state import ConversationState
from esl_controller.call.ending import Ending
from esl_controller.call.hops import NO_HOPS, Hops
from esl_controller.call.machine import Call
from esl_controller.call.states import State
from esl_controller.call.timers import Timers
from esl_controller.call.tool_calls import ToolExecutor
from esl_controller.call.tools import Toolbox
from esl_controller.call.turn_taking import TurnTaking
from esl_controller.secretaries.schema import Destination
from esl_controller.secretaries.secretary import Secretary
from tests.call.world import secretary


def parts(
    who: Secretary | None = None, *, takes_turns: bool = False, hops: Hops = NO_HOPS
) -> ConversationState:
    """Those of a conversation that was greeted."""
    who = who or secretary()
    turns = TurnTaking(during_greeting=False)
    turns.model_connected(takes_turns=takes_turns)
    turns.greeted = True
    tools, timers = ToolExecutor(Toolbox(who)), Timers(who.limits)
    return ConversationState(turns, tools, timers, Ending(who, turns, tools, timers, hops))


Playback = Literal["lane", "file"]
WHO = secretary(greeting="Hello.", limits={"idle_s": 0.0, "max_call_s": 3600})
GREET = RequestReply("Greet the caller. Say exactly this to the caller, and nothing else: Hello.")
LIMIT = LimitCall(3600 + BACKSTOP_S)
BEGIN = [ConfirmTaken(), GREET]
GONE = AgentFailed("401", Recovery.NEXT_MODEL)
FAILURE = "NORMAL_TEMPORARY_FAILURE"


def a_call(
    playback: Playback = "lane",
    *,
    fallback: Destination | None = None,
    record: bool = False,
    model_timeout_s: float = 10.0,
) -> Call:
    conversation = Conversation(WHO, Toolbox(WHO), closed=False)
    return Call(
        conversation,
        playback=playback,
        fallback=fallback,
        record=record,
        model_timeout_s=model_timeout_s,
    )


def run(call: Call, *events: ev.Event, now: float = 0.0) -> Actions:
    """Actions of all events, without the notes and the gates, which world.py checks."""
    done: Actions = []
    for event in events:
        done += [a for a in call.handle(event, now) if not isinstance(a, Note | SetGates)]
    return done


def talking(playback: Playback = "lane", fallback: Destination | None = None) -> Call:
    call = a_call(playback, fallback=fallback)
    way: ev.Event = ev.LaneOpened(8000) if playback == "lane" else ev.FilesReady()
    run(call, ev.Arrived(False), ev.Answered(), ev.StreamOpened(), way, AgentReady())
    assert call.state is State.TALKING
    return call

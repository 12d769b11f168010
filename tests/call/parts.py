"""The parts of a conversation, for the tests of those that decide over several of them."""

from __future__ import annotations

from esl_controller.call.conversation_state import ConversationState
from esl_controller.call.ending import Ending
from esl_controller.call.hops import NO_HOPS, Hops
from esl_controller.call.timers import Timers
from esl_controller.call.tool_calls import ToolExecutor
from esl_controller.call.tools import Toolbox
from esl_controller.call.turn_taking import TurnTaking
from esl_controller.secretaries.secretary import Secretary
from tests.call.world import secretary


def parts(
    who: Secretary | None = None, *, takes_turns: bool = False, hops: Hops = NO_HOPS
) -> ConversationState:
    """Those of a conversation that was greeted."""
    who = who or secretary()
    turns = TurnTaking(manual=not takes_turns, during_greeting=False)
    turns.greeted = True
    tools, timers = ToolExecutor(Toolbox(who)), Timers(who.limits)
    return ConversationState(turns, tools, timers, Ending(who, turns, tools, timers, hops))

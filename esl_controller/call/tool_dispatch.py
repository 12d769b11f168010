"""A response's function calls, each handed to whoever carries it out. [core]

Part of ``conversation.py``. What ends the conversation goes to ``ending.py``, the rest to
``tool_calls.py``.
"""

from __future__ import annotations

from collections.abc import Sequence

from esl_controller.call import instructions, tools
from esl_controller.call.actions import Actions, ToolResult
from esl_controller.call.agent import ToolCall
from esl_controller.call.conversation_state import ConversationState
from esl_controller.call.replies import ReplyKind
from esl_controller.call.tool_budget import IN_RESPONSE
from esl_controller.call.tools import failure

INTERRUPTED = failure("not done: the caller interrupted")


class ToolDispatcher:
    """Dispatches the function calls of the conversation whose ``state`` it is."""

    def __init__(self, state: ConversationState) -> None:
        self._turns = state.turns
        self._tools = state.tools
        self._ending = state.ending

    def run(self, calls: Sequence[ToolCall], now: float, *, cancelled: bool) -> Actions:
        """Carry out the ``calls`` of a response that was completed. ``cancelled``: the caller had
        interrupted it by then, and nothing is done."""
        if cancelled:
            return [ToolResult(call, INTERRUPTED) for call in calls]
        self._tools.begin_round(calls)
        actions: Actions = []
        for call in calls[:IN_RESPONSE]:
            actions += self._run(call, now)
        self._tools.end_round(calls)
        return actions

    def _run(self, call: ToolCall, now: float) -> Actions:
        if self._ending.decided:
            return []
        request = self._tools.request(call)
        if isinstance(request, list):
            return request
        if isinstance(request, tools.Parting):
            return self._ending.run(call, request, now)
        self._announce_wait(request)
        return self._tools.run(call, request, now)

    def _announce_wait(self, request: tools.Staying) -> None:
        """Have a model that has said nothing say that a webhook function may take a while."""
        words = request.tool.wait_say if isinstance(request, tools.AskServer) else ""
        if words and not self._turns.replies.has_audio:
            self._turns.schedule(ReplyKind.NOTICE, instructions.verbatim(words))

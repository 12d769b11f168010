"""What GPT-Live delegates to its second model: tool calls. [core]

A response of that model ends with its tool calls unanswered. The next one may be asked for when no
response runs and every call has its result; the API refuses it earlier.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from esl_controller.agents.messages import count, text
from esl_controller.call.agent import ToolCall, Usage
from esl_controller.call.agent_events import ResponseDone

LIMIT: Final = 64
"""Tool calls that wait for results, and delegations at once. With more, the model is in a loop."""

_ENDS: Final = ("response.completed", "response.failed", "response.incomplete")


class Delegations:
    """The delegations of one session."""

    def __init__(self) -> None:
        self._running: dict[str, list[ToolCall]] = {}
        self._open: set[str] = set()
        self._answered = False
        self._usage = Usage()

    def answer(self, call_id: str, *, last: bool = False) -> bool:
        """A tool call has its result; ``last``: the model is not to go on after it. Returns False
        if no such call waits."""
        if call_id not in self._open:
            return False
        self._open.discard(call_id)
        self._answered = self._answered or not last
        return True

    def can_go_on(self) -> bool:
        """Whether to ask for the next response now. True once, then False until the next result."""
        if not self._answered or self._open or self._running:
            return False
        self._answered = False
        return True

    @property
    def busy(self) -> bool:
        """Whether one is under way, or waits for results."""
        return bool(self._running or self._open)

    @property
    def usage(self) -> Usage:
        """The tokens that ``take_usage`` would return."""
        return self._usage

    def take_usage(self) -> Usage:
        """The tokens used since the last time."""
        usage, self._usage = self._usage, Usage()
        return usage

    def read(self, event: Mapping[str, Any]) -> ResponseDone | None:
        """Follow a ``response.event``. Returns the response that it ends, if that one made tool
        calls or failed.

        Raises KeyError, TypeError, ValueError or AttributeError for an event that cannot be used.
        """
        delegation = str(event.get("delegation_id") or "")
        inner = event["event"]
        kind = text(inner, "type")
        if kind == "response.created":
            if len(self._running) >= LIMIT:
                raise ValueError("too many delegations at once")
            self._running[delegation] = []
        elif kind == "response.output_item.done" and inner["item"]["type"] == "function_call":
            self._call(delegation, inner["item"])
        elif kind in _ENDS:
            return self._end(delegation, inner["response"], kind.removeprefix("response."))
        return None

    def _call(self, delegation: str, item: Mapping[str, Any]) -> None:
        call = ToolCall(text(item, "call_id"), text(item, "name"), text(item, "arguments"))
        calls = self._running[delegation]
        if len(calls) + len(self._open) >= LIMIT:
            raise ValueError("too many calls at once")
        if all(call.call_id != other.call_id for other in calls):
            calls.append(call)

    def _end(
        self, delegation: str, response: Mapping[str, Any], status: str
    ) -> ResponseDone | None:
        calls = self._running.pop(delegation, [])
        self._count(response.get("usage"))
        if status == "completed":
            if not calls:
                return None  # its words are spoken, and reported as an utterance
            self._open |= {call.call_id for call in calls}
            usage = self.take_usage()
            return ResponseDone(text(response, "id"), status, calls=tuple(calls), usage=usage)
        details = response.get("error") or response.get("incomplete_details") or {}
        reason = str(details.get("message") or details.get("reason") or "")[:500]
        return ResponseDone(text(response, "id"), status, reason, usage=self.take_usage())

    def _count(self, usage: Any) -> None:
        if not isinstance(usage, dict):
            return
        details = usage.get("input_tokens_details")
        cached = details.get("cached_tokens") if isinstance(details, dict) else 0
        self._usage = Usage(
            input_text=self._usage.input_text + count(usage.get("input_tokens")),
            cached=self._usage.cached + count(cached),
            output_text=self._usage.output_text + count(usage.get("output_tokens")),
        )

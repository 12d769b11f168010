"""The model that thinks and calls functions for the one that speaks, as response.event shows it."""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import count
from typing import Any

from esl_controller.simulator.model_base.behaviour import ScriptedCall
from esl_controller.simulator.model_base.sender import EventSender
from esl_controller.simulator.model_base.validation import ProtocolError


class Backend:
    """The delegations of one session."""

    def __init__(self, sender: EventSender, model: str, new_id: Callable[[str], str]) -> None:
        self._sender = sender
        self._model = model
        self._new_id = new_id
        self._sequence = count()
        self._delegation: str | None = None
        self._open: set[str] = set()
        self.results: dict[str, str] = {}
        """Outputs of functions by call id."""

    async def call(self, calls: list[ScriptedCall], offset_ms: int) -> None:
        """A delegation whose first response calls these functions, and then waits for results."""
        self._delegation = self._new_id("item")
        response = self._body("in_progress")
        delegation = {
            "id": self._delegation,
            "type": "delegation",
            "target": "responses",
            "response_id": response["id"],
        }
        await self._sender.emit(
            "session.delegation.created", delegation=delegation, offset_ms=offset_ms
        )
        await self._event("response.created", response=response)
        for index, scripted in enumerate(calls):
            call_id = self._new_id("call")
            self._open.add(call_id)
            item = {
                "type": "function_call",
                "id": self._new_id("fc"),
                "status": "completed",
                "call_id": call_id,
                "name": scripted.name,
                "arguments": scripted.arguments,
            }
            await self._event("response.output_item.done", output_index=index, item=item)
        await self._complete(response)

    def take_result(self, item: dict[str, Any]) -> None:
        """A response.item.create. Raises ProtocolError for anything but the result of a call."""
        if item.get("type") != "function_call_output":
            raise ProtocolError("not_supported", "Only results of functions.", "item.type")
        call_id = item.get("call_id")
        if call_id not in self._open:
            raise ProtocolError(
                "invalid_tool_call_id", f"No call {call_id!r} waits for a result.", "item.call_id"
            )
        self._open.discard(call_id)
        self.results[call_id] = item["output"]

    async def go_on(self) -> None:
        """A response.create. Raises ProtocolError while a call waits for its result."""
        if self._open:
            raise ProtocolError(
                "tool_outputs_missing", f"Results are missing: {', '.join(sorted(self._open))}."
            )
        response = self._body("in_progress")
        await self._event("response.created", response=response)
        await self._complete(response)

    async def _complete(self, response: dict[str, Any]) -> None:
        usage = {
            "input_tokens": 40,
            "input_tokens_details": {"cached_tokens": 8, "cache_write_tokens": 0},
            "output_tokens": 10,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 50,
        }
        done = {**response, "status": "completed", "usage": usage}
        await self._event("response.completed", response=done)

    async def _event(self, kind: str, **fields: Any) -> None:
        event = {"type": kind, "sequence_number": next(self._sequence), **fields}
        await self._sender.emit("response.event", event=event, delegation_id=self._delegation)

    def _body(self, status: str) -> dict[str, Any]:
        """A response as its life cycle shows it: without instructions, tools and output."""
        return {
            "id": self._new_id("resp"),
            "object": "response",
            "created_at": int(time.time()),
            "model": self._model,
            "status": status,
            "output": [],
            "parallel_tool_calls": True,
            "tool_choice": "auto",
            "tools": [],
            "error": None,
            "incomplete_details": None,
            "usage": None,
        }

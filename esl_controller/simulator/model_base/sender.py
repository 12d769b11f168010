"""Server events on their way out, and the faults that strike there."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import suppress
from itertools import cycle
from typing import Any, Final

from aiohttp import web

from esl_controller.simulator.model_base.behaviour import ModelFaults
from esl_controller.simulator.model_base.record import SessionRecord

_UNEXPECTED: Final[tuple[str | bytes, ...]] = (
    '{"type": "response.output_audio.delta", "delta": "AAA',
    '{"type": "response.telepathy.delta", "event_id": "event_unknown", "delta": 7}',
    '["not", "an", "object"]',
    b"\x00\xff\xfe\x00",
)


class EventSender:
    """The sending side of one session's WebSocket.

    What is sent to a client that has gone is dropped: the session ends when its reader notices.
    """

    def __init__(
        self,
        ws: web.WebSocketResponse,
        transport: asyncio.Transport | None,
        faults: ModelFaults,
        record: SessionRecord,
        new_id: Callable[[str], str],
    ) -> None:
        self._ws = ws
        self._transport = transport
        self._faults = faults
        self._record = record
        self._new_id = new_id
        self._unexpected = cycle(_UNEXPECTED)
        self._count = 0
        self._stalled = False

    async def emit(self, kind: str, /, **fields: Any) -> None:
        """Send an event; `type` and `event_id` are added."""
        event = {"type": kind, "event_id": self._new_id("event"), **fields}
        await self.emit_formatted(kind, json.dumps(event))

    async def emit_formatted(self, kind: str, text: str) -> None:
        """Send an event that is JSON already."""
        if self._stalled or self._ws.closed:
            return
        self._record.sent[kind] += 1
        with suppress(ConnectionError):
            await self._ws.send_str(text)
            await self._sprinkle()

    async def disturb(self, audio_ms: float) -> bool:
        """Strike with the faults due after this much of a response; whether it ends here."""
        faults = self._faults
        if faults.stall_after_ms is not None and audio_ms >= faults.stall_after_ms:
            self._stalled = True
        if faults.close_after_ms is not None and audio_ms >= faults.close_after_ms:
            await self.close(1011, "internal_error", abrupt=faults.close_how == "abrupt")
        return self._stalled or self._ws.closed

    def freeze(self) -> None:
        """Send the beginning of a message, and nothing any more."""
        self._stalled = True
        if self._transport is not None:
            self._transport.write(b"\x81\x7e\x10\x00{")

    async def close(self, code: int, reason: str, *, abrupt: bool = False) -> None:
        """End the session: with a close frame, or by cutting the TCP connection."""
        if not abrupt:
            await self._ws.close(code=code, message=reason.encode())
        elif self._transport is not None:
            self._transport.abort()

    async def _sprinkle(self) -> None:
        self._count += 1
        if self._faults.sprinkle_every and self._count % self._faults.sprinkle_every == 0:
            message = next(self._unexpected)
            if isinstance(message, bytes):
                await self._ws.send_bytes(message)
            else:
                await self._ws.send_str(message)

"""The WebSocket endpoint that mod_audio_stream connects to: caller in.

``/stream/{domain_uuid}/{call_uuid}``, binary messages of linear audio in any size, some text
messages (docs/design/freeswitch.md#the-stream). Which calls are live, and their tokens, is
somebody else's knowledge: an ``Admission`` asks for it.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

log = structlog.stdlib.get_logger(__name__)

MAX_MESSAGE = 1 << 20  # bytes, from which on it is too long; the modules send 640 to some thousand
PATIENCE_S = 1.0  # with a module that does not read, or does not answer a goodbye


class Listener(Protocol):
    """Who hears a call's audio. All methods are called from the event loop and must not block."""

    def stream_opened(self) -> None:
        """The module connected, for the first time or again."""

    def stream_audio(self, data: bytes) -> None:
        """Audio in the rate that was asked for; ``data`` may end in the middle of a sample."""

    def stream_text(self, text: str) -> None:
        """A text message: the metadata of ``start``, or ``uuid_audio_stream ... send_text``."""

    def stream_closed(self, code: int) -> None:
        """The connection is gone, and no newer one of this call has replaced it.

        ``code``: what the module closed it with; 1000 where we did, 1006 where nobody said goodbye
        or where a message broke the protocol (``StreamEndpoint.ignored``).
        """


@dataclass(frozen=True)
class Admission:
    """A live call: its ``listener``, and the ``token`` that its WebSocket has to show."""

    listener: Listener
    token: str


Found = Admission | Literal["over"] | None
"""The call of a path; ``over``: it has just ended, and its module need not know yet."""


class StreamEndpoint:
    """Routes of the media server. ``find(path)`` says whether a call is live."""

    def __init__(self, find: Callable[[str], Found]) -> None:
        self._find = find
        self._open: dict[Listener, _Connection] = {}
        self.refused = 0
        self.ignored = 0  # messages that ended their connection: too long, no UTF-8, no WebSocket

    def routes(self) -> list[web.AbstractRouteDef]:
        """For ``aiohttp.web.Application.add_routes``."""
        return [
            web.get("/stream/{domain_uuid}/{call_uuid}", self._stream),
            web.get("/{path:.*}", self._wrong_path),
        ]

    async def close(self) -> None:
        """Close every connection that is open."""
        connections = list(self._open.values())
        await asyncio.gather(*(each.close(WSCloseCode.GOING_AWAY) for each in connections))

    async def drop(self, listener: Listener) -> None:
        """Close the connection of ``listener``, which does not get ``stream_closed`` any more."""
        connection = self._open.pop(listener, None)
        if connection is not None:
            await connection.close(WSCloseCode.OK)

    async def send(self, listener: Listener, text: str) -> None:
        """Send the module a text message.

        Raises ConnectionError where there is no connection, or none that takes the message in time.
        """
        connection = self._open.get(listener)
        if connection is None:
            raise ConnectionResetError("mod_audio_stream is not connected")
        try:
            async with asyncio.timeout(PATIENCE_S):
                await connection.socket.send_str(text)
        except TimeoutError:
            raise ConnectionResetError("mod_audio_stream does not read what it is sent") from None

    def _refuse(self, request: web.Request, status: int, reason: str) -> web.Response:
        self.refused += 1
        ids = {name: value[:64] for name, value in request.match_info.items() if "_" in name}
        log.warning(
            f"media connection refused: {reason}",
            **ids,
            path=request.path[:200],
            peer=request.remote,
            right_url=f"ws://{request.host}/stream/{{domain_uuid}}/{{call_uuid}}",
        )
        return web.Response(status=status, text=f"{reason}\n")

    async def _wrong_path(self, request: web.Request) -> web.Response:
        return self._refuse(
            request, 404, "wrong path, the right one is /stream/{domain_uuid}/{call_uuid}"
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        admission = self._find(request.path)
        if admission is None:
            return self._refuse(request, 404, "no such call is live here")
        if admission == "over":
            log.info("media connection refused: the call is over", path=request.path)
            return web.Response(status=404, text="the call is over\n")
        shown = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(shown, f"Bearer {admission.token}".encode()):
            return self._refuse(
                request, 401, "the call's token, set by STREAM_EXTRA_HEADERS, is missing or wrong"
            )
        return await self._serve(request, admission.listener)

    async def _serve(self, request: web.Request, listener: Listener) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE, timeout=PATIENCE_S)
        await socket.prepare(request)
        older = self._open.get(listener)
        self._open[listener] = mine = _Connection(socket, request)
        if older is not None:
            # The module opened a new one, so nobody is at the old one's end to shake hands with.
            older.abort()
        listener.stream_opened()
        try:
            async for message in socket:
                if self._open.get(listener) is not mine:
                    break
                if message.type is WSMsgType.BINARY:
                    listener.stream_audio(message.data)
                elif message.type is WSMsgType.TEXT:
                    listener.stream_text(message.data)
                else:
                    self.ignored += 1
        finally:
            if self._open.get(listener) is mine:
                del self._open[listener]
                listener.stream_closed(socket.close_code or WSCloseCode.ABNORMAL_CLOSURE)
        return socket


@dataclass(frozen=True, eq=False)
class _Connection:
    """One WebSocket of the module."""

    socket: web.WebSocketResponse
    request: web.Request

    async def close(self, code: int) -> None:
        """Say goodbye, and do not wait for long: who does not read is cut off."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self.socket.close(code=code)
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Cut the connection."""
        if self.request.transport is not None:
            self.request.transport.abort()

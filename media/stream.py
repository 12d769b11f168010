"""The WebSocket endpoint that mod_audio_stream connects to: it brings what the caller says.

The path is ``/stream/{domain_uuid}/{call_uuid}``; binary messages are linear audio of any size, and
there are a few text messages (docs/design/freeswitch.md#the-stream). The endpoint does not know
which calls are live: it asks ``find`` for the stream that is expected at a path.
"""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, cast

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from media.websocket import BINARY, FrameCutter

log = structlog.stdlib.get_logger(__name__)

MAX_MESSAGE = 1 << 20  # bytes: one this long is refused; the modules send 320 to a few thousand
PATIENCE_S = 1.0  # for a module that does not read, or does not answer our close frame


class StreamHandler(Protocol):
    """What happens to one call's stream. Called in the event loop; must not block."""

    def stream_opened(self) -> None:
        """The module connected, for the first time or again."""

    def stream_audio(self, data: bytes) -> None:
        """Audio, as the module sends it; ``data`` may end in the middle of a sample."""

    def stream_text(self, text: str) -> None:
        """A text message: the metadata of ``start``, or ``uuid_audio_stream ... send_text``."""

    def stream_closed(self, code: int) -> None:
        """The connection is gone, and no newer one of this call has replaced it.

        ``code`` is the module's close code; 1000 if we closed it, 1006 if there was no close frame
        or a message broke the protocol (``StreamEndpoint.ignored``).
        """


@dataclass(frozen=True)
class ExpectedStream:
    """A stream that may connect: its ``handler``, and the bearer ``token`` that it must show."""

    handler: StreamHandler
    token: str


StreamLookup = ExpectedStream | Literal["over"] | None
"""What is expected at a path. ``over``: the call has just ended; its module may not know yet."""


class StreamEndpoint:
    """The media server. ``find(path)`` returns the stream that is expected at ``path``."""

    def __init__(self, find: Callable[[str], StreamLookup]) -> None:
        self._find = find
        self._open: dict[StreamHandler, _Connection] = {}
        self.refused = 0
        self.ignored = 0  # connections ended by a message that was too long, or no UTF-8

    def routes(self) -> list[web.AbstractRouteDef]:
        """The routes, for ``aiohttp.web.Application.add_routes``."""
        return [
            web.get("/stream/{domain_uuid}/{call_uuid}", self._stream),
            web.get("/{path:.*}", self._wrong_path),
        ]

    async def close(self) -> None:
        """Close all connections."""
        connections = list(self._open.values())
        await asyncio.gather(*(each.close(WSCloseCode.GOING_AWAY) for each in connections))

    async def drop(self, handler: StreamHandler) -> None:
        """Close the connection of ``handler`` without calling its ``stream_closed``."""
        connection = self._open.pop(handler, None)
        if connection is not None:
            await connection.close(WSCloseCode.OK)

    async def send(self, handler: StreamHandler, text: str) -> None:
        """Send a text message to the module that serves ``handler``.

        Raises ConnectionError if it is not connected or does not read the message in time.
        """
        connection = self._open.get(handler)
        if connection is None:
            raise ConnectionResetError("mod_audio_stream is not connected")
        try:
            async with asyncio.timeout(PATIENCE_S):
                await connection.send(text)
        except TimeoutError:
            raise ConnectionResetError("mod_audio_stream does not read what it is sent") from None

    def _refuse(self, request: web.Request, status: int, reason: str) -> web.Response:
        self.refused += 1
        ids = {name: value[:64] for name, value in request.match_info.items() if "_" in name}
        log.warning(
            f"media connection refused: {reason}",
            stranger=True,
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
        expected = self._find(request.path)
        if expected is None:
            return self._refuse(request, 404, "no such call is live here")
        if expected == "over":
            log.info("media connection refused: the call is over", path=request.path)
            return web.Response(status=404, text="the call is over\n")
        shown = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(shown, f"Bearer {expected.token}".encode()):
            return self._refuse(
                request, 401, "the call's token, set by STREAM_EXTRA_HEADERS, is missing or wrong"
            )
        return await self._serve(request, expected.handler)

    async def _serve(self, request: web.Request, handler: StreamHandler) -> web.StreamResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE, timeout=PATIENCE_S)
        try:
            transport = request.transport
            if transport is None or transport.is_closing():
                raise ConnectionResetError
            await socket.prepare(request)
        except ConnectionError:
            log.info("mod_audio_stream hung up before it was connected", path=request.path)
            return web.Response()
        older = self._open.get(handler)
        self._open[handler] = mine = _Connection(socket, transport, handler.stream_audio)
        if older is not None:
            # The module has left the older connection: it would not answer a close frame there.
            older.abort()
        handler.stream_opened()
        try:
            async for message in socket:  # all but whole messages of audio
                if self._open.get(handler) is not mine:
                    break
                if message.type is WSMsgType.BINARY:
                    handler.stream_audio(message.data)
                elif message.type is WSMsgType.TEXT:
                    handler.stream_text(message.data)
                else:
                    self.ignored += 1
        finally:
            mine.mute()
            if self._open.get(handler) is mine:
                del self._open[handler]
                handler.stream_closed(socket.close_code or WSCloseCode.ABNORMAL_CLOSURE)
        return socket


class _Connection(asyncio.Protocol):
    """One WebSocket of the module. It takes the place of aiohttp's protocol at the transport, and
    hands whole messages of audio to ``on_audio`` as they are read.

    A client sends nothing before it has our handshake, so the first byte begins a frame.
    """

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.Transport,
        on_audio: Callable[[bytes], None],
    ) -> None:
        self._socket = socket
        self._transport = transport
        self._library = cast(asyncio.Protocol, transport.get_protocol())
        self._cutter = FrameCutter(
            BINARY, MAX_MESSAGE - 1, self._library.data_received, masked=True
        )
        self._cutter.on_message = on_audio
        transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        self._cutter.feed(data)

    def eof_received(self) -> bool | None:
        return self._library.eof_received()

    def pause_writing(self) -> None:
        self._library.pause_writing()

    def resume_writing(self) -> None:
        self._library.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._library.connection_lost(exc)

    async def send(self, text: str) -> None:
        """Send a text message."""
        await self._socket.send_str(text)

    async def close(self, code: int) -> None:
        """Send a close frame; cut the connection if it is not answered in time."""
        self.mute()
        try:
            async with asyncio.timeout(PATIENCE_S):
                await self._socket.close(code=code)
        except TimeoutError:
            self.abort()

    def abort(self) -> None:
        """Cut the connection."""
        self.mute()
        self._transport.abort()

    def mute(self) -> None:
        """Nobody wants its audio any more."""
        self._cutter.on_message = None

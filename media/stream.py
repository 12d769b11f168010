"""The WebSocket endpoint that mod_audio_stream connects to: caller in.

``/stream/{domain_uuid}/{call_uuid}``, binary messages of linear audio in any size, some text
messages (freeswitch.md, "Hearing"). Which calls are live, and their tokens, is somebody else's
knowledge: an ``Admission`` asks for it.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

log = structlog.stdlib.get_logger(__name__)

MAX_MESSAGE = 1 << 20  # bytes, from which on it is too long; the modules send 640 to some thousand


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


class StreamEndpoint:
    """Routes of the media server. ``find(path)`` says whether a call is live."""

    def __init__(self, find: Callable[[str], Admission | None]) -> None:
        self._find = find
        self._open: dict[Listener, tuple[web.WebSocketResponse, web.Request]] = {}
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
        for socket, _ in list(self._open.values()):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def drop(self, listener: Listener) -> None:
        """Close the connection of ``listener``, which does not get ``stream_closed`` any more."""
        socket, _ = self._open.pop(listener, (None, None))
        if socket is not None:
            await socket.close()

    async def send(self, listener: Listener, text: str) -> None:
        """Send the module a text message. Raises ConnectionError where there is no connection."""
        socket, _ = self._open.get(listener, (None, None))
        if socket is None:
            raise ConnectionResetError("mod_audio_stream is not connected")
        await socket.send_str(text)

    async def _wrong_path(self, request: web.Request) -> web.Response:
        self.refused += 1
        log.warning(
            "media connection refused: wrong path",
            path=request.path[:200],
            peer=request.remote,
            right_url=f"ws://{request.host}/stream/{{domain_uuid}}/{{call_uuid}}",
        )
        return web.Response(status=404, text="the path is /stream/{domain_uuid}/{call_uuid}\n")

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        domain_uuid = request.match_info["domain_uuid"]
        call_uuid = request.match_info["call_uuid"]
        admission = self._find(request.path)
        if admission is None:
            self.refused += 1
            log.warning(
                "media connection refused: no such call is live here",
                domain_uuid=domain_uuid[:64],
                call_uuid=call_uuid[:64],
                peer=request.remote,
                right_url=f"ws://{request.host}/stream/{{domain_uuid}}/{{call_uuid}}",
            )
            return web.Response(status=404, text="no such call is live here\n")
        shown = request.headers.get("Authorization", "").encode(errors="surrogateescape")
        if not hmac.compare_digest(shown, f"Bearer {admission.token}".encode()):
            self.refused += 1
            log.warning(
                "media connection refused: the call's token is missing or wrong (it is set by"
                " STREAM_EXTRA_HEADERS before uuid_audio_stream start)",
                domain_uuid=domain_uuid,
                call_uuid=call_uuid,
                peer=request.remote,
            )
            return web.Response(status=401, text="the call's token is missing or wrong\n")
        return await self._serve(request, admission.listener)

    async def _serve(self, request: web.Request, listener: Listener) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False, max_msg_size=MAX_MESSAGE, timeout=1.0)
        await socket.prepare(request)
        _, older = self._open.get(listener, (None, None))
        self._open[listener] = mine = (socket, request)
        if older is not None and older.transport is not None:
            # The module opened a new one, so nobody is at the old one's end to shake hands with.
            older.transport.abort()
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

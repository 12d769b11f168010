"""A WebSocket client as small as the one a C module links: text, binary, ping, close.

Written against RFC 6455 rather than taken from the library that serves the other end, so that
the two check each other; and sending is a plain call, so that a frame costs a write and no task.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
from collections.abc import AsyncIterator, Mapping
from urllib.parse import urlsplit

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
_MAX_MESSAGE = 16 * 1024 * 1024
MAX_UNSENT = 1024 * 1024
"""Bytes that wait for a server that does not read."""
_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


class UpgradeRefused(Exception):
    """The server answered the upgrade with something else than 101."""

    def __init__(self, status: int, status_line: str) -> None:
        super().__init__(status_line)
        self.status = status
        self.status_line = status_line


class WebSocket:
    """An open connection. Iterate it for messages; see :func:`connect`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.close_code: int | None = None
        """Code of the close frame that the server sent; None if it sent none."""
        self.close_reason = ""
        self.close_sent = False
        self.dropped = 0

    def send(self, opcode: int, payload: bytes) -> None:
        """Send one unfragmented message now; nothing happens once closed.

        A message that finds :data:`MAX_UNSENT` bytes unread by the server is dropped and counted.
        """
        if self._writer.is_closing() or self.close_sent:
            return
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT:
            self.dropped += 1
            return
        size = len(payload)
        mask = os.urandom(4)
        if size < 126:
            head = bytes((0x80 | opcode, 0x80 | size))
        elif size < 65536:
            head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
        else:
            head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
        self._writer.write(head + mask + _masked(payload, mask))
        self.close_sent = opcode == CLOSE

    async def messages(self) -> AsyncIterator[tuple[int, bytes]]:
        """(opcode, payload) of each text and binary message, until the connection ends."""
        opcode, message = 0, bytearray()
        while True:
            try:
                first, second = await self._reader.readexactly(2)
                payload = await self._payload(second)
            except (asyncio.IncompleteReadError, OSError):
                return
            code = first & 0x0F
            if code == CLOSE:
                self._closed_by_server(payload)
                return
            if code == PING:
                self.send(PONG, payload)
            elif code in (0, TEXT, BINARY):
                opcode = code or opcode
                message += payload
                if len(message) > _MAX_MESSAGE:
                    return
                if first & 0x80:
                    yield opcode, bytes(message)
                    message.clear()

    def abort(self) -> None:
        """Cut the connection without a close frame."""
        self._writer.transport.abort()

    async def close(self, code: int = 1000) -> None:
        """Say goodbye and wait for the connection to end; cut it after a second."""
        self.send(CLOSE, code.to_bytes(2, "big"))
        try:
            async with asyncio.timeout(1.0):
                async for _ in self.messages():
                    pass
        except TimeoutError:
            pass
        finally:
            self.abort()

    async def _payload(self, second: int) -> bytes:
        size = second & 0x7F
        if size >= 126:
            size = int.from_bytes(await self._reader.readexactly(2 if size == 126 else 8), "big")
        if size > _MAX_MESSAGE:
            raise ConnectionError("message too long")
        mask = await self._reader.readexactly(4) if second & 0x80 else b""
        payload = await self._reader.readexactly(size)
        return _masked(payload, mask) if mask else payload

    def _closed_by_server(self, payload: bytes) -> None:
        self.close_code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
        self.close_reason = payload[2:].decode("utf-8", "replace")
        self.send(CLOSE, payload[:2])
        self._writer.close()


def _masked(payload: bytes, mask: bytes) -> bytes:
    size = len(payload)
    key = mask * (size // 4 + 1)
    mixed = int.from_bytes(payload, "little") ^ int.from_bytes(key[:size], "little")
    return mixed.to_bytes(size, "little")


async def connect(url: str, headers: Mapping[str, str]) -> WebSocket:
    """Open ``ws://`` or ``wss://`` with extra request headers.

    Raises OSError when nobody answers, :class:`UpgradeRefused` when the server does not upgrade.
    """
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    reader, writer = await asyncio.open_connection(host, port, ssl=secure or None)
    try:
        key = base64.b64encode(os.urandom(16)).decode()
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}:{port}", "Upgrade: websocket"]
        lines += ["Connection: Upgrade", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {key}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        writer.write("\r\n".join((*lines, "", "")).encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, _, rest = head.partition("\r\n")
        status = status_line.split(" ", 2)[1:2]
        if status != ["101"]:
            code = int(status[0]) if status and status[0].isdigit() else 0
            raise UpgradeRefused(code, status_line)
        digest = hashlib.sha1((key + _GUID).encode(), usedforsecurity=False).digest()
        accept = base64.b64encode(digest).decode()
        if accept not in rest:
            raise UpgradeRefused(101, "Sec-WebSocket-Accept does not match")
    except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as error:
        writer.transport.abort()
        raise UpgradeRefused(0, "no HTTP answer") from error
    except BaseException:
        writer.transport.abort()
        raise
    return WebSocket(reader, writer)

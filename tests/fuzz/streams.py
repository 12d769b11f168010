"""Where the caller's audio comes in: messages of a stream, and all bytes of the media port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from esl_controller.server.http_server import at, serving
from media.frame import pcm
from media.stream import ExpectedStream, StreamEndpoint
from media.stream_converter import StreamConverter
from tests.fuzz.holding import Take, longest_hold

AUDIO: Final = (bytes(range(256)) * 5, bytes(640))


@contextmanager
def stream_audio() -> Iterator[Take]:
    """A stream's binary messages, of any size, at a rate that is not ours."""
    converter = StreamConverter(pcm(24000), 16000, 8000, "mono")
    now = iter(range(10**9))

    def take(message: bytes) -> None:
        converter.feed(message, next(now) * 0.02)

    yield take


class _Heard:
    """A call's end of the stream, which hears everything."""

    def __init__(self) -> None:
        self._converter = StreamConverter(pcm(24000), 16000, 8000, "mono")
        self._now = iter(range(10**9))

    def stream_opened(self) -> None:
        self._converter.restart()

    def stream_audio(self, data: bytes) -> None:
        self._converter.feed(data, next(self._now) * 0.02)

    def stream_text(self, text: str) -> None:
        """It is not looked at."""

    def stream_closed(self, code: int) -> None:
        """It may come again."""


_STREAM_PATH: Final = "/stream/d/c"
_UPGRADE: Final = (
    f"GET {_STREAM_PATH} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OTAxMjM0NQ==\r\nSec-WebSocket-Version: 13\r\n"
    "Authorization: Bearer t\r\n\r\n"
).encode()
_MASK: Final = bytes(4)  # the payload as it is


def _frame(first: int, payload: bytes) -> bytes:
    """A WebSocket frame of a client (RFC 6455, 5.2); ``first``: its first byte."""
    size = len(payload)
    length = bytes((0x80 | size,)) if size < 126 else b"\xfe" + size.to_bytes(2, "big")
    return bytes((first,)) + length + _MASK + payload


_FRAMES: Final = (
    _frame(0x82, bytes(640)),
    _frame(0x82, bytes(range(256)) * 9),
    _frame(0x81, b'{"type": "start", "rate": 16000}'),
    _frame(0x89, b"ping") + _frame(0x8A, b"pong"),
    _frame(0x02, bytes(7)) + _frame(0x80, bytes(633)),
    _frame(0xC2, bytes(640)),
    _frame(0x88, b"\x03\xe8bye"),
)
STREAMS: Final = [_UPGRADE, *(_UPGRADE + frame + _FRAMES[0] for frame in _FRAMES)]


class _Errors(logging.Handler):
    """Collects what is logged as an error, such as an exception in a handler."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@contextmanager
def media_socket() -> Iterator[Take]:
    """All bytes of a connection to the media port, from the request on."""
    expected = ExpectedStream(_Heard(), "t")
    endpoint = StreamEndpoint(lambda path: expected if path == _STREAM_PATH else None)
    errors = _Errors()

    async def connected(port: int, sent: bytes) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        with contextlib.suppress(ConnectionError):
            writer.write(sent)
            writer.write_eof()
            async with asyncio.timeout(5):
                while await reader.read(1 << 16):
                    pass
        writer.close()

    async def take(port: int, sent: bytes) -> float:
        held = await longest_hold(connected(port, sent))
        assert not errors.records, errors.records[0].exc_info
        return held

    logging.getLogger().addHandler(errors)
    try:
        with asyncio.Runner() as runner:
            serves = serving(endpoint.routes(), at("127.0.0.1", 0))
            server = runner.run(serves.__aenter__())
            port = server.sockets[0].getsockname()[1]
            yield lambda message: runner.run(take(port, message))
            runner.run(endpoint.close())
            runner.run(serves.__aexit__(None, None, None))
    finally:
        logging.getLogger().removeHandler(errors)

"""The WebSocket to the model, with a short cut for audio.

``websockets`` parses each frame in a chain of generators, puts each message through a queue and a
task switch, and each ``send`` through a lock; ``openai`` adds another lock and a task look-up.
Together that is more than half of what a call costs, and audio needs none of it. So this connection
cuts the stream into frames itself, hands over whole text messages, and writes to the socket while
that has room. Everything else (handshake, fragments, pings, closing, back pressure, errors) it
leaves to ``websockets``.

For this it uses parts of ``websockets`` that are not public: ``protocol.state`` and
``protocol.max_size``, ``recv_messages.paused``, ``transport``, ``data_received`` and ``speedups``.
Therefore pyproject.toml bounds the version, and tests/agents/openai/test_wire.py fails when one of
them changes. (picows would need nothing private and costs no more, but the ``openai`` package
connects through ``websockets`` only.)
"""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.protocol import State

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiled extension for this platform
    from websockets.utils import apply_mask

_FINAL_TEXT = 0x81
_MASKED = 0x80
_ENDLESS = 1 << 64
TURN_S = 0.005  # of the event loop, for the messages of one connection; then others have their turn
WRITE_AHEAD = 1 << 16  # bytes; with more in the transport's buffer ``send_now`` declines


class ModelConnection(ClientConnection):
    """A ``ClientConnection``; give it to ``websockets.connect`` as ``create_connection``.

    ``on_message`` gets the bytes of each text message, in order, in the event loop; it must not
    raise. Messages that come before it is set, binary and fragmented ones wait for ``recv``. Of
    many that come at once, some are handed over in each turn of the loop; meanwhile nothing is read
    from the socket.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_message: Callable[[bytes], None] | None = None
        self._begun = bytearray()  # an incomplete frame
        self._due = 0  # its length, or that of its head as long as that is incomplete
        self._later = b""  # frames that wait for the next turn of the loop

    @property
    def in_frame(self) -> bool:
        """Whether a message has begun to come and is not complete."""
        return bool(self._begun)

    def data_received(self, data: bytes) -> None:
        """Called by the transport with what the socket received."""
        if self._later:
            self._later += data
            return
        while data and self.protocol.state is State.CONNECTING:
            # Line by line: what is left after the handshake then begins with a frame.
            line, newline, data = data.partition(b"\n")
            super().data_received(line + newline)
        if self._begun:
            self._begun += data
            if len(self._begun) < self._due:
                return
            data = bytes(self._begun)
            self._begun.clear()
        at, size = 0, len(data)
        ends = time.monotonic() + TURN_S
        while at < size and self.protocol.state is State.OPEN:
            body, end = _bounds(data, at)
            if end - body > (self.protocol.max_size or end):
                break  # too large, or masked: websockets closes the connection
            if end > size:
                self._begun += data[at:]
                self._due = end - at
                return
            if data[at] == _FINAL_TEXT and self.on_message is not None:
                self.on_message(data[body:end])
            else:
                super().data_received(data[at:end])
            at = end
            if at < size and time.monotonic() > ends:
                self._later = data[at:]
                self.transport.pause_reading()
                self.loop.call_soon(self._go_on)
                return
        if at < size:
            super().data_received(data[at:])

    def _go_on(self) -> None:
        data, self._later = self._later, b""
        if self.transport.is_closing():
            return
        # What waits for ``recv`` may have paused the reading as well.
        if not self.recv_messages.paused:
            self.transport.resume_reading()
        self.data_received(data)

    def cut(self) -> None:
        """Free the socket if it is still there: a call that ends while the connection is being
        closed does not wait for the server's goodbye."""
        if hasattr(self, "transport"):
            self.transport.abort()

    def send_now(self, message: bytes) -> bool:
        """Send a text message if that needs no waiting. Otherwise send nothing and return False.

        Only for a connection on which nobody sends fragments.
        """
        if (
            self.protocol.state is not State.OPEN
            or self.transport.is_closing()
            or self.transport.get_write_buffer_size() > WRITE_AHEAD
        ):
            return False
        self.transport.write(_text_frame(message))
        return True


def _bounds(data: bytes, at: int) -> tuple[int, int]:
    """Where the payload of the frame at ``at`` begins and ends (RFC 6455, section 5.2).

    The end may lie beyond ``data``. If even the head is incomplete, the end is that of the head. A
    masked frame, which no server may send, is given an end that never comes.
    """
    head = data[at : at + 10]
    length = head[1] if len(head) > 1 else 0
    if length < 126:
        body = at + 2
    elif length > 127:
        return at + 2, _ENDLESS
    else:
        size = 2 if length == 126 else 8
        body = at + 2 + size
        length = int.from_bytes(head[2 : 2 + size], "big") if len(head) >= 2 + size else 0
    return body, body + length


def _masks() -> Iterator[bytes]:
    # One system call per thousand masks: each call needs 25 a second.
    while True:
        pool = os.urandom(4096)
        for at in range(0, len(pool), 4):
            yield pool[at : at + 4]


_MASKS: Final = _masks()


def _text_frame(message: bytes) -> bytes:
    """One unfragmented text message as a client sends it (RFC 6455, section 5.2)."""
    size = len(message)
    if size < 126:
        head = struct.pack("!BB", _FINAL_TEXT, _MASKED | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", _FINAL_TEXT, _MASKED | 126, size)
    else:
        head = struct.pack("!BBQ", _FINAL_TEXT, _MASKED | 127, size)
    mask = next(_MASKS)
    return b"".join((head, mask, apply_mask(message, mask)))

"""The WebSocket to the model, with a short way for audio.

``websockets`` parses each frame in a chain of generators, puts each message through a queue and a
task switch, and each ``send`` through a lock; ``openai`` puts a lock and a task look-up on top:
together more than half of what a call costs. Audio needs none of it, so this connection cuts the
stream into frames, hands whole text messages over at once, and sends at once what the socket takes
at once. All else (handshake, fragments, pings, closing, back pressure, errors) is theirs.
"""

from __future__ import annotations

import os
import struct
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
WRITE_AHEAD = 1 << 16  # bytes in the socket's buffer from which on ``send_now`` declines


class ModelConnection(ClientConnection):
    """A ``ClientConnection``; give it to ``websockets.connect`` as ``create_connection``.

    ``on_message`` gets the bytes of each text message, in order, in the event loop; it must not
    raise. What it does not get (no handler yet, fragmented messages) waits for ``recv`` as always.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_message: Callable[[bytes], None] | None = None
        self._begun = bytearray()  # a frame whose end has not come yet
        self._due = 0  # bytes of it from which on another look is worth while

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        while data and self.protocol.state is State.CONNECTING:
            # A line at a time: then what follows the handshake begins with a frame.
            line, newline, data = data.partition(b"\n")
            super().data_received(line + newline)
        if self._begun:
            self._begun += data
            if len(self._begun) < self._due:
                return
            data = bytes(self._begun)
            self._begun.clear()
        at, size = 0, len(data)
        while at < size and self.protocol.state is State.OPEN:
            body, end = _bounds(data, at)
            if end - body > (self.protocol.max_size or end):
                break  # an error, which websockets answers
            if end > size:
                self._begun += data[at:]
                self._due = end - at
                return
            if data[at] == _FINAL_TEXT and self.on_message is not None:
                self.on_message(data[body:end])
            else:
                super().data_received(data[at:end])
            at = end
        if at < size:
            super().data_received(data[at:])

    def send_now(self, message: bytes) -> bool:
        """Send a text message if that needs no waiting; False, and nothing is sent, if it does.

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

    It may end after ``data``, and so may its head: then this is where that ends, at least. A masked
    frame, which no server may send, has no end.
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
    # One system call for a thousand of them: this runs 25 times a second and call.
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

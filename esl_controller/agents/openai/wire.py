"""The WebSocket to the model, with a short cut for audio.

``media.websocket`` says why: it cuts what the socket brings into frames, and hands over whole text
messages. Sending is cut short, too: a message is written to the socket while that has room, where
``websockets`` takes a lock for each ``send`` and ``openai`` another one, and looks up the task.
Everything else (handshake, fragments, pings, closing, back pressure, errors) is left to
``websockets``.

For this it uses parts of ``websockets`` that are not public: ``protocol.state`` and
``protocol.max_size``, ``recv_messages.paused``, ``transport``, ``data_received`` and ``speedups``.
Therefore pyproject.toml bounds the version, and tests/agents/openai/test_wire.py fails when one of
them changes. (picows would need nothing private and costs no more, but the ``openai`` package
connects through ``websockets`` only.)
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.protocol import State

from media.websocket import MASKED, TEXT, FrameCutter, apply_mask

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
        self._cutter = FrameCutter(TEXT, self.protocol.max_size or inf, self._pass_on)
        self._later = b""  # frames that wait for the next turn of the loop

    @property
    def on_message(self) -> Callable[[bytes], None] | None:
        """Who gets the text messages."""
        return self._cutter.on_message

    @on_message.setter
    def on_message(self, on_message: Callable[[bytes], None]) -> None:
        self._cutter.on_message = on_message

    @property
    def in_frame(self) -> bool:
        """Whether a message has begun to come and is not complete."""
        return self._cutter.in_frame

    def data_received(self, data: bytes) -> None:
        """Called by the transport with what the socket received."""
        if self._later:
            self._later += data
            return
        while data and self.protocol.state is State.CONNECTING:
            # Line by line: what is left after the handshake then begins with a frame.
            line, newline, data = data.partition(b"\n")
            super().data_received(line + newline)
        if data and self.protocol.state is not State.OPEN:
            self._cutter.stop()
        self._later = self._cutter.feed(data, TURN_S)
        if self._later:
            self.transport.pause_reading()
            self.loop.call_soon(self._go_on)

    def _pass_on(self, data: bytes) -> None:
        super().data_received(data)
        if self.protocol.state is not State.OPEN:
            self._cutter.stop()

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
        head = struct.pack("!BB", TEXT, MASKED | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", TEXT, MASKED | 126, size)
    else:
        head = struct.pack("!BBQ", TEXT, MASKED | 127, size)
    mask = next(_MASKS)
    return b"".join((head, mask, apply_mask(message, mask)))

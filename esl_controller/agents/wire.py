"""The WebSocket to the model, with a short way for audio.

``websockets`` puts each message through a queue and a task switch, and each ``send`` through a
lock; ``openai`` puts a lock and a task look-up on top: together half of what a call costs. Audio
needs neither, so this connection hands complete messages over as they are parsed, and sends at
once what the socket takes at once. All else (handshake, pings, closing, back pressure) is theirs.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from typing import Any, Final

from websockets.asyncio.client import ClientConnection
from websockets.frames import Frame, Opcode
from websockets.protocol import State

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiled extension for this platform
    from websockets.utils import apply_mask

_FINAL_TEXT = 0x81
_MASKED = 0x80
WRITE_AHEAD = 1 << 16  # bytes in the socket's buffer from which on ``send_now`` declines


class ModelConnection(ClientConnection):
    """A ``ClientConnection``; give it to ``websockets.connect`` as ``create_connection``.

    ``on_message`` gets the bytes of each text message, in order, in the event loop; it must not
    raise. What it does not get (no handler yet, fragmented messages) waits for ``recv`` as always.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.on_message: Callable[[bytes], None] | None = None

    def process_event(self, event: Any) -> None:
        """Called by websockets for the handshake's response and for each frame."""
        if (
            self.on_message is not None
            and isinstance(event, Frame)
            and event.opcode is Opcode.TEXT
            and event.fin
        ):
            self.on_message(bytes(event.data))
        else:
            super().process_event(event)

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

"""A short cut through the WebSocket libraries, for audio: what a socket brings, cut into frames.

``websockets`` and ``aiohttp`` put each message through a queue and a task switch, which costs more
than all that is done with 20 to 100 ms of audio. So the connections to the model and to
mod_audio_stream cut the stream themselves (RFC 6455, section 5.2), and hand over the whole messages
that carry audio at once. Everything else goes to the library as it came, frame by frame: fragments,
pings, the close, and whatever breaks the protocol. [core]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from math import inf

try:
    from websockets.speedups import apply_mask
except ImportError:  # no compiled extension for this platform
    from websockets.utils import apply_mask

__all__ = ["BINARY", "MASKED", "TEXT", "FrameCutter", "apply_mask"]

TEXT = 0x81  # the first byte of an unfragmented text message
BINARY = 0x82
MASKED = 0x80  # in the second byte, with the length; what a client sends is masked

_ENDLESS = 1 << 64


class FrameCutter:
    """Cuts one side's bytes, which begin with a frame.

    ``on_message`` gets the payload of each whole message whose frame begins with the byte ``kind``,
    in order; it may be set to None, and the library gets them, too. ``library`` gets all other
    frames. A frame of more than ``limit`` bytes, or one that is not masked as ``masked`` says, is
    for the library to refuse: it gets everything from there on, and once ``stop`` was called.
    """

    def __init__(
        self, kind: int, limit: float, library: Callable[[bytes], None], *, masked: bool = False
    ) -> None:
        self.on_message: Callable[[bytes], None] | None = None
        self._kind = kind
        self._limit = limit
        self._library = library
        self._masked = masked
        self._stopped = False
        self._begun = bytearray()  # an incomplete frame
        self._due = 0  # its length, or that of its head as long as that is incomplete

    @property
    def in_frame(self) -> bool:
        """Whether a frame has begun to come and is not complete."""
        return bool(self._begun)

    def stop(self) -> None:
        """From here on everything is for the library."""
        self._stopped = True

    def feed(self, data: bytes, turn_s: float = inf) -> bytes:
        """Take what the socket has brought. Returns the frames for which ``turn_s`` seconds did not
        suffice: feed them before anything else."""
        if self._begun:
            self._begun += data
            if len(self._begun) < self._due and not self._stopped:
                return b""
            data = bytes(self._begun)
            self._begun.clear()
        at, size, ends = 0, len(data), 0.0
        while at < size and not self._stopped:
            body, end = self._bounds(data, at)
            if end - body > self._limit:
                self._stopped = True
                break
            if end > size:
                self._begun += data[at:]
                self._due = end - at
                return b""
            if data[at] == self._kind and self.on_message is not None:
                payload = data[body:end]
                if self._masked:
                    payload = apply_mask(payload, data[body - 4 : body])
                self.on_message(payload)
            else:
                self._library(data[at:end])
            at = end
            if at < size:
                # Most often there is one frame, and nobody looks at the clock.
                ends = ends or time.monotonic() + turn_s
                if time.monotonic() > ends:
                    return data[at:]
        if at < size:
            self._library(data[at:])
        return b""

    def _bounds(self, data: bytes, at: int) -> tuple[int, int]:
        """Where the payload of the frame at ``at`` begins and ends.

        The end may lie beyond ``data``. If even the head is incomplete, the end is that of the
        head. A frame that is masked though it must not be, or the other way round, is given an end
        that never comes.
        """
        if len(data) - at < 2:
            return at + 2, at + 2
        length = data[at + 1]
        body = at + 2
        if self._masked:
            length ^= MASKED
            body += 4
        if length > 127:
            return body, _ENDLESS
        if length > 125:
            size = 2 if length == 126 else 8
            length = int.from_bytes(data[at + 2 : at + 2 + size], "big")
            body += size
            if len(data) < body:
                return body, body
        return body, body + length

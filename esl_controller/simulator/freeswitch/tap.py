"""What is written to a channel, cut into the channel's own 20 ms frames.

Lane frames come between the ticks of the channel. To pair them with the caller's frames (mixed and
stereo streams, recordings) or to pass them on (a loopback) takes one per tick.
"""

from __future__ import annotations

from collections.abc import Callable

from esl_controller.simulator.freeswitch.audio import FrameBuffer, HeardFrames

_MAX_FRAMES = 50
"""A tap that nobody reads keeps a second and drops the oldest, as a media bug's buffer would."""


class Tap:
    """Follows :class:`HeardFrames` until :meth:`close`."""

    def __init__(self, heard: HeardFrames) -> None:
        self._buffer = FrameBuffer(heard.rate, _MAX_FRAMES)
        self._unwatch: Callable[[], None] | None = heard.watch(self._add)

    def _add(self, _: float, frame: bytes) -> None:
        self._buffer.add(frame)

    def frame(self) -> bytes:
        """The next frame; silence when none is due."""
        return self._buffer.frame()

    def close(self) -> None:
        """Stop following."""
        if self._unwatch:
            self._unwatch()
            self._unwatch = None

"""What is written to a channel, cut into the channel's own 20 ms frames.

Lane frames come between the ticks of the channel, now and then none or two in one tick. Whoever
pairs them with the caller's frames (mixed and stereo streams, recordings) needs one per tick.
"""

from __future__ import annotations

from collections.abc import Callable

from esl_controller.simulator.freeswitch.audio import Heard, silence

_MAX_FRAMES = 50
"""A tap that nobody reads keeps a second and drops the oldest, as a media bug's buffer would."""


class Tap:
    """Follows :class:`Heard` until :meth:`close`."""

    def __init__(self, heard: Heard) -> None:
        self._rate = heard.rate
        self._size = heard.rate // 50 * 2
        self._pending = bytearray()
        self._flowing = False
        self._unwatch: Callable[[], None] | None = heard.watch(self._add)

    def _add(self, _: float, frame: bytes) -> None:
        self._pending += frame
        del self._pending[: max(0, len(self._pending) - _MAX_FRAMES * self._size)]

    def frame(self) -> bytes:
        """The next frame; silence when none is due.

        After a pause it waits until more than one tick's worth is there, so that an even flow
        stays without holes.
        """
        enough = self._size if self._flowing else self._size + 2
        if len(self._pending) < enough:
            starting = not self._flowing and len(self._pending) >= self._size
            self._flowing = starting
            return silence(self._rate)
        self._flowing = True
        frame = bytes(self._pending[: self._size])
        del self._pending[: self._size]
        return frame

    def close(self) -> None:
        """Follow no longer."""
        if self._unwatch:
            self._unwatch()
            self._unwatch = None

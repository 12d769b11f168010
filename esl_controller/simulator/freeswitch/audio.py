"""The caller's side of the audio: what the caller says, and what the caller hears.

Samples are 16-bit signed mono; a frame is 20 ms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import soxr

from media.frame import Samples

FRAME_SECONDS = 0.02
MAX_QUEUED_SECONDS = 3600.0
"""What a caller may have queued to say; more is refused."""
MAX_LIVE_FRAMES = 3
"""Frames of a live speaker that wait for their tick (mod_loopback.c, ``FRAME_QUEUE_LEN``)."""
GAP_SECONDS = 0.04
"""A longer pause between two frames than this counts as silence."""


def resample(pcm: Samples, rate: int, to: int) -> Samples:
    """The same sound at another rate (Hz), in one piece; the very array when nothing changes."""
    if rate == to or not len(pcm):
        return pcm
    converted: npt.NDArray[np.float32] = soxr.resample(pcm.astype(np.float32), rate, to)
    return np.clip(np.rint(converted), -32768, 32767).astype(np.int16)


class FramedSound:
    """A sound that is played frame by frame, at any rate.

    At its own rate it comes out sample by sample as it went in; the last frame is filled up with
    silence.
    """

    def __init__(self, pcm: Samples, rate: int) -> None:
        self._pcm = np.ascontiguousarray(pcm, dtype=np.int16)
        self._rate = rate
        self._at: dict[int, bytes] = {}
        self.frames = -(-len(self._pcm) * 50 // rate)
        self.played = 0
        self.finished = asyncio.Event()
        if not self.frames:
            self.finished.set()

    def prepare(self, rate: int) -> None:
        """Resample now what :meth:`frame` will be asked for later."""
        if rate not in self._at:
            data = resample(self._pcm, self._rate, rate)[: self.frames * rate // 50].tobytes()
            self._at[rate] = data.ljust(self.frames * (rate // 50) * 2, b"\0")

    def frame(self, rate: int, index: int) -> bytes:
        """Frame number ``index`` at ``rate`` (Hz)."""
        if rate not in self._at:
            self.prepare(rate)
        size = rate // 50 * 2
        return self._at[rate][index * size : (index + 1) * size]

    def stop(self) -> None:
        """Play no more of it."""
        self.frames = min(self.frames, self.played)
        self.finished.set()


class FrameBuffer:
    """Takes frames at uneven times and gives out one per tick."""

    def __init__(self, rate: int, most: int) -> None:
        """``rate`` in Hz. The oldest frames are dropped beyond ``most``."""
        self.rate = rate
        self._size = rate // 50 * 2
        self._most = most * self._size
        self._pending = bytearray()
        self._flowing = False

    @property
    def full(self) -> bool:
        """Whether another frame would push one out."""
        return len(self._pending) > self._most - self._size

    def add(self, frame: bytes) -> None:
        """A frame, or any number of bytes."""
        self._pending += frame
        del self._pending[: max(0, len(self._pending) - self._most)]

    def frame(self) -> bytes:
        """The next frame; silence when none is due.

        After a pause it waits until more than one tick's worth is there, so that an even flow
        stays without holes.
        """
        enough = self._size if self._flowing else self._size + 2
        if len(self._pending) < enough:
            starting = not self._flowing and len(self._pending) >= self._size
            self._flowing = starting
            return silence(self.rate)
        self._flowing = True
        frame = bytes(self._pending[: self._size])
        del self._pending[: self._size]
        return frame


class LiveSpeech:
    """Speech that arrives frame by frame while it is spoken, not as a whole."""

    def __init__(self, rate: int) -> None:
        self._buffer = FrameBuffer(rate, MAX_LIVE_FRAMES)
        self._last = deque([silence(rate)] * 3, maxlen=3)

    def add(self, frame: bytes) -> None:
        """The next frame; it is lost if :data:`MAX_LIVE_FRAMES` wait."""
        if not self._buffer.full:
            self._buffer.add(frame)

    def advance(self) -> None:
        """Go on to the next frame."""
        self._last.append(self._buffer.frame())

    def frame(self, rate: int) -> bytes:
        """The current frame at ``rate`` (Hz); if that is not its own rate, the frame before.

        Resampling needs the neighbours on both sides to leave no seam.
        """
        if rate == self._buffer.rate:
            return self._last[-1]
        three = np.frombuffer(b"".join(self._last), np.int16)
        size = rate // 50
        return resample(three, self._buffer.rate, rate)[size : 2 * size].tobytes()


class CallerVoice:
    """What the caller says: sounds one after the other, silence or live speech in between.

    :meth:`advance` once per 20 ms; :meth:`frame` then gives that frame at any rate.
    """

    def __init__(self) -> None:
        self._queue: deque[FramedSound] = deque()
        self._queued = 0
        self._current: FramedSound | None = None
        self._index = 0
        self._live: LiveSpeech | None = None

    @property
    def pending_seconds(self) -> float:
        """How much is still to be said."""
        return self._queued * FRAME_SECONDS

    def queue(self, framed: FramedSound) -> None:
        """Say this after everything queued before.

        Raises OverflowError beyond :data:`MAX_QUEUED_SECONDS`.
        """
        if (self._queued + framed.frames) * FRAME_SECONDS > MAX_QUEUED_SECONDS:
            raise OverflowError(f"more than {MAX_QUEUED_SECONDS:.0f} s queued to be said")
        if framed.frames:
            self._queue.append(framed)
            self._queued += framed.frames

    def say(self, frame: bytes, rate: int) -> None:
        """Say a frame now, at ``rate`` (Hz), unless a queued sound is being said."""
        if self._live is None:
            self._live = LiveSpeech(rate)
        self._live.add(frame)

    def clear(self) -> None:
        """Fall silent; everything queued is dropped."""
        for framed in self._queue:
            framed.stop()
        self._queue.clear()
        self._queued = 0
        self._current = None
        self._live = None

    def advance(self) -> None:
        """Go on to the next frame."""
        self._current = None
        if self._live is not None:
            self._live.advance()
        while self._queue:
            framed = self._queue[0]
            if framed.played < framed.frames:
                self._current, self._index = framed, framed.played
                framed.played += 1
                self._queued -= 1
                return
            framed.finished.set()
            self._queue.popleft()
        self._queued = 0

    def frame(self, rate: int) -> bytes:
        """The current frame, at ``rate`` (Hz)."""
        if self._current is not None:
            return self._current.frame(rate, self._index)
        return silence(rate) if self._live is None else self._live.frame(rate)


_SILENCE: dict[int, bytes] = {}


def silence(rate: int) -> bytes:
    """20 ms of silence at ``rate`` (Hz)."""
    if rate not in _SILENCE:
        _SILENCE[rate] = bytes(rate // 50 * 2)
    return _SILENCE[rate]


@dataclass(slots=True)
class HeardFrames:
    """What the caller heard: every frame with its time of arrival."""

    rate: int
    """Hz, the channel's own."""
    clock: Callable[[], float]
    frames: list[tuple[float, bytes]] = field(default_factory=list)
    """(monotonic seconds, 16-bit samples), as they came."""
    started: float | None = None
    """Monotonic seconds of the answer: the start of the timeline."""
    _waiters: list[Callable[[float, bytes], None]] = field(default_factory=list)

    def add(self, frame: bytes) -> None:
        """A frame reaches the caller now."""
        now = self.clock()
        self.frames.append((now, frame))
        for waiter in tuple(self._waiters):
            waiter(now, frame)

    def watch(self, callback: Callable[[float, bytes], None]) -> Callable[[], None]:
        """Call back for every frame to come; the result ends it."""
        self._waiters.append(callback)
        return lambda: self._waiters.remove(callback)

    def pcm(self, rate: int | None = None) -> Samples:
        """The timeline from the answer on, as one piece at ``rate`` (Hz).

        Frames follow each other as they came; where more than :data:`GAP_SECONDS` is missing,
        silence is filled in. Shorter gaps are not filled, so that lateness does not cut speech.
        """
        pieces: list[bytes] = []
        if self.frames:
            end = self.started if self.started is not None else self.frames[0][0]
            for at, frame in self.frames:
                gap = at - end
                if gap > GAP_SECONDS:
                    samples = round(gap * self.rate)
                    pieces.append(bytes(samples * 2))
                    end += samples / self.rate
                pieces.append(frame)
                end += len(frame) / 2 / self.rate
        pcm = np.frombuffer(b"".join(pieces), np.int16)
        return resample(pcm, self.rate, rate or self.rate)


def level(frame: bytes) -> float:
    """The loudness of a frame: root mean square, 0 to 32768."""
    samples = np.frombuffer(frame[: len(frame) // 2 * 2], np.int16)
    if not len(samples):
        return 0.0
    return float(np.sqrt(np.mean(samples.astype(np.float32) ** 2)))

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

Pcm = npt.NDArray[np.int16]

FRAME_SECONDS = 0.02
MAX_QUEUED_SECONDS = 3600.0
"""What a caller may have queued to say; more is refused."""
GAP_SECONDS = 0.04
"""A frame that arrives later than this after the one before it ended leaves a silence between."""


def resample(pcm: Pcm, rate: int, to: int) -> Pcm:
    """The same sound at another rate (Hz), in one piece; the very array when nothing changes."""
    if rate == to or not len(pcm):
        return pcm
    converted: npt.NDArray[np.float32] = soxr.resample(pcm.astype(np.float32), rate, to)
    return np.clip(np.rint(converted), -32768, 32767).astype(np.int16)


class Utterance:
    """Something to play frame by frame, at whatever rate it is asked for.

    Sound asked for at its own rate comes out sample by sample as it went in; the last frame is
    filled with silence.
    """

    def __init__(self, pcm: Pcm, rate: int) -> None:
        self._pcm = np.ascontiguousarray(pcm, dtype=np.int16)
        self._rate = rate
        self._at: dict[int, bytes] = {}
        self.frames = -(-len(self._pcm) * 50 // rate)
        self.played = 0
        self.finished = asyncio.Event()
        if not self.frames:
            self.finished.set()

    def prepare(self, rate: int) -> None:
        """Resample now what :meth:`frame` will want later."""
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
        """Say no more of it."""
        self.frames = min(self.frames, self.played)
        self.finished.set()


class Voice:
    """What the caller says: utterances one after the other, silence in between.

    :meth:`advance` once per 20 ms; :meth:`frame` then gives that frame at any rate.
    """

    def __init__(self) -> None:
        self._queue: deque[Utterance] = deque()
        self._queued = 0
        self._current: Utterance | None = None
        self._index = 0

    @property
    def pending_seconds(self) -> float:
        """How much is still to be said."""
        return self._queued * FRAME_SECONDS

    @property
    def speaking(self) -> bool:
        """Whether the present frame is speech rather than the silence between utterances."""
        return self._current is not None

    def queue(self, utterance: Utterance) -> None:
        """Say this after everything queued before.

        Raises OverflowError beyond :data:`MAX_QUEUED_SECONDS`.
        """
        if (self._queued + utterance.frames) * FRAME_SECONDS > MAX_QUEUED_SECONDS:
            raise OverflowError(f"more than {MAX_QUEUED_SECONDS:.0f} s queued to be said")
        if utterance.frames:
            self._queue.append(utterance)
            self._queued += utterance.frames

    def clear(self) -> None:
        """Fall silent; everything queued is dropped."""
        for utterance in self._queue:
            utterance.stop()
        self._queue.clear()
        self._queued = 0
        self._current = None

    def advance(self) -> None:
        """Go on to the next frame."""
        self._current = None
        while self._queue:
            utterance = self._queue[0]
            if utterance.played < utterance.frames:
                self._current, self._index = utterance, utterance.played
                utterance.played += 1
                self._queued -= 1
                return
            utterance.finished.set()
            self._queue.popleft()
        self._queued = 0

    def frame(self, rate: int) -> bytes:
        """The present frame, at ``rate`` (Hz)."""
        if self._current is None:
            return silence(rate)
        return self._current.frame(rate, self._index)


_SILENCE: dict[int, bytes] = {}


def silence(rate: int) -> bytes:
    """20 ms of silence at ``rate`` (Hz)."""
    if rate not in _SILENCE:
        _SILENCE[rate] = bytes(rate // 50 * 2)
    return _SILENCE[rate]


@dataclass(slots=True)
class Heard:
    """What the caller heard: every frame with its arrival, never changed, only added to."""

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

    def pcm(self, rate: int | None = None) -> Pcm:
        """The timeline from the answer on, as one piece at ``rate`` (Hz).

        Frames follow each other as they came; where more than :data:`GAP_SECONDS` is missing,
        silence stands for it. Small lateness is not filled, so that it does not cut speech.
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

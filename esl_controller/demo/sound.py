"""Finding sounds in what was heard: where they begin, and whether they are all there. [core]

Samples are 16-bit signed mono, shape (n,); positions are sample indices.
"""

from __future__ import annotations

import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from media.frame import FRAME_MS, Samples, samples

FRAME_S = FRAME_MS / 1000

_LOUD = 300  # of 32768: what is louder is a sound, not the hiss of an encoding
_NEEDLE_S = 0.2
_BLOCK_S = 0.1
_EARLY_S, _LATE_S = 0.06, 0.5  # how far a block may be from its place after the one before it
_SAME = 0.95
_CATCH_UP = 5  # frames within which a sender that was held up is in time again


@dataclass(frozen=True)
class Found:
    """Where a sound begins, and how like it is: 1.0 is the very same, whatever the volume."""

    at: int
    likeness: float


def find(sound: Samples, within: Samples) -> Found:
    """The place in ``within`` that is most like ``sound``; likeness 0 where it does not fit in."""
    last = within.size - sound.size
    if last < 0 or not sound.size:
        return Found(0, 0.0)
    size = 1 << (within.size + sound.size).bit_length()
    hay, needle = within.astype(np.float64), sound.astype(np.float64)
    spectrum = np.fft.rfft(hay, size) * np.conj(np.fft.rfft(needle, size))
    products = np.fft.irfft(spectrum, size)[: last + 1]
    energy = float(needle @ needle)
    sums: npt.NDArray[np.float64] = np.concatenate((np.zeros(1), np.cumsum(hay * hay)))
    # In near silence, rounding errors must not look like a match.
    local = np.maximum(sums[sound.size :] - sums[: last + 1], 0.01 * energy + 1.0)
    likeness = products / np.sqrt(local * max(energy, 1.0))
    best = int(np.argmax(likeness))
    return Found(best, float(likeness[best]))


def sounding(values: Samples) -> tuple[int, int]:
    """First sample of the first sound, and last of the last; (0, 0) in silence."""
    loud = np.flatnonzero(np.abs(values.astype(np.int32)) > _LOUD)
    return (int(loud[0]), int(loud[-1])) if loud.size else (0, 0)


def locate(sound: Samples, rate: int, within: Samples) -> int | None:
    """Where ``sound`` begins in ``within``, going by its first fifth of a second of sound."""
    first, _ = sounding(sound)
    found = find(sound[first : first + int(_NEEDLE_S * rate)], within)
    return found.at - first if found.likeness >= _SAME else None


def share(sound: Samples, rate: int, within: Samples, begins: int) -> float:
    """How much of ``sound``, which begins at ``begins``, is in ``within``, in its order: 0 to 1.

    It is compared by tenths of a second, each with what comes after the one before it, so that a
    pause in the middle (a gap, but nothing is lost) costs no more than itself.
    """
    block, early, late = (int(seconds * rate) for seconds in (_BLOCK_S, _EARLY_S, _LATE_S))
    there = of = 0
    for at in range(0, sound.size - block // 2, block):
        part = sound[at : at + block]
        if np.abs(part.astype(np.int32)).max() <= _LOUD:
            continue
        of += 1
        start = max(0, begins + at - early)
        found = find(part, within[start : begins + at + part.size + late])
        if found.likeness >= _SAME:
            there += 1
            begins = start + found.at - at
    return there / of if of else 0.0


class Track:
    """Frames as they arrived: ``samples`` is one after the other, with no time between them."""

    def __init__(self, frames: Sequence[tuple[float, bytes]], rate: int) -> None:
        """``frames``: (monotonic seconds, 20 ms of 16-bit samples); ``rate`` in Hz."""
        self.samples: Samples = samples(b"".join(frame for _, frame in frames))
        self._times = np.array([at for at, _ in frames])
        self._size = rate * FRAME_MS // 1000

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self._times)

    def after(self, time: float) -> int:
        """The first sample of the first frame that arrived at ``time`` or later."""
        return int(np.searchsorted(self._times, time)) * self._size

    def arrival(self, sample: int) -> float:
        """When the frame with this sample arrived."""
        return float(self._times[min(sample // self._size, len(self) - 1)])

    def last_sound(self, first: int, end: int) -> int:
        """The last sample that is not silence, from ``first`` to before ``end``."""
        audible = np.flatnonzero(self.samples[first:end])
        return first + int(audible[-1]) if audible.size else first

    def missing(self, first: int, last: int) -> int:
        """Frames that should have come between two samples, one every 20 ms, and did not."""
        frames = last // self._size - first // self._size + 1
        due = round((self.arrival(last) - self.arrival(first)) / FRAME_S) + 1
        return max(0, due - frames)


def lay_out(frames: Sequence[tuple[float, bytes]], rate: int, zero: float) -> Samples:
    """The frames where they belong in time, from the moment ``zero`` on, with silence between.

    A single late frame leaves no hole before it: the frames after it, which are in time, show that
    nothing is missing.
    """
    pieces: list[bytes] = []
    end = zero
    for number, (_, frame) in enumerate(frames):
        following = enumerate(frames[number : number + _CATCH_UP])
        due = min(at - later * FRAME_S for later, (at, _) in following)
        if due - end > FRAME_S / 2 or not pieces:
            count = max(0, round((due - end) * rate))
            pieces.append(bytes(2 * count))
            end += count / rate
        pieces.append(frame)
        end += len(frame) / 2 / rate
    return samples(b"".join(pieces))


def write_stereo(path: Path, left: Samples, right: Samples, rate: int) -> None:
    """A WAV file. Raises OSError."""
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, rate, 0, "NONE", ""))
        file.writeframes(np.column_stack((left, right)).astype("<i2").tobytes())

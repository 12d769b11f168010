"""Voice activity detection: when somebody starts and stops speaking. [core]

It goes by energy: a 20 ms frame is loud if it is above an absolute level and well above the noise
of the line. The noise is the quietest 60 ms of the last three seconds. So steady noise, however
loud, becomes the floor, and speech does not, because it dips between its syllables. A DC offset
does not matter: each frame's mean is removed. Time is counted in whole samples, so the result does
not depend on how the audio is cut into chunks.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from math import log10
from typing import Final, TypeAlias

import numpy as np

from media.frame import FRAME_MS, Samples

_BLOCK_FRAMES: Final = 500 // FRAME_MS
_BLOCKS: Final = 6
_QUIETEST_FLOOR_DB: Final = -65.0  # on a muted line everything would be loud
_LOUDEST_FLOOR_DB: Final = -30.0  # nobody should have to shout
_HYSTERESIS_DB: Final = 6.0
_FULL_SCALE_POWER: Final = 32768.0**2
_SILENCE_POWER: Final = _FULL_SCALE_POWER * 1e-10


@dataclass(frozen=True)
class VoiceStarted:
    """Speech began. `at_ms`: milliseconds since the first sample, minus `prefix_ms`."""

    at_ms: int


@dataclass(frozen=True)
class VoiceStopped:
    """Speech ended. `at_ms`: milliseconds since the first sample, after the `silence_ms`."""

    at_ms: int


VoiceEvent: TypeAlias = VoiceStarted | VoiceStopped


class VoiceActivity:
    """Finds speech in one stream of samples at `rate` Hz.

    threshold: 0 (hears everything) to 1; 0.5 needs -45 dBFS and 12 dB above the line's noise.
    silence_ms: speech has stopped after so much quiet.
    prefix_ms: so much audio before the first loud frame belongs to the speech, too.
    min_speech_ms: so much must be loud, within twice that time, to be speech and not a click.
    Raises ValueError for values out of range, and for a rate without whole 20 ms frames.
    """

    def __init__(
        self,
        rate: int,
        *,
        threshold: float = 0.5,
        silence_ms: int = 500,
        prefix_ms: int = 300,
        min_speech_ms: int = 80,
    ) -> None:
        if rate <= 0 or rate * FRAME_MS % 1000:
            raise ValueError(f"no whole {FRAME_MS} ms frames at {rate} Hz")
        if not 0 <= threshold <= 1:
            raise ValueError(f"threshold must be between 0 and 1, not {threshold}")
        if min(silence_ms, prefix_ms, min_speech_ms) < 0:
            raise ValueError("silence_ms, prefix_ms and min_speech_ms must not be negative")
        self._size = rate * FRAME_MS // 1000
        self._least_db = -55 + 20 * threshold
        self._margin_db = 6 + 12 * threshold
        self._silence_frames = max(1, -(-silence_ms // FRAME_MS))
        self._speech_frames = max(1, -(-min_speech_ms // FRAME_MS))
        self._prefix_ms = prefix_ms
        self._rest = np.empty(0, np.int16)
        self._frames = 0
        self._floor = _NoiseFloor()
        self._speaking = False
        # Twice the frames that must be loud, so that a dip between syllables does no harm.
        self._recent: deque[bool] = deque(maxlen=2 * self._speech_frames)
        self._quiet = 0
        self._stopped_ms = 0

    @property
    def speaking(self) -> bool:
        """Whether the last event was a start."""
        return self._speaking

    @property
    def noise_db(self) -> float:
        """The line's noise as measured so far, in dBFS."""
        return self._floor.db

    def feed(self, samples: Samples) -> list[VoiceEvent]:
        """Take any number of int16 samples, shape (n,); returns the starts and stops in them."""
        audio = np.concatenate((self._rest, samples)) if self._rest.size else samples
        count = audio.size // self._size
        self._rest = audio[count * self._size :].copy()
        if not count:
            return []
        frames = audio[: count * self._size].astype(np.int64).reshape(count, self._size)
        squares = np.einsum("ij,ij->i", frames, frames).tolist()
        sums = frames.sum(axis=1).tolist()
        events: list[VoiceEvent] = []
        for square, total in zip(squares, sums, strict=True):
            power = square / self._size - (total / self._size) ** 2
            event = self._frame(10 * log10(max(power, _SILENCE_POWER) / _FULL_SCALE_POWER))
            if event is not None:
                events.append(event)
        return events

    def end_turn(self) -> None:
        """Forget the speech that is going on, without an event: its audio was used or discarded.

        If it continues, it starts anew, and not before now.
        """
        self._speaking = False
        self._quiet = 0
        self._recent.clear()
        self._stopped_ms = self._frames * FRAME_MS

    def _frame(self, level_db: float) -> VoiceEvent | None:
        start_db = max(self._least_db, self._floor.db + self._margin_db)
        self._floor.update(level_db)
        self._frames += 1
        if self._speaking:
            return self._while_speaking(level_db, start_db - _HYSTERESIS_DB)
        return self._while_silent(level_db, start_db)

    def _while_silent(self, level_db: float, start_db: float) -> VoiceEvent | None:
        self._recent.append(level_db >= start_db)
        if sum(self._recent) < self._speech_frames:
            return None
        onset = self._frames - len(self._recent) + self._recent.index(True)
        self._speaking, self._quiet = True, 0
        self._recent.clear()
        return VoiceStarted(max(self._stopped_ms, onset * FRAME_MS - self._prefix_ms))

    def _while_speaking(self, level_db: float, keep_db: float) -> VoiceEvent | None:
        self._quiet = 0 if level_db >= keep_db else self._quiet + 1
        if self._quiet < self._silence_frames:
            return None
        self.end_turn()
        return VoiceStopped(self._stopped_ms)


class _NoiseFloor:
    """The least of the last three seconds' levels, each the highest of three frames."""

    def __init__(self) -> None:
        self.db = _QUIETEST_FLOOR_DB
        self._before: tuple[float, float] | None = None
        self._blocks: deque[float] = deque(maxlen=_BLOCKS)
        self._block = 0.0
        self._count = 0

    def update(self, level_db: float) -> None:
        # Before the first frame the line is taken to have been as noisy as in that frame.
        older, old = self._before or (level_db, level_db)
        self._before = old, level_db
        self._block = min(self._block, max(older, old, level_db))
        least = min(self._block, *self._blocks) if self._blocks else self._block
        self.db = min(max(least, _QUIETEST_FLOOR_DB), _LOUDEST_FLOOR_DB)
        self._count += 1
        if self._count == _BLOCK_FRAMES:
            self._blocks.append(self._block)
            self._block, self._count = 0.0, 0

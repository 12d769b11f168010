"""Whether what a caller's line brings is a machine's tone: a dial tone, a fax, a busy tone. [core]

A turn that is nothing but a tone is no turn. This must never take a voice for a tone, or somebody
who said "mm-hm" would get no answer, so it knows a tone by all that a voice never has together:

- One or two frequencies have nearly all of the energy. Every tone of a telephone network is so made
  (ITU-T E.180, T.30, Q.23).
- They stand still, within 1.5 Hz, for a quarter of a second in all. A voice that holds a note moves
  more than that.
- They are above 320 Hz. Below that a hum has most of its energy.

A tone may also come after something else, as a dial tone does when the other side has hung up. Then
it has to last for two seconds.
"""

from __future__ import annotations

from math import log10
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

from media.frame import FRAME_MS, Samples

_RATE: Final = 8000
_FRAME: Final = _RATE * FRAME_MS // 1000
_WINDOW: Final = 1024  # 128 ms: 440 and 480 Hz, a ringing tone, are two peaks
_BIN_HZ: Final = _RATE / _WINDOW
_LOBE: Final = 2  # bins on each side of a peak that belong to it
_SHAPE: Final = np.hanning(_WINDOW + 1)[:-1]

_LEAST_DB: Final = -45.0
_STEADY_DB: Final = 1.0  # most change from the window before: no beginning and no end
_PURE: Final = 0.9  # of the energy
_STRONG: Final = 0.05  # of the energy: a peak that counts
_LOWEST_HZ: Final = 320.0
_SAME_HZ: Final = 1.5

_TONE_FRAMES: Final = 240 // FRAME_MS
_OTHER_FRAMES: Final = 3
# Once the sound has held anything else, one frame in so many is looked at, and more must be tone.
_EVERY: Final = 5
_LATE_FRAMES: Final = 2000 // FRAME_MS // _EVERY
_FULL_SCALE_POWER: Final = 32768.0**2

_Floats: TypeAlias = npt.NDArray[np.float64]


class ToneCheck:
    """Judges one sound, from a while before it was reported on.

    rate: of the samples in Hz, a multiple of 8000; else ValueError.
    ``is_tone``: it is a tone now. ``alone``: it was nothing else before.
    """

    def __init__(self, rate: int) -> None:
        if rate <= 0 or rate % _RATE:
            raise ValueError(f"rate must be a multiple of {_RATE} Hz, not {rate}")
        self.is_tone = False
        self.alone = True
        self._step = rate // _RATE
        self._rest = np.empty(0, np.int16)
        self._past: _Floats = np.zeros(_WINDOW)
        self._level_db = -np.inf
        self._peaks: tuple[float, ...] = ()
        self._frames = self._tones = self._others = 0

    def feed(self, samples: Samples) -> bool:
        """Take any number of int16 samples, shape (n,); returns ``is_tone``, which is final once it
        is true."""
        audio = np.concatenate((self._rest, samples))
        size = _FRAME * self._step
        whole = audio.size - audio.size % size
        self._rest = audio[whole:].copy()
        for frame in audio[:whole].reshape(-1, _FRAME, self._step).mean(axis=2):
            if self.is_tone:
                break
            self._past = np.concatenate((self._past[_FRAME:], frame))
            self._judge()
        return self.is_tone

    def _judge(self) -> None:
        self._frames += 1
        shaped = (self._past - self._past.mean()) * _SHAPE
        power = float(shaped @ shaped) * 8 / 3 / _WINDOW  # the shape takes 3/8 of it
        before, self._level_db = self._level_db, 10 * log10(power / _FULL_SCALE_POWER + 1e-12)
        if self._level_db < _LEAST_DB or abs(self._level_db - before) > _STEADY_DB:
            return
        if not self.alone and self._frames % _EVERY:
            return
        if self._like_tone(shaped):
            self._tones += 1
            self.is_tone = self._tones >= (_TONE_FRAMES if self.alone else _LATE_FRAMES)
            return
        self._others += 1
        if self._others == _OTHER_FRAMES:
            self.alone = False
            self._tones = self._others = 0

    def _like_tone(self, shaped: _Floats) -> bool:
        """Whether the newest window holds a tone, the same as the one before it."""
        power = np.abs(np.fft.rfft(shaped)) ** 2
        total = float(power.sum())
        peaks, energy = [], 0.0
        for _ in range(2):
            at = int(power.argmax())
            lobe = slice(max(at - _LOBE, 0), at + _LOBE + 1)
            share = float(power[lobe].sum()) / total
            energy += share
            if share >= _STRONG:
                peaks.append(_frequency(power, at))
            power[lobe] = 0.0
        found = tuple(sorted(peaks))
        same = len(found) == len(self._peaks) and all(
            abs(now - before) <= _SAME_HZ for now, before in zip(found, self._peaks, strict=True)
        )
        if not same:
            self._peaks = found
        return same and energy >= _PURE and found[0] >= _LOWEST_HZ


def _frequency(power: _Floats, at: int) -> float:
    """The frequency of the peak at bin ``at`` in Hz: the top of the parabola through three bins."""
    if not 0 < at < power.size - 1:
        return at * _BIN_HZ
    left, top, right = np.log(power[at - 1 : at + 2] + 1e-9).tolist()
    return float((at + 0.5 * (left - right) / (left - 2 * top + right or -1.0)) * _BIN_HZ)

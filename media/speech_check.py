"""Whether a sound from the caller is speech, or a cough, an echo or noise. [core]

The playout is paused until this is known, so it has to be quick: a quarter of a second of voice is
enough. Three rules decide, on frames of 20 ms at 8 kHz, each seen together with the 20 ms before:

- Voiced: the sound repeats itself after one period of a pitch of 70 to 400 Hz (normalised
  correlation). Noise, clicks and most of a cough do not.
- Gliding: the pitch keeps moving in the direction in which it moved before. A voice glides all the
  time; a note, a hum or a tone stands still, and a melody jumps. Two in five frames of a voice are
  gliding, and one in fifty of music.
- Loud: our own voice comes back as speech, only fainter. An echo 20 dB below what we play is under
  the level that is required here; a louder echo passes for a caller.

It errs: three seconds of recorded music pass for speech one time in twenty-five, and so does
anything that sings, barks or sweeps like a voice. A caller who holds one tone ("aaaah") is not
recognised before the pitch moves, and one who says a single short syllable not at all.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from math import isfinite, log2
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from media.frame import FRAME_MS, Samples

_RATE: Final = 8000  # enough for a pitch, whatever the stream's rate
_FRAME: Final = _RATE * FRAME_MS // 1000
_LOOK_BACK: Final = 2 * _FRAME
_SHORTEST: Final = _RATE // 400  # samples in one period
_LONGEST: Final = _RATE // 70
_SPAN: Final = _LOOK_BACK - _LONGEST - 1  # samples compared with those one period earlier
# Low-pass, 1 kHz: the higher formants of a low voice change too much from one period to the next.
_SMOOTHING: Final = np.array([1, 2, 3, 2, 1]) / 9

_VOICED: Final = 0.6  # least correlation
_CLEAR: Final = 0.75  # least correlation to trust in how the pitch moves; chords stay below it
_SAME_PEAK: Final = 0.9  # of the highest: a peak at two periods must not win over the one at one
_LEAST_STEP: Final = 0.1  # semitones per frame; less is a note that is held
_LARGEST_STEP: Final = 2.5  # semitones per frame; more is another note
_GLIDING_SHARE: Final = 0.25  # of the voiced frames

_BELOW_REFERENCE_DB: Final = 14.0  # an echo's loudest quarter second is 6 dB above its mean
_LEAST_DB: Final = -50.0
_FRAME_BELOW_DB: Final = 9.0  # a single voiced frame may be this much fainter than their mean
_FULL_SCALE_POWER: Final = 32768.0**2

_QUIET_FRAMES: Final = 300 // FRAME_MS
_CREDIT_FRAMES: Final = 100 // FRAME_MS  # for a gliding frame, which is rare in music

_Floats: TypeAlias = npt.NDArray[np.float64]


class Verdict(Enum):
    """What a sound turned out to be."""

    SPEECH = "speech"
    NOISE = "noise"


class _Voiced(NamedTuple):
    power: float  # 0 for a frame that is not voiced
    gliding: bool


_UNVOICED: Final = _Voiced(0.0, False)


class SpeechCheck:
    """Judges one sound that was reported as speech.

    rate: of the samples in Hz, a multiple of 8000.
    confirm_ms: so much voice, within twice that time, is speech.
    lead_ms: so much of the audio is from before the report. No NOISE until 300 ms after the report.
    reference_db: the level of what we play meanwhile, dBFS RMS. The voice may be at most 14 dB
    fainter than that, and never fainter than -50 dBFS.
    Raises ValueError for values out of range.
    """

    def __init__(
        self,
        rate: int,
        confirm_ms: int = 240,
        *,
        lead_ms: int = 500,
        reference_db: float = -20.0,
    ) -> None:
        if rate <= 0 or rate % _RATE:
            raise ValueError(f"rate must be a multiple of {_RATE} Hz, not {rate}")
        if confirm_ms < FRAME_MS or lead_ms < 0:
            raise ValueError(f"confirm_ms must be at least {FRAME_MS}, lead_ms not negative")
        if not isfinite(reference_db):
            raise ValueError(f"reference_db must be a number, not {reference_db}")
        self._step = rate // _RATE
        self._rest = np.empty(0, np.int16)
        self._past: _Floats = np.zeros(_LOOK_BACK + _SMOOTHING.size - 1)
        least_db = max(reference_db - _BELOW_REFERENCE_DB, _LEAST_DB)
        self._least_power = _FULL_SCALE_POWER * 10 ** (least_db / 10)
        self._least_frame_power = self._least_power * 10 ** (-_FRAME_BELOW_DB / 10)
        frames = -(-confirm_ms // FRAME_MS)
        # One less, because the first frame of a voice is judged together with silence before it.
        self._needed = max(frames - 1, 1)
        self._recent: deque[_Voiced] = deque(maxlen=2 * frames)
        self._period = 0.0  # of the last frame, in samples; 0 if it was not voiced
        self._glide = 0.0  # the last step of the pitch in semitones; 0 if it stood still or jumped
        self._unlike = -(lead_ms // FRAME_MS)  # frames since the last one that was like speech
        self._confirmed = False

    def feed(self, samples: Samples) -> Verdict | None:
        """Take any number of int16 samples, shape (n,); returns the last verdict on them, if any.

        SPEECH comes once and is final: after it, always None. NOISE comes after 300 ms without
        anything like speech, and again after each further 300 ms; SPEECH may still follow.
        """
        audio = np.concatenate((self._rest, samples))
        size = _FRAME * self._step
        whole = audio.size - audio.size % size
        self._rest = audio[whole:].copy()
        verdict = None
        frames = audio[:whole].reshape(-1, _FRAME, self._step).mean(axis=2)
        for frame in frames:
            if self._confirmed:
                return verdict
            verdict = self._hear(frame) or verdict
        return verdict

    def _hear(self, frame: _Floats) -> Verdict | None:
        self._past = np.concatenate((self._past[_FRAME:], frame))
        judged = self._judge()
        self._recent.append(judged)
        if judged.power and self._is_speech():
            self._confirmed = True
            return Verdict.SPEECH
        like_speech = judged.gliding and judged.power >= self._least_power
        if like_speech and self._unlike >= 0:
            self._unlike = max(self._unlike - _CREDIT_FRAMES, 0)
            return None
        self._unlike += 1
        if self._unlike < _QUIET_FRAMES:
            return None
        self._unlike = 0
        return Verdict.NOISE

    def _judge(self) -> _Voiced:
        """Judge the newest frame, and keep its pitch for the next one."""
        newest = self._past[-_FRAME:]
        power = float(newest @ newest) / _FRAME - float(newest.mean()) ** 2
        before, self._period, alike = self._period, 0.0, 0.0
        if power >= self._least_frame_power:
            self._period, alike = _period(self._past)
        if not self._period:
            self._glide = 0.0
            return _UNVOICED
        step = 12 * log2(before / self._period) if before else 0.0
        glide = step if _LEAST_STEP < abs(step) < _LARGEST_STEP else 0.0
        gliding = glide * self._glide > 0 and alike >= _CLEAR
        self._glide = glide
        return _Voiced(power, gliding)

    def _is_speech(self) -> bool:
        voiced = [frame for frame in self._recent if frame.power]
        count = len(voiced)
        return (
            count >= self._needed
            and sum(frame.gliding for frame in voiced) >= _GLIDING_SHARE * count
            and sum(frame.power for frame in voiced) >= self._least_power * count
        )


def _period(past: _Floats) -> tuple[float, float]:
    """The period of the sound in samples, with a fraction, and how alike two periods are.

    (0, 0) if it is not voiced.
    """
    past = np.convolve(past - past.mean(), _SMOOTHING, "valid")
    # products[i]: the last _SPAN samples times those that are _LONGEST + 1 - i earlier.
    products = np.correlate(past, past[-_SPAN:], "valid")
    energies = np.concatenate(([0.0], np.cumsum(past * past)))
    energies = energies[_SPAN:] - energies[:-_SPAN]
    alike = products / np.sqrt(energies * energies[-1] + _SPAN**2)
    alike = alike[::-1]  # now alike[i] is for a lag of i samples
    lags = alike[_SHORTEST - 1 :]
    middle = lags[1:-1]
    highest = middle.max()
    if highest <= _VOICED:
        return 0.0, 0.0
    peaks = (middle > lags[:-2]) & (middle >= lags[2:]) & (middle >= _SAME_PEAK * highest)
    at = int(peaks.argmax())
    if not peaks[at]:
        return 0.0, 0.0
    left, top, right = lags[at : at + 3].tolist()
    # The top of the parabola through the three, because 0.1 semitones are less than one sample.
    return _SHORTEST + at + 0.5 * (left - right) / (left - 2 * top + right), top

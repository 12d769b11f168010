"""Hold music made by a formula: calm, free of rights, looping without a seam."""

from __future__ import annotations

from functools import cache

import numpy as np

from media.frame import Samples

_BEAT_S = 0.5
_LEVEL = 0.12  # of full scale: about -26 dBFS with all voices, quieter than speech
_RING_S = 1.4  # of a note

# Broken chords, in semitones from A3; two beats a chord tone, four chords, twice.
_CHORDS = ((0, 4, 7, 12), (-3, 0, 4, 9), (-7, -3, 0, 5), (-5, -1, 2, 7))
_NOTES = [chord[step] for chord in (*_CHORDS, *_CHORDS) for step in (0, 1, 2, 3, 2, 1)]


@cache
def loop(rate: int) -> Samples:
    """One round of the music at ``rate`` Hz, shape (n,) of whole 20 ms frames, read-only."""
    count = round(len(_NOTES) * _BEAT_S * rate)
    sound = np.zeros(count)
    time = np.arange(round(_RING_S * rate)) / rate
    envelope = (
        np.minimum(1, time / 0.01) * np.exp(-3 * time) * np.minimum(1, (_RING_S - time) / 0.1)
    )
    for index, semitones in enumerate(_NOTES):
        pitch = 220 * 2 ** (semitones / 12)
        note = np.sin(2 * np.pi * pitch * time) + 0.3 * np.sin(4 * np.pi * pitch * time)
        # What rings beyond the end wraps around to the beginning.
        at = (round(index * _BEAT_S * rate) + np.arange(time.size)) % count
        sound[at] += note * envelope
    values = np.rint(sound * _LEVEL * 32767).astype(np.int16)
    values.setflags(write=False)
    return values

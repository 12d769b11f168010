"""Finding the utterances in a voice stream that never pauses. [core]

GPT-Live streams its output without end, in real time, silence included, and does not say where
speech begins or ends. The playout has to know. The level tells it: between utterances it is zero or
nearly so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from media.frame import FRAME_MS, Format, decoder

SILENCE_MS: Final = 800  # ends an utterance; a pause between its sentences is shorter
LEAD_MS: Final = 80
"""How much audio before the first loud frame belongs to an utterance: its soft onset, and a reserve
for the playout while the next message is late."""

_LOUD: Final = 33.0  # root mean square of a frame; -60 dBFS


@dataclass(frozen=True)
class Cut:
    """The part of a piece that belongs to an utterance; ``audio`` is empty if there is none."""

    audio: bytes = b""
    began: bool = False
    ended: bool = False


class Utterances:
    """Cuts one stream in format ``audio``. Pieces may have any size, in whole samples."""

    def __init__(self, audio: Format) -> None:
        self._format = audio
        self._decode = decoder(audio.encoding)
        self._lead_bytes = audio.frame_bytes * LEAD_MS // FRAME_MS
        self._lead = b""
        self._quiet_ms = 0.0
        self.speaking = False

    def feed(self, data: bytes) -> Cut:
        """Take the next piece. Raises ValueError for half a sample."""
        loud = self._loud_frames(data)
        size = self._format.frame_bytes
        if not self.speaking and not loud:
            self._lead = (self._lead + data)[-self._lead_bytes :]
            return Cut()
        began = not self.speaking
        if began:
            first = loud[0] * size
            before = (self._lead + data[:first])[-self._lead_bytes :]
            audio = before + data[first:]
            self._lead = b""
        else:
            audio = data
        after_speech = len(data) - min(len(data), (loud[-1] + 1) * size) if loud else len(data)
        self._quiet_ms = self._format.ms(after_speech) + (0.0 if loud else self._quiet_ms)
        self.speaking = self._quiet_ms < SILENCE_MS
        return Cut(audio, began, not self.speaking)

    def _loud_frames(self, data: bytes) -> list[int]:
        values = self._decode(data).astype(np.float64)
        size = self._format.rate * FRAME_MS // 1000
        frames = np.pad(values, (0, -values.size % size)).reshape(-1, size)
        loud: list[int] = np.flatnonzero((frames**2).mean(axis=1) >= _LOUD**2).tolist()
        return loud

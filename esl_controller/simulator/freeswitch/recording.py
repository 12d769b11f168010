"""``uuid_record``: a WAV of what a leg said and heard."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from esl_controller.simulator.freeswitch.audio import Heard, Voice
from esl_controller.simulator.freeswitch.tap import Tap


class Recording:
    """Collects one frame per tick and writes the file when closed.

    Stereo has the channel's voice (what is read) on the left and what is written to it on the
    right, with ``swapped`` the other way round; mono has their sum.
    """

    def __init__(
        self, path: str, voice: Voice, heard: Heard, *, stereo: bool, swapped: bool = False
    ) -> None:
        """Open the file for writing.

        Raises OSError when that is not possible.
        """
        self._file = wave.open(str(Path(path)), "wb")  # noqa: SIM115 (open for the recording)
        self._file.setnchannels(2 if stereo else 1)
        self._file.setsampwidth(2)
        self._file.setframerate(heard.rate)
        self._voice = voice
        self._rate = heard.rate
        self._tap = Tap(heard)
        self._stereo = stereo
        self._swapped = swapped
        self._read = bytearray()
        self._written = bytearray()

    def tick(self) -> None:
        """Take this tick's frames."""
        self._read += self._voice.frame(self._rate)
        self._written += self._tap.frame()

    def close(self) -> None:
        """Write the file."""
        self._tap.close()
        read = np.frombuffer(self._read, np.int16)
        written = np.frombuffer(self._written, np.int16)
        if self._stereo:
            samples = np.column_stack((written, read) if self._swapped else (read, written))
        else:
            mixed = read.astype(np.int32) + written
            samples = np.clip(mixed, -32768, 32767).astype(np.int16)
        self._file.writeframes(samples.tobytes())
        self._file.close()

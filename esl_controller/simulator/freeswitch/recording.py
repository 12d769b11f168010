"""``uuid_record``: a WAV of what a leg said and heard."""

from __future__ import annotations

import contextlib
import wave
from pathlib import Path

import numpy as np

from esl_controller.simulator.freeswitch.audio import CallerVoice, HeardFrames
from esl_controller.simulator.freeswitch.tap import Tap


class LegRecording:
    """Collects one frame per tick and writes the file when closed.

    Stereo has the channel's voice (what is read) on the left and what is written to it on the
    right, with ``swapped`` the other way round; mono has their sum.
    """

    def __init__(
        self,
        path: str,
        voice: CallerVoice,
        heard: HeardFrames,
        *,
        stereo: bool,
        swapped: bool = False,
        append: bool = False,
    ) -> None:
        """Make the file, empty for now; with ``append`` keep what an earlier recording left in it.

        Raises OSError when that is not possible.
        """
        self._path = Path(path)
        self._before = _frames(self._path) if append and self._path.exists() else b""
        self._path.write_bytes(b"")
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
        """Write the file, if that is still possible."""
        self._tap.close()
        read = np.frombuffer(self._read, np.int16)
        written = np.frombuffer(self._written, np.int16)
        if self._stereo:
            samples = np.column_stack((written, read) if self._swapped else (read, written))
        else:
            mixed = read.astype(np.int32) + written
            samples = np.clip(mixed, -32768, 32767).astype(np.int16)
        with contextlib.suppress(OSError), wave.open(str(self._path), "wb") as file:
            file.setnchannels(2 if self._stereo else 1)
            file.setsampwidth(2)
            file.setframerate(self._rate)
            file.writeframes(self._before + samples.tobytes())


def _frames(path: Path) -> bytes:
    with wave.open(str(path)) as file:
        return bytes(file.readframes(file.getnframes()))

"""What ``playback`` can play: WAV and raw files, silence, tones."""

from __future__ import annotations

import re
import wave
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from media.frame import Samples

_RAW_RATES = {".r8": 8000, ".r16": 16000, ".r24": 24000, ".r32": 32000, ".r48": 48000}
_RAW_RATES |= {".raw": 8000}


class NotFound(Exception):
    """There is no such sound, or nothing here can decode it."""


@dataclass(frozen=True, slots=True)
class Sound:
    """A sound and how often it is played; -1 without end."""

    pcm: Samples
    rate: int
    """Hz."""
    loops: int = 1


def load(name: str) -> Sound:
    """The sound that an argument of ``playback`` names.

    Raises :class:`NotFound`.
    """
    scheme, separator, rest = name.partition("://")
    if separator:
        if scheme == "silence_stream":
            return _silence(rest)
        if scheme == "tone_stream":
            try:
                return _tone(rest)
            except ValueError as error:
                raise NotFound(name) from error
        raise NotFound(name)
    path = Path(name)
    try:
        if path.suffix in _RAW_RATES:
            data = path.read_bytes()
            pcm = np.frombuffer(data[: len(data) // 2 * 2], np.int16)
            return Sound(pcm, _RAW_RATES[path.suffix])
        return Sound(*read_wav(path))
    except (OSError, ValueError) as error:
        raise NotFound(name) from error


def read_wav(path: Path | str) -> tuple[Samples, int]:
    """Samples of a 16-bit WAV, several channels mixed to one, and its rate (Hz).

    Raises OSError when it cannot be read, ValueError when it is no 16-bit WAV.
    """
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate = file.getnchannels(), file.getsampwidth(), file.getframerate()
            data = file.readframes(file.getnframes())
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path}: {error}") from error
    if width != 2:
        raise ValueError(f"{path}: {8 * width}-bit samples, expected 16")
    samples = np.frombuffer(data, np.int16)
    if channels > 1:
        samples = samples.reshape(-1, channels).mean(axis=1).astype(np.int16)
    return samples, rate


def _silence(text: str) -> Sound:
    """``silence_stream://MS``; -1 for ever."""
    match = re.fullmatch(r"(-?\d+).*", text, re.DOTALL)
    if match is None:
        raise NotFound(text)
    milliseconds = int(match[1])
    if milliseconds < 0:
        return Sound(np.zeros(160, np.int16), 8000, -1)
    return Sound(np.zeros(8 * milliseconds, np.int16), 8000)


def _tone(text: str) -> Sound:
    """``tone_stream://%(ON,OFF,HZ[,HZ...]);loops=N``, times in ms; the one form used here."""
    match = re.fullmatch(r"%\((\d+),(\d+),([\d.,]+)\).*", text, re.DOTALL)
    if match is None:
        raise NotFound(text)
    on, off = int(match[1]), int(match[2])
    at = np.arange(8 * on) / 8000
    tones = [np.sin(2 * np.pi * float(hertz) * at) for hertz in match[3].split(",") if hertz]
    wave_ = sum(tones, np.zeros(len(at))) / max(1, len(tones)) * 8000
    pcm = np.concatenate((wave_.astype(np.int16), np.zeros(8 * off, np.int16)))
    loops = re.search(r"loops=(-?\d+)", text)
    return Sound(pcm, 8000, int(loops[1]) if loops else 1)

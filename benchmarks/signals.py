"""Counted audio: every 20 ms frame tells which one it is, after G.711 and after resampling.

A signal is noise between 300 and 3300 Hz, made from its spectrum: so it is known exactly at any
rate, and a telephone's filters leave it alone. What arrives is held against what is expected,
frame by frame, and each frame gets the number of the one that it is.
"""

from __future__ import annotations

import wave
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from media import sounds
from media.frame import Format, Samples, decode, encode, pcm
from media.resample import Converter, convert

Numbers = npt.NDArray[np.int64]

FRAMES_A_SECOND: Final = 50
SILENT: Final = -1
"""The number of a frame without any sound."""
STRANGE: Final = -2
"""The number of a frame that is none of those expected."""

SPEECH_RATE: Final = 24_000
SPEECH_FRAMES: Final = 100
_SPEECH_LEVEL: Final = 3000.0  # root mean square; about -21 dBFS
_FADE_S: Final = 0.02

CALLER_STRIDE: Final = 100
"""Frames between the places in the common signal at which two callers begin."""
_QUIET_LEVEL: Final = 100.0  # -50 dBFS: no speech to any voice detection

RESAMPLED: Final = 4
"""How far samples may be off (of 32768) for callers' audio that was resampled once."""
RESAMPLED_SPEECH: Final = 40
"""The same for the model's speech, which is 30 times as loud."""


def noise(frames: int, rate: int, seed: int) -> npt.NDArray[np.float64]:
    """A loop of `frames` frames at `rate` Hz, root mean square 1; the same sound at every rate."""
    seconds = frames / FRAMES_A_SECOND
    low, high = round(300 * seconds), round(3300 * seconds)
    rng = np.random.default_rng(seed)
    coefficients = rng.normal(size=high - low) + 1j * rng.normal(size=high - low)
    coefficients /= np.sqrt(2 * np.sum(np.abs(coefficients) ** 2))
    count = frames * rate // FRAMES_A_SECOND
    spectrum = np.zeros(count // 2 + 1, complex)
    spectrum[low:high] = coefficients
    return np.fft.irfft(spectrum, count) * count


def _samples(values: npt.NDArray[np.float64]) -> Samples:
    return np.clip(np.rint(values), -32768, 32767).astype(np.int16)


def _frames(values: Samples, rate: int) -> Samples:
    size = rate // FRAMES_A_SECOND
    return np.pad(values, (0, -values.size % size)).reshape(-1, size)


@cache
def callers(count: int, rate: int, g711: bool) -> Samples:
    """What all callers say, shape (frames, samples a frame); caller c begins at c * CALLER_STRIDE.

    With `g711` every sample is one that mu-law can say exactly.
    """
    said = _samples(_QUIET_LEVEL * noise(max(500, count * CALLER_STRIDE), rate, seed=1))
    if g711:
        said = decode(encode(said, "pcmu"), "pcmu")
    return _frames(said, rate)


@cache
def words(rate: int) -> Samples:
    """What callers say when they interrupt, shape (frames, samples a frame), at `rate` Hz."""
    values, own_rate = sounds.load("caller", "en")
    return _frames(convert(values, own_rate, rate), rate)


@cache
def speech(rate: int) -> Samples:
    """What the model says, shape (SPEECH_FRAMES, samples a frame), at `rate` Hz."""
    values = _SPEECH_LEVEL * noise(SPEECH_FRAMES, rate, seed=2)
    rise = np.sin(np.pi / 2 * np.arange(round(_FADE_S * rate)) / (_FADE_S * rate)) ** 2
    values[: rise.size] *= rise
    values[-rise.size :] *= rise[::-1]
    return _frames(_samples(values), rate)


def write_speech(path: Path) -> None:
    """The model's speech as a WAV file, for `--speech` of the model stand-in."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SPEECH_RATE)
        file.writeframes(speech(SPEECH_RATE).tobytes())


@cache
def speech_heard(agent: Format, rate: int) -> tuple[Samples, int]:
    """What a caller hears of `speech` over `agent`'s format, at `rate` Hz; and the tolerance.

    G.711 at the channel's own 8 kHz is exact: the stand-in's samples, and a table both ways.
    """
    # A resampled utterance begins with the silence that its filter looks ahead.
    lead = np.zeros(round(Converter(agent, pcm(rate), lead=True).lead_ms * rate / 1000), np.int16)
    if agent.encoding == "pcm":
        said = speech(rate).reshape(-1)
        tolerance = 0 if rate == agent.rate else RESAMPLED_SPEECH
        return _frames(np.concatenate((lead, said)), rate), tolerance
    said = convert(speech(SPEECH_RATE).reshape(-1), SPEECH_RATE, agent.rate)
    said = decode(encode(said, agent.encoding), agent.encoding)
    if rate == agent.rate:
        return _frames(said, rate), 0
    resampled = convert(said, agent.rate, rate)
    return _frames(np.concatenate((lead, resampled)), rate), RESAMPLED_SPEECH


def identify(received: Samples, expected: Samples, tolerance: int, *, loop: bool) -> Numbers:
    """The number of each received frame, shape (n,): which of the `expected` it is.

    Both have shape (frames, samples a frame). `loop`: after the last expected frame comes the
    first one. Frames are expected in order; only where one is not the next, all are looked through.
    """
    numbers = np.full(len(received), STRANGE)
    numbers[~received.any(axis=1)] = SILENT
    at = 0
    while at < len(received):
        if numbers[at] == SILENT:
            at += 1
            continue
        first = _search(received[at], expected, tolerance)
        if first is None:
            at += 1
            continue
        run = _run(received[at:], expected, first, tolerance, loop=loop)
        numbers[at : at + run] = (first + np.arange(run)) % len(expected)
        at += run
    return numbers


def lead(heard: Samples, expected: Samples) -> int:
    """How many samples of `heard`, shape (n,), come before its first whole frame of `expected`.

    The controller lets the model hear the caller from the greeting on, and where a resampler is at
    work that is not on a frame's first sample. The place is looked up by cross-correlation.
    """
    size = expected.shape[1]
    loop = expected.reshape(-1).astype(np.float64)
    part = np.zeros_like(loop)
    part[:size] = heard[size : 2 * size]  # the first frame may still mix with the silence before
    place = np.fft.irfft(np.fft.rfft(loop) * np.conj(np.fft.rfft(part)), loop.size).argmax()
    return int(-place % size)


def _search(frame: Samples, expected: Samples, tolerance: int) -> int | None:
    # The first samples decide for nearly all.
    near = np.abs(expected[:, :4].astype(np.int32) - frame[:4]).max(axis=1) <= tolerance
    for index in np.flatnonzero(near):
        if np.abs(expected[index].astype(np.int32) - frame).max() <= tolerance:
            return int(index)
    return None


def _run(received: Samples, expected: Samples, first: int, tolerance: int, *, loop: bool) -> int:
    """How many frames from the first on are the expected ones in their order."""
    count = len(received) if loop else min(len(received), len(expected) - first)
    wanted = expected[(first + np.arange(count)) % len(expected)].astype(np.int32)
    off = np.abs(wanted - received[:count]).max(axis=1) > tolerance
    return int(off.argmax()) if off.any() else count


@dataclass
class Continuity:
    """What is wrong with a row of numbered frames. Zero everywhere is right."""

    missing: int = 0
    doubled: int = 0
    strange: int = 0
    late: int = 0
    """Silent frames in the middle of an utterance: nothing is lost, its audio came too late."""

    @property
    def faults(self) -> int:
        """Frames that are missing, doubled or strange."""
        return self.missing + self.doubled + self.strange

    def __add__(self, other: Continuity) -> Continuity:
        return Continuity(
            self.missing + other.missing,
            self.doubled + other.doubled,
            self.strange + other.strange,
            self.late + other.late,
        )


def check_loop(numbers: Numbers, length: int) -> Continuity:
    """The faults of a signal that goes on in a loop of `length` frames, never silent."""
    found = Continuity(strange=int(np.count_nonzero(numbers < 0)))
    known = numbers[numbers >= 0]
    steps = np.diff(known) % length
    found.doubled = int(np.count_nonzero((steps == 0) | (steps > length // 2)))
    ahead = steps[(steps > 1) & (steps <= length // 2)]
    # A strange frame stands where the missing one should be.
    found.missing = max(0, int((ahead - 1).sum()) - found.strange)
    return found


def check_utterances(numbers: Numbers, length: int) -> Continuity:
    """The faults of utterances of `length` frames each, silence between them.

    The last one may be incomplete: the recording ended.
    """
    found = Continuity(strange=int(np.count_nonzero(numbers == STRANGE)))
    before, silence = length - 1, 0
    for number in numbers.tolist():
        if number == SILENT:
            silence += 1
            continue
        if number == STRANGE:
            continue
        complete = before == length - 1
        if complete or (number < before and silence):  # a new utterance
            found.missing += number + (0 if complete else length - 1 - before)
        elif number <= before:
            found.doubled += 1
        else:
            found.missing += number - before - 1
            found.late += silence
        before, silence = number, 0
    return found


def utterances(numbers: Numbers) -> Numbers:
    """For each frame, which utterance it belongs to, from 0 on; -1 before the first."""
    spoken = np.flatnonzero(numbers >= 0)
    starts = np.zeros(len(numbers), np.int64)
    values = numbers[spoken]
    if spoken.size:
        starts[spoken[0]] = 1
        starts[spoken[1:][values[1:] < values[:-1]]] = 1
    return np.cumsum(starts) - 1

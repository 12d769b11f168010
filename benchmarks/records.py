"""What the stand-ins recorded, read back. All times are CLOCK_MONOTONIC seconds."""

from __future__ import annotations

import wave
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.signals import FRAMES_A_SECOND
from media.frame import PCMU, Format, Samples, pcm, samples

Times = npt.NDArray[np.float64]
Sizes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CallRecord:
    """One call, by the switch stand-in."""

    number: int
    at: Times
    """When each frame was heard."""
    heard: Samples
    """Shape (frames, samples a frame)."""
    handed: Times
    """When each of the caller's frames was handed over, by its number; NaN: never."""
    quiet_until: int
    """The first frame in which the caller spoke up."""
    odd: int
    """Datagrams heard that were no 20 ms frame."""

    @property
    def rate(self) -> int:
        """The channel's, in Hz."""
        return int(self.heard.shape[1]) * FRAMES_A_SECOND

    @property
    def interrupted_at(self) -> float:
        """When the caller first spoke up; infinite if never."""
        spoke_up = self.quiet_until < len(self.handed)
        return float(self.handed[self.quiet_until]) if spoke_up else np.inf


@dataclass(frozen=True)
class SessionRecord:
    """One session, by the model stand-in."""

    format: Format
    heard: Samples
    append_at: Times
    append_bytes: Sizes
    deltas: Sequence[Times]
    """For each utterance, when each of its deltas was handed to the socket."""
    speech_started: Times
    """When each speech_started was handed to the socket."""


def load_calls(path: Path, setup: Sequence[Mapping[str, Any]]) -> list[CallRecord]:
    """The records that `benchmarks.callers` wrote."""
    with np.load(path) as arrays:
        return [
            CallRecord(
                number=number,
                at=arrays[f"{number}.at"],
                heard=arrays[f"{number}.heard"].reshape(-1, told["rate"] // FRAMES_A_SECOND),
                handed=arrays[f"{number}.handed"],
                quiet_until=int(arrays[f"{number}.quiet_until"]),
                odd=int(arrays[f"{number}.odd"]),
            )
            for number, told in enumerate(setup)
        ]


def load_sessions(summary: Mapping[str, Any]) -> list[SessionRecord]:
    """The records that the model stand-in printed at its end, and the WAV files that it names."""
    return [_session(told) for told in summary["sessions"]]


def _session(told: Mapping[str, Any]) -> SessionRecord:
    with wave.open(told["heard"], "rb") as sound:
        heard = samples(sound.readframes(sound.getnframes()))
        rate = sound.getframerate()
    return SessionRecord(
        format=PCMU if told["heard_format"] == str(PCMU) else pcm(rate),
        heard=heard,
        append_at=np.array([at for at, _ in told["appends"]]),
        append_bytes=np.array([size for _, size in told["appends"]], np.int64),
        deltas=[np.array([at for at, _ in item]) for item in told["deltas"].values()],
        speech_started=np.array(told["speech_started"]),
    )

"""What a run came to: figures, and the limits that they are held against."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from benchmarks.measure import Audio, percentile


@dataclass(frozen=True)
class Resources:
    """CPU and memory in the steady part."""

    cpu_ms: Mapping[str, float]
    """For each process: milliseconds a call and second, user and system."""
    rss_idle_mb: float
    """The controller before the first call."""
    rss_mb: float
    """The controller at the end of the steady part."""


@dataclass(frozen=True)
class Lateness:
    """Clocks that were held up: what a noisy machine does to the figures."""

    ticks: int
    """Of the controller's clock, in the steady part."""
    late: int
    """Those more than 5 ms late."""
    skipped: int
    worst_ms: float
    """Since the controller's start."""
    others: float
    """Processors that others kept busy meanwhile: not the controller, not the stand-ins."""
    switch_late: int
    """Ticks of the switch stand-in more than 5 ms late, in the whole run."""


@dataclass(frozen=True)
class Figure:
    """One line of the table; `limit` None: told, not judged."""

    name: str
    value: float
    unit: str
    limit: float | None = None

    @property
    def ok(self) -> bool:
        """Whether it is within its limit; a figure that could not be taken (NaN) is not."""
        return self.limit is None or self.value <= self.limit


@dataclass(frozen=True)
class Run:
    """A whole run. `seconds` is the length of the steady part."""

    calls: int
    seconds: float
    codec: str
    build: str
    playback: str
    audio: Audio
    resources: Resources
    lateness: Lateness
    setup: Sequence[float]
    """Seconds from dialling the controller to stream and lane open, for each call."""
    live: int
    """Calls that were still up at the end."""
    profile: str = ""
    floor_ms: float | None = None
    """What the system calls alone cost here (`floor.py`), in ms a call and second."""

    @property
    def call_seconds(self) -> float:
        """The work that was done."""
        return self.calls * self.seconds

    def figures(self) -> list[Figure]:
        """The table. Limits are those of the project's own target, at 40 calls."""
        return [*self._load(), *self._latencies(), *self._gaps(), *self._noise()]

    def _load(self) -> list[Figure]:
        own, audio = self.resources, self.audio
        per_call = (own.rss_mb - own.rss_idle_mb) / self.calls
        others = [
            Figure(f"  {name}", value, "ms")
            for name, value in own.cpu_ms.items()
            if name != "controller"
        ]
        cpu_ms = own.cpu_ms["controller"]
        floor = (
            []
            if self.floor_ms is None
            else [
                Figure("  the floor: its system calls, without any work", self.floor_ms, "ms"),
                Figure("  times the floor", cpu_ms / self.floor_ms, ""),
            ]
        )
        return [
            Figure("CPU per call-second, controller", cpu_ms, "ms", 5.0),
            *floor,
            *others,
            Figure("appends a second and call", audio.appends / self.call_seconds, ""),
            Figure("  audio in each", _ratio(audio.append_bytes, audio.appends), "bytes"),
            Figure("frames a second and call", audio.frames / self.call_seconds, ""),
            Figure("  audio in each", _ratio(audio.frame_bytes, audio.frames), "bytes"),
            Figure("memory before the first call", own.rss_idle_mb, "MB"),
            Figure("memory per call on top", per_call, "MB"),
        ]

    def _latencies(self) -> list[Figure]:
        audio = self.audio
        rows = [
            ("caller to model", audio.to_model, 10.0, 25.0),
            ("model to caller, first of an utterance", audio.first_deltas, 12.0, 25.0),
            ("model to caller, every delta", audio.all_deltas, None, None),
            ("speech started to last frame of speech", audio.interruptions, None, 20.0),
            ("dialled to stream and lane open", self.setup, None, 120.0),
        ]
        if self.playback == "file":  # the limits are the lane's
            rows = [(n, v, *((None, None) if i else (a, b))) for i, (n, v, a, b) in enumerate(rows)]
        return [
            Figure(f"{name}, p{share} of {len(values)}", percentile(values, share) * 1000, "ms", at)
            for name, values, middle, worst in rows
            for share, at in ((50, middle), (99, worst))
        ]

    def _gaps(self) -> list[Figure]:
        audio = self.audio
        limit = 0.0 if self.playback == "lane" else None
        return [
            Figure("calls lost", self.calls - self.live, "", 0.0),
            Figure("sessions that heard no caller of ours", audio.strangers, "", 0.0),
            Figure("caller's frames missing at the model", audio.heard.missing, "", 0.0),
            Figure("caller's frames doubled or damaged", _wrong(audio), "", 0.0),
            Figure("model's frames missing at the caller", audio.spoken.missing, "", limit),
            Figure("model's frames doubled", audio.spoken.doubled, "", limit),
            Figure("model's frames damaged", audio.spoken.strange, "", limit),
            Figure("messages and deltas that never arrived", audio.lost, "", limit),
            Figure("silent frames inside utterances", audio.spoken.late, ""),
        ]

    def _noise(self) -> list[Figure]:
        audio, clock = self.audio, self.lateness
        return [
            Figure("controller's clock: ticks", clock.ticks, ""),
            Figure("  more than 5 ms late", clock.late, ""),
            Figure("  skipped", clock.skipped, ""),
            Figure("  worst since its start", clock.worst_ms, "ms"),
            Figure("switch stand-in: ticks more than 5 ms late", clock.switch_late, ""),
            Figure("  its frames late, p99", percentile(audio.caller_late, 99) * 1000, "ms"),
            Figure("model stand-in: its deltas late, p99", _late(audio), "ms"),
            Figure("processors kept busy by others", clock.others, ""),
        ]

    @property
    def ok(self) -> bool:
        """Whether every limit is kept."""
        return all(figure.ok for figure in self.figures())

    def text(self) -> str:
        """The report, to be read."""
        head = (
            f"{self.calls} calls for {self.seconds:.0f} s, {self.codec}, mod_audio_stream"
            f" {self.build}, playback {self.playback}"
        )
        lines = [head, "", table(self.figures())]
        return "\n".join([*lines, *(["", self.profile] if self.profile else [])])

    def data(self) -> dict[str, Any]:
        """The figures, for JSON."""
        return {
            "calls": self.calls,
            "seconds": self.seconds,
            "codec": self.codec,
            "build": self.build,
            "playback": self.playback,
            "ok": self.ok,
            "figures": [{**asdict(figure), "ok": figure.ok} for figure in self.figures()],
        }


@dataclass(frozen=True)
class Sweep:
    """Runs with different numbers of calls, and nothing else different."""

    runs: Sequence[Run]

    def cost(self) -> tuple[float, float]:
        """The controller's CPU: what a second costs without any call, and what a call and second
        cost on top, in ms; the straight line that fits best."""
        calls = [run.calls for run in self.runs]
        spent = [run.calls * run.resources.cpu_ms["controller"] for run in self.runs]
        each, fixed = np.polyfit(calls, spent, 1)
        return float(fixed), float(each)

    def text(self) -> str:
        """A line for each run, the two costs, and the limits that were missed."""
        names = ("calls", "CPU, ms", "x floor", "to model", "to caller", "late, %", "missing", "MB")
        rows = [names, *(_row(run) for run in self.runs)]
        lines = ["".join(f"{cell:>11}" for cell in row) for row in rows]
        fixed, each = self.cost()
        lines += ["", f"{fixed:.1f} ms a second, and {each:.2f} ms a call and second on top"]
        for run in self.runs:
            missed = [figure.name.strip() for figure in run.figures() if not figure.ok]
            if missed:
                lines.append(f"{run.calls} calls missed: " + "; ".join(missed))
        note = (
            "CPU: of the controller, a call and second. To model, to caller: p99 in ms. Late: ticks"
            " of the controller's clock by more than 5 ms. MB: the whole process."
        )
        return "\n".join([*lines, "", note])

    def data(self) -> dict[str, Any]:
        """The same for JSON."""
        fixed, each = self.cost()
        runs = [run.data() for run in self.runs]
        return {"fixed_ms": fixed, "each_ms": each, "runs": runs}


def _row(run: Run) -> tuple[str, ...]:
    cpu_ms, audio, clock = run.resources.cpu_ms["controller"], run.audio, run.lateness
    missing = audio.heard.missing + audio.spoken.missing + audio.lost
    return (
        str(run.calls),
        f"{cpu_ms:.2f}",
        "" if run.floor_ms is None else f"{cpu_ms / run.floor_ms:.1f}",
        f"{percentile(audio.to_model, 99) * 1000:.1f}",
        f"{percentile(audio.first_deltas, 99) * 1000:.1f}",
        f"{_ratio(100 * clock.late, clock.ticks):.2f}",
        str(missing),
        f"{run.resources.rss_mb:.0f}",
    )


def table(figures: Sequence[Figure]) -> str:
    """The figures with their limits, to be read."""
    lines = [f"{'figure':52}{'measured':>10}  {'':5}{'limit':>7}"]
    for figure in figures:
        limit = "" if figure.limit is None else f"{figure.limit:g}"
        verdict = "" if figure.limit is None else "ok" if figure.ok else "MISSED"
        value = _number(figure.value)
        lines.append(f"{figure.name:52}{value:>10}  {figure.unit:5}{limit:>7}  {verdict}".rstrip())
    return "\n".join(lines)


def _ratio(total: float, count: float) -> float:
    return total / count if count else math.nan


def _wrong(audio: Audio) -> int:
    return audio.heard.doubled + audio.heard.strange


def _late(audio: Audio) -> float:
    return percentile(audio.delta_late, 99) * 1000


def _number(value: float) -> str:
    return f"{value:.0f}" if float(value).is_integer() else f"{value:.2f}"

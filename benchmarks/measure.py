"""From the records of a run to figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
import numpy.typing as npt

from benchmarks import signals
from benchmarks.records import CallRecord, SessionRecord, Times
from benchmarks.signals import Continuity, Numbers
from media.frame import PCMU
from media.resample import Resampler

FRAME_S: Final = 0.02
STREAM_FRAMES: Final = {"sptmru": 2, "amigniter": 1}
"""20 ms frames in a message of each build (captures/*/stream_messages.jsonl)."""


@dataclass(frozen=True)
class Span:
    """The steady part of the run: figures are taken of what begins in it."""

    start: float
    end: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.end - self.start

    def holds(self, times: Times) -> npt.NDArray[np.bool_]:
        """Which of the times lie in it."""
        return (times >= self.start) & (times < self.end)


@dataclass
class Audio:
    """Measurements of one call or, added up, of all. Latencies are seconds."""

    to_model: list[float] = field(default_factory=list)
    """Message handed to the media WebSocket -> append with its last sample read by the model."""
    first_deltas: list[float] = field(default_factory=list)
    """First delta of an utterance handed to the socket -> its first frame heard."""
    all_deltas: list[float] = field(default_factory=list)
    interruptions: list[float] = field(default_factory=list)
    """speech_started handed to the socket -> last frame of speech heard."""
    delta_late: list[float] = field(default_factory=list)
    """How late the model stand-in sent each delta, by its own schedule."""
    caller_late: list[float] = field(default_factory=list)
    """How late the switch stand-in handed over each of the caller's frames, by its own schedule."""
    spoken: Continuity = field(default_factory=Continuity)
    """The model's frames, as the callers heard them."""
    heard: Continuity = field(default_factory=Continuity)
    """The callers' frames, as the model heard them."""
    lost: int = 0
    """Messages and deltas of the steady part that never came out at the other end."""
    frames: int = 0
    appends: int = 0
    append_bytes: int = 0
    frame_bytes: int = 0
    strangers: int = 0
    """Sessions and calls that could not be paired: one did not hear the other."""

    def add(self, other: Audio) -> None:
        """Add another call's measurements."""
        for name, value in vars(other).items():
            setattr(self, name, getattr(self, name) + value)


def measure(
    calls: Sequence[CallRecord],
    sessions: Sequence[SessionRecord],
    span: Span,
    *,
    build: str,
    delta_ms: int,
) -> Audio:
    """All calls' measurements together."""
    total = Audio()
    by_caller = {_caller(session, len(calls)): session for session in sessions}
    for call in calls:
        session = by_caller.get(call.number)
        if session is None:
            total.strangers += 1
            continue
        total.add(_to_model(call, session, span, STREAM_FRAMES[build], len(calls)))
        total.add(_to_caller(call, session, span, delta_ms))
    return total


def _numbers(session: SessionRecord, count: int, until: int | None = None) -> tuple[Numbers, int]:
    """Which frame of the callers' common signal each frame is; and the samples before the first.

    The first frame is left out: a resampler mixes it with the silence before.
    """
    exact = session.format == PCMU
    expected = signals.callers(count, session.format.rate, exact)
    size = expected.shape[1]
    lead = signals.lead(session.heard, expected)
    frames = session.heard[lead : len(session.heard) - (len(session.heard) - lead) % size]
    frames = frames.reshape(-1, size)[1:until]
    tolerance = 0 if exact else signals.RESAMPLED
    return signals.identify(frames, expected, tolerance, loop=True), lead


def _caller(session: SessionRecord, count: int) -> int:
    """Whose voice a session heard; -1 if nobody's."""
    numbers, _ = _numbers(session, count, 50)
    known = numbers[numbers >= 0].tolist()
    return known[0] // signals.CALLER_STRIDE if known else -1


def _to_model(
    call: CallRecord, session: SessionRecord, span: Span, message_frames: int, count: int
) -> Audio:
    length = len(signals.callers(count, session.format.rate, session.format == PCMU))
    numbers, lead = _numbers(session, count)
    position = int(np.argmax(numbers >= 0))
    # The number, by the caller's own count, of the first whole frame of the stream.
    first = (int(numbers[position]) - position - 1 - call.number * signals.CALLER_STRIDE) % length
    heard_s = np.cumsum(session.append_bytes) / (session.format.rate * session.format.sample_bytes)
    # What had come before the caller spoke up is all quiet.
    before = int(np.searchsorted(session.append_at, call.interrupted_at))
    whole = (heard_s[before - 1] - lead / session.format.rate) / FRAME_S if before else 1
    quiet = numbers[: max(0, int(whole) - 1)]
    in_span = span.holds(session.append_at)
    found = Audio(
        heard=signals.check_loop(quiet, length),
        appends=int(in_span.sum()),
        append_bytes=int(session.append_bytes[in_span].sum()),
    )
    # What a resampler looks ahead comes out with the next append, but is no later than that much.
    ahead = Resampler(call.rate, session.format.rate).delay_ms / 1000
    ahead = 0.0 if call.rate == session.format.rate else ahead
    begin = lead / session.format.rate - ahead
    ends = np.arange(first + message_frames, len(call.handed), message_frames)
    handed = call.handed[ends - 1]
    appends = np.searchsorted(heard_s, (ends - first) * FRAME_S + begin - 1e-9)
    wanted = span.holds(handed)
    arrived = wanted & (appends < len(session.append_at))
    found.lost = int(wanted.sum() - arrived.sum())
    found.to_model = (session.append_at[appends[arrived]] - handed[arrived] + ahead).tolist()
    schedule = call.handed - np.arange(len(call.handed)) * FRAME_S
    found.caller_late = (schedule - np.nanmin(schedule))[span.holds(call.handed)].tolist()
    return found


def _to_caller(call: CallRecord, session: SessionRecord, span: Span, delta_ms: int) -> Audio:
    expected, tolerance = signals.speech_heard(session.format, call.rate)
    numbers = signals.identify(call.heard, expected, tolerance, loop=False)
    before = call.at < call.interrupted_at
    found = Audio(
        spoken=signals.check_utterances(numbers[before], len(expected)),
        frames=int(span.holds(call.at).sum()),
        frame_bytes=int(span.holds(call.at).sum()) * call.heard.shape[1] * 2,
    )
    found.spoken.strange += call.odd
    utterances = signals.utterances(numbers)
    arrived: dict[tuple[int, int], float] = {}
    for utterance, number, at in zip(
        utterances.tolist(), numbers.tolist(), call.at.tolist(), strict=True
    ):
        if number >= 0:
            arrived.setdefault((utterance, number), at)
    step = delta_ms // 20
    for utterance, deltas in enumerate(session.deltas):
        for index, sent in enumerate(deltas.tolist()):
            if not span.start <= sent < span.end:
                continue
            found.delta_late.append(sent - deltas[0] - index * delta_ms / 1000)
            heard = arrived.get((utterance, index * step))
            if heard is None:
                found.lost += 1
                continue
            found.all_deltas.append(heard - sent)
            if index == 0:
                found.first_deltas.append(heard - sent)
    found.interruptions = _interruptions(call, numbers, session.speech_started)
    return found


def _interruptions(call: CallRecord, numbers: Numbers, started: Times) -> list[float]:
    """From each speech_started that came while somebody spoke: until the last frame of speech."""
    found = []
    for at in started.tolist():
        after = int(np.searchsorted(call.at, at))
        if after == 0 or after == len(call.at) or numbers[after - 1] == signals.SILENT:
            continue
        silent = np.flatnonzero(numbers[after:] == signals.SILENT)
        last = after + (int(silent[0]) if silent.size else len(numbers) - after) - 1
        found.append(max(0.0, float(call.at[last]) - at))
    return found


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` percent lie; NaN without any."""
    return float(np.percentile(values, share)) if len(values) else float("nan")


def milliseconds(values: Sequence[float]) -> Callable[[float], float]:
    """A function from a percentage to that percentile in milliseconds."""
    return lambda share: percentile(values, share) * 1000

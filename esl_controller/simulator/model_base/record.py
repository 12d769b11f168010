"""What a session heard and said, for tests and benchmarks. Times are monotonic seconds."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from media.frame import Format, Samples, decode, pcm

_FIRST_FORMAT: Final = pcm(24_000)


class Append(NamedTuple):
    """One input_audio_buffer.append: when it was read from the socket, its size in audio bytes."""

    at: float
    size: int


class Delta(NamedTuple):
    """One response.output_audio.delta: when it was handed to the socket, its milliseconds."""

    at: float
    ms: float


@dataclass
class Spoken:
    """The audio that was sent of one item, truncated or not."""

    format: Format
    deltas: list[Delta] = field(default_factory=list)
    audio: bytearray = field(default_factory=bytearray)

    @property
    def samples(self) -> Samples:
        """What was sent, decoded."""
        return decode(bytes(self.audio), self.format.encoding)


@dataclass
class SessionRecord:
    """Counters always; with `full`, also everything that was said, which grows with the session."""

    full: bool
    confirmed_by: str = "session.updated"
    """The server event after which the client may send audio."""
    append_count: int = 0
    append_bytes: int = 0
    early_appends: int = 0
    """Appends that came before the event `confirmed_by`."""
    violations: int = 0
    """Client events that were answered with an `error` event for their shape or their audio."""
    refusals: int = 0
    """Client events that were well formed, and refused: nothing to cancel, no such item."""
    turns: int = 0
    """Turns of the caller that were committed."""
    sent: Counter[str] = field(default_factory=Counter)
    """Server events by type."""
    appends: list[Append] = field(default_factory=list)
    speech_started: list[float] = field(default_factory=list)
    """When each input_audio_buffer.speech_started was handed to the socket."""
    speech_stopped: list[float] = field(default_factory=list)
    """The same for speech_stopped."""
    client_events: list[dict[str, Any]] = field(default_factory=list)
    """All client events but appends, in order; audio in them is left out."""
    spoken: dict[str, Spoken] = field(default_factory=dict)
    """By item id, in the order of speaking."""
    heard_format: Format = _FIRST_FORMAT
    _heard: bytearray = field(default_factory=bytearray)

    def heard(self) -> tuple[Samples, int]:
        """The caller's audio as it came, shape (n,), and its rate; since the last format change."""
        if not self._heard:
            return np.empty(0, np.int16), self.heard_format.rate
        return decode(bytes(self._heard), self.heard_format.encoding), self.heard_format.rate

    def append(self, data: bytes) -> None:
        """Note an append."""
        self.append_count += 1
        self.append_bytes += len(data)
        if not self.sent[self.confirmed_by]:
            self.early_appends += 1
        if self.full:
            self.appends.append(Append(time.monotonic(), len(data)))
            self._heard += data

    def speech(self, *, started: bool) -> None:
        """Note that speech starts or stops, just before the client is told."""
        if self.full:
            (self.speech_started if started else self.speech_stopped).append(time.monotonic())

    def restart(self, fmt: Format) -> None:
        """The caller's audio comes in another format from now on."""
        self.heard_format = fmt
        self._heard.clear()

    def event(self, event: dict[str, Any]) -> None:
        """Note a client event other than an append."""
        if self.full:
            self.client_events.append(_without_audio(event))

    def delta(self, item_id: str, fmt: Format, data: bytes) -> None:
        """Note an audio delta that is about to be sent."""
        if self.full:
            spoken = self.spoken.setdefault(item_id, Spoken(fmt))
            spoken.deltas.append(Delta(time.monotonic(), fmt.ms(len(data))))
            spoken.audio += data

    def summary(self) -> dict[str, Any]:
        """Everything but the audio, as JSON takes it."""
        return {
            "append_count": self.append_count,
            "append_bytes": self.append_bytes,
            "early_appends": self.early_appends,
            "violations": self.violations,
            "refusals": self.refusals,
            "turns": self.turns,
            "sent": dict(self.sent),
            "heard_format": str(self.heard_format),
            "appends": self.appends,
            "speech_started": self.speech_started,
            "speech_stopped": self.speech_stopped,
            "deltas": {item: spoken.deltas for item, spoken in self.spoken.items()},
            "client_events": Counter(str(e.get("type")) for e in self.client_events),
        }


def _without_audio(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            k: _without_audio(v)
            for k, v in value.items()
            if not (k == "audio" and isinstance(v, str))
        }
    if isinstance(value, list):
        return [_without_audio(member) for member in value]
    return value

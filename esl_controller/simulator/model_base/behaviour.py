"""What the stand-in does: its pace, its script, and how it can be told to misbehave."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal


@dataclass(frozen=True)
class ModelFailure:
    """An error as the service words it."""

    type: str
    code: str
    message: str


@dataclass(frozen=True)
class ModelFaults:
    """What goes wrong with every session that connects while these are set.

    A session keeps the faults that were set when it connected. All times are milliseconds unless
    the name says otherwise; None and 0 mean "does not happen".
    """

    refuse_key: Literal["http", "close"] | None = None
    """Refuse the key: HTTP 401 in the handshake; or accept, send an error event, and close with
    3000 and "invalid_request_error.invalid_api_key", as clients of the real service report."""
    too_many: bool = False
    """HTTP 429 in the handshake."""
    retry_after_s: int = 0
    """What that says in Retry-After; 0: nothing."""
    connect_delay_ms: int = 0
    """How long the handshake waits."""
    refuse_update: bool = False
    """Answer each session.update with an error event."""
    refuse_transcription: bool = False
    """Answer a session.update that wants transcripts with an error event."""
    fail_transcripts: bool = False
    """Fail at the transcript of each turn."""
    confirm_audio: str = ""
    """Use this format, such as audio/pcmu, whatever is asked for, and confirm it."""
    confirm_rate: int = 0
    """The rate of that, if it is audio/pcm; 0: 24,000 Hz."""
    odd_deltas: bool = False
    """Split the audio in the middle of its samples."""
    refuse_requests: int = 0
    """Refuse this many requests for a response, from the first on, with ``failure``."""
    forget_events: bool = False
    """Name no event of the client in an error, as many servers do."""
    close_after_ms: int | None = None
    """Close in the middle of a response, after this much of its audio."""
    close_how: Literal["clean", "abrupt"] = "clean"
    """With a WebSocket close frame (1011), or by cutting the TCP connection."""
    stall_after_ms: int | None = None
    """Send nothing any more after this much of a response's audio; 0: from response.created on."""
    fail_responses: int = 0
    """This many responses, from the first on, end at once with the status failed."""
    failure: ModelFailure | None = None
    """Why they do."""
    unanswered_turns: int = 0
    """GPT-Live: stay silent after this many turns of the caller, from the first on."""
    freeze: bool = False
    """Stop for good in the middle of a message, after the first response."""
    sprinkle_every: int = 0
    """After every n-th event comes a message that no client expects: malformed JSON, an event of
    unknown type, JSON that is no object, a binary message, in turn."""
    expire_s: float | None = None
    """End the session after this many seconds, with the error session_expired."""


@dataclass(frozen=True)
class ScriptedCall:
    """A function call that the model makes instead of answering the caller's `after_turn`-th turn.

    after_turn: 0 is the first response, before the caller has said anything.
    arguments: a JSON text, sent as it is; it need not be valid.
    A response whose tool_choice is "none" makes no call and leaves it to the next one.
    Several calls after the same turn come in one response.
    """

    after_turn: int
    name: str
    arguments: str = "{}"


@dataclass(frozen=True)
class Behaviour:
    """What all sessions of one stand-in share; the units are in the names.

    pace: times real time; 1 is no faster than speech, 0 all at once.
    think_ms: from response.created to the first output item.
    speech: a 16-bit mono WAV that is said instead of the greeting and of what was heard.
    monologue: after each response the next one begins by itself, until the caller speaks; the
        real model does not do that, but it keeps a benchmark's lines full.
    """

    language: str = "en"
    pace: float = 4.0
    delta_ms: int = 100
    think_ms: int = 300
    script: tuple[ScriptedCall, ...] = ()
    record: bool = True
    speech: Path | None = None
    monologue: bool = False

    def __post_init__(self) -> None:
        if self.pace < 0 or self.think_ms < 0 or self.delta_ms < 1:
            raise ValueError("pace and think_ms must not be negative, delta_ms must be positive")

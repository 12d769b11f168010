"""What an agent reports of its model. [core]

A vendor's package speaks these words and no others. The core decides on those in ``CoreEvent``;
audio and texts go to the playout and the transcript, past the core.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from esl_controller.call.agent import Recovery, ToolCall, Usage

# --- for the core ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class AgentReady:
    """The model has confirmed the session: it may be sent audio and asked to speak.

    ``turn_lost``: what the caller said last is not in the history that the model was given, and has
    not been answered.
    ``takes_turns``: the model decides by itself when to answer and when to fall silent
    (``Agent.takes_turns``).
    """

    turn_lost: bool = False
    takes_turns: bool = False


@dataclass(frozen=True)
class AgentFailed:
    """The connection to the model is gone, or could not be made.

    ``reason`` says why, and what to do. ``after_s``: so long the service wants us to wait before we
    connect again.
    """

    reason: str
    recovery: Recovery = Recovery.RECONNECT
    after_s: float = 0.0


@dataclass(frozen=True)
class SpeechStarted:
    """The model hears the caller speak.

    ``at_ms``: since when, by its own count of the caller's audio. ``item``: its name for the turn
    that begins, or "". ``late_ms``: how long ago that was, if the model says so.
    """

    at_ms: int
    item: str = ""
    late_ms: float = 0.0


@dataclass(frozen=True)
class SpeechStopped:
    """The caller stopped speaking. Fields as in ``SpeechStarted``."""

    at_ms: int
    item: str = ""
    late_ms: float = 0.0


@dataclass(frozen=True)
class ResponseStarted:
    """The model began response ``id``."""

    id: str


@dataclass(frozen=True)
class ReplyRefused:
    """The model will not begin the reply that was requested. Fields as in ``AgentFailed``."""

    reason: str
    recovery: Recovery = Recovery.ASK_AGAIN
    after_s: float = 0.0


@dataclass(frozen=True)
class ResponseDone:
    """Response ``id`` is over: ``status`` is completed, cancelled, incomplete or failed.

    ``calls`` are in the model's order; those of a response that was not completed must not be run.
    Of one that failed, ``reason``, ``recovery`` and ``after_s`` are as in ``AgentFailed``; so they
    are of one that is incomplete because the model says nothing.
    """

    id: str
    status: str
    reason: str = ""
    calls: tuple[ToolCall, ...] = ()
    usage: Usage = field(default_factory=Usage)
    recovery: Recovery = Recovery.ASK_AGAIN
    after_s: float = 0.0


# --- past the core --------------------------------------------------------------------------------


@dataclass(frozen=True)
class AgentAudio:
    """Speech of ``item`` in the agent's output format."""

    item: str
    data: bytes


@dataclass(frozen=True)
class AgentAudioDone:
    """The model has sent all audio of ``item``."""

    item: str


@dataclass(frozen=True)
class AgentText:
    """A piece of the words of ``item``, roughly in step with its audio."""

    item: str
    text: str


@dataclass(frozen=True)
class CallerTranscript:
    """The whole text of a caller's turn ``item``; it may come seconds after the answer to it."""

    item: str
    text: str


@dataclass(frozen=True)
class TranscriptMissing:
    """A caller's turn ``item`` has no text; "": no turn has, from now on."""

    item: str
    reason: str


CoreEvent: TypeAlias = (
    AgentReady
    | AgentFailed
    | SpeechStarted
    | SpeechStopped
    | ResponseStarted
    | ReplyRefused
    | ResponseDone
)
"""Those that the core decides on: a part of ``events.Event``."""

AgentEvent: TypeAlias = (
    CoreEvent | AgentAudio | AgentAudioDone | AgentText | CallerTranscript | TranscriptMissing
)
"""Whatever an agent reports."""

"""All that a call can have done: what ``call.py`` decides and ``session.py`` performs. [core]"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True)
class ConnectAgent:
    """Connect to the model; report AgentReady or AgentFailed."""


@dataclass(frozen=True)
class Answer:
    """Answer the call; report Answered or AnswerFailed."""


@dataclass(frozen=True)
class StartStream:
    """Have the caller streamed to us; ``again``: stop first. Report StreamOpened/StreamFailed."""

    again: bool = False


@dataclass(frozen=True)
class OpenLane:
    """Open the UDP lane; report LaneOpened or LaneFailed."""


@dataclass(frozen=True)
class PlayFiles:
    """Speak by files instead of the lane; report FilesReady or FilesFailed."""


@dataclass(frozen=True)
class HearLane:
    """Take the caller's audio from the lane: the stream cannot be had."""


@dataclass(frozen=True)
class Greet:
    """Have the model say the greeting."""


@dataclass(frozen=True)
class Interrupt:
    """Be silent at once: drop what was not heard, tell the model what was."""


@dataclass(frozen=True)
class Say:
    """Play a sentence of ours to its end, after what is already queued; ``name`` is its item."""

    name: Literal["sorry"]


@dataclass(frozen=True)
class Hangup:
    """End the call."""

    cause: str


@dataclass(frozen=True)
class Close:
    """The call is over for us: free everything. Always the last action, exactly once."""


@dataclass(frozen=True)
class Note:
    """A line for the log: what went wrong and what is done about it."""

    text: str
    reason: str


Action: TypeAlias = (
    ConnectAgent
    | Answer
    | StartStream
    | OpenLane
    | PlayFiles
    | HearLane
    | Greet
    | Interrupt
    | Say
    | Hangup
    | Close
    | Note
)
Actions: TypeAlias = list[Action]

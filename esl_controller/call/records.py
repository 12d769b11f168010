"""What a conversation leaves behind, and what it is taken up again with. [core]

Times are Unix seconds. ``store/records.py`` has the rest of what is written down of a call.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HISTORY = 400  # the last turns and function calls of a call: what is told of it when it goes on


@dataclass(frozen=True)
class Turn:
    """Something that was said; ``number`` counts the turns of a call, in their order.

    ``latency_ms``: from the caller's last word to our first sample that was heard, if it answers
    one. ``interrupted_ms``: how much of it was heard before the caller cut it off, None if nobody
    did; ``heard_text`` is what those milliseconds held. ``audio_ms``: the length of what the agent
    said, once all of it has come.
    """

    call_uuid: str
    number: int
    who: Literal["caller", "agent"]
    text: str
    heard_text: str
    started_at: float
    ended_at: float | None = None
    latency_ms: int | None = None
    interrupted_ms: int | None = None
    audio_ms: int | None = None


@dataclass(frozen=True)
class ToolUsed:
    """A tool that ran; ``arguments`` and ``output`` are JSON texts."""

    call_uuid: str
    call_id: str
    name: str
    arguments: str
    output: str
    at: float
    took_ms: int


@dataclass(frozen=True)
class Claimed:
    """A call that is ours from now on: its snapshot as JSON, and what was said and done in it."""

    epoch: int
    snapshot: str
    turns: Sequence[Turn] = ()
    tools: Sequence[ToolUsed] = ()

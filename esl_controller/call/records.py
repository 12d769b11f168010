"""What the core puts into a call's record, and reads from it to go on with the call. [core]

Times are Unix seconds. ``store/records.py`` has the rest of the record.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

HISTORY = 400  # so many turns, and so many function calls, a call goes on with: the last ones


@dataclass(frozen=True)
class Turn:
    """Something that one side said; ``number`` orders the turns of a call.

    ``heard_text``: the words of ``text`` that were heard. ``latency_ms``: of an answer, from the
    caller's last word to the first sample of it that the caller heard. ``interrupted_ms``: how much
    was heard of a turn that was cut off, or, until it ends, of one into which the caller put us on
    hold; otherwise None. ``audio_ms``: the length of what the
    agent said, once all of it has come.
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
    """A call that is ours from now on: its snapshot as JSON, and what was said and done in it.

    ``secretary``: the one that it began with, as JSON; empty if that is not known.
    """

    epoch: int
    snapshot: str
    turns: Sequence[Turn] = ()
    tools: Sequence[ToolUsed] = ()
    secretary: str = ""

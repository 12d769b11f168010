"""What the core and every agent share: the history, calls, costs, errors. [core]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Literal, TypeAlias

PATIENCE_S: Final = 12.0  # that a caller has for a model that errs; then we do without it


@dataclass(frozen=True)
class Said:
    """Something that one side said; of the agent's words, those that the caller heard."""

    who: Literal["caller", "agent"]
    text: str


@dataclass(frozen=True)
class Called:
    """A function call with its result, both JSON texts."""

    call_id: str
    name: str
    arguments: str
    output: str


History: TypeAlias = Sequence[Said | Called]


@dataclass(frozen=True)
class ToolCall:
    """A function that the model calls; ``arguments`` is a JSON text, not checked."""

    call_id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Usage:
    """What a response cost: tokens (``cached`` ones are part of the input), and for a model that is
    paid by time the ``seconds`` since the response before."""

    input_text: int = 0
    input_audio: int = 0
    cached: int = 0
    output_text: int = 0
    output_audio: int = 0
    seconds: float = 0.0


class Recovery(Enum):
    """What helps against an error of a model. Each vendor's package maps its errors to these."""

    ASK_AGAIN = "ask again"  # the same request, on the same connection
    RECONNECT = "reconnect"  # another connection to the same model
    NEXT_MODEL = "next model"  # this model is of no use now: its key, its quota, its name
    GIVE_UP = "give up"  # nothing helps: do without what was asked for

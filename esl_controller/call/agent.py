"""What the core and every agent share: the history of a call, and what an agent can do. [core]"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias


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
class Abilities:
    """What an agent can do; the core does without the rest.

    ``truncates``: the model can be told how much of an item was heard, and forgets the rest.
    ``takes_turns``: the model decides by itself when to answer and when to fall silent. Then the
    agent's ``respond`` without instructions, ``cancel`` and ``forget`` do nothing.
    """

    truncates: bool = True
    takes_turns: bool = False

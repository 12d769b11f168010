"""The states of a call, how long each may last, and which of them belong together. [core]

``machine.py`` has the picture of how they follow each other.
"""

from __future__ import annotations

from enum import Enum
from typing import Final


class State(Enum):
    """Where a call is. The values are shown in logs, ``/calls`` and ``Call.describe``."""

    ARRIVED = "arrived"
    ANSWERING = "answering"
    PREPARING = "preparing"
    TALKING = "talking"
    TRANSFERRING = "transferring"
    CLOSING = "closing"
    HANGING_UP = "hanging up"
    ENDED = "ended"


ANSWER_S = 10.0  # FreeSWITCH answers within 40 ms; an early-media trunk may take seconds
PREPARE_S = 5.0  # besides what the model may take; stream and lane have limits of their own
TRANSFER_S = 5.0  # until the switch has taken the caller, not until somebody answers
APOLOGY_S = 10.0
HANGUP_S = 5.0

MAX_S: Final[dict[State, float]] = {
    State.ANSWERING: ANSWER_S,
    State.PREPARING: PREPARE_S,
    State.TRANSFERRING: TRANSFER_S,
    State.CLOSING: APOLOGY_S,
    State.HANGING_UP: HANGUP_S,
}
"""Seconds after which a call that is still in that state goes on without what it waited for."""

IN_CONVERSATION: Final = (State.TALKING, State.TRANSFERRING)
"""What happens concerns the conversation."""
WITH_MEDIA: Final = (State.PREPARING, State.TALKING)
"""Stream and lane are open or being opened, and a lost one is replaced."""
WITH_CALLER: Final = (*WITH_MEDIA, State.TRANSFERRING)
"""The caller is on the line, and may stay."""
WITH_MODEL: Final = (State.ANSWERING, *WITH_CALLER)
"""A model is wanted, and connected again if its connection fails."""
ALIVE: Final = tuple(state for state in State if state is not State.ENDED)


class Stage:
    """The state that one call is in. ``deadline``: until when that may last, by the call's
    clock."""

    def __init__(self) -> None:
        self.state = State.ARRIVED
        self.deadline: float | None = None

    def enter(self, state: State, now: float, *, extra_s: float = 0.0) -> None:
        """``state`` begins, and may last ``extra_s`` seconds longer than usual."""
        limit_s = MAX_S.get(state)
        self.state = state
        self.deadline = None if limit_s is None else now + limit_s + extra_s

"""A transition table that keeps the types of its events. [core]

``machine.py`` and ``conversation.py`` decide by such tables: which method answers which event, in
which state. Each row is type-checked where it is written: a method that takes ``Answered`` cannot
be entered for ``HungUp``.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from esl_controller.call.actions import Actions
from esl_controller.call.events import Event

Subject = TypeVar("Subject")
Happened = TypeVar("Happened", bound=Event)


class Transitions(Generic[Subject]):
    """The decisions of ``Subject``, each one a method of it: ``decide(subject, event, now)``."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Hashable, type], Callable[[Subject, Any, float], Actions]] = {}

    @property
    def events(self) -> frozenset[type]:
        """The types of event that the table has a decision for, in whichever state."""
        return frozenset(event for _, event in self._rows)

    def on(
        self,
        event: type[Happened],
        decide: Callable[[Subject, Happened, float], Actions],
        *states: Hashable,
    ) -> None:
        """Add a row: ``decide`` on ``event`` in each of ``states``; for a subject without states,
        name none."""
        for state in states or (None,):
            assert (state, event) not in self._rows, f"two decisions on {event.__name__}"
            self._rows[state, event] = decide

    def find(
        self, event: Happened, state: Hashable = None
    ) -> Callable[[Subject, Happened, float], Actions] | None:
        """The decision on ``event`` in ``state``; None if the event means nothing there."""
        return self._rows.get((state, type(event)))

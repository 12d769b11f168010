"""How a conversation ends, once all that is to be said has been heard. [core]

Part of ``conversation.py``.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TypeAlias

from esl_controller.call.actions import Actions, Hangup, ToolResult, Transfer
from esl_controller.call.events import ToolCall
from esl_controller.call.snapshot import HANGUP, Resumption
from esl_controller.call.tools import failure
from esl_controller.secretaries.secretary import Secretary

CLEARING = "NORMAL_CLEARING"
RETURNS = 5  # of a caller in one call; then a transfer is for good, lest they go round in circles

Exit: TypeAlias = Hangup | Transfer


class Ending:
    """``taken``: the way out was taken; nothing is said or asked any more. ``returns``: how often
    the caller has come back from a transfer so far."""

    def __init__(self) -> None:
        self.taken = False
        self.returns = 0
        self._way: Exit | None = None
        self._call: ToolCall | None = None

    @property
    def decided(self) -> bool:
        """Whether there will be no more turns."""
        return self.taken or self._way is not None

    @property
    def told(self) -> str:
        """How, for a ``Memory``; "" if that is not decided."""
        if self._way is None:
            return ""
        return HANGUP if isinstance(self._way, Hangup) else self._way.destination.name

    @property
    def call(self) -> ToolCall | None:
        """The function call that wants it and has no result yet."""
        return self._call

    def decide(self, way: Exit, call: ToolCall | None = None) -> None:
        """Leave by ``way``; ``call``: the function call that wants it and has no result yet."""
        self._way, self._call = way, call

    def resume(self, resumption: Resumption, secretary: Secretary) -> Actions:
        """Go on in another process. Who has left already and is back now brings the result of the
        function call that wanted it."""
        memory = resumption.snapshot
        self.returns = memory.returns
        if memory.leaving:
            self.decide(_remembered(memory.leaving, secretary), memory.leaver)
        elif memory.leaver is not None:
            return [ToolResult(memory.leaver, _came_back(resumption.unreached))]
        return []

    def take(self) -> Actions:
        """Leave now, if that was decided; once."""
        if self.taken or self._way is None:
            return []
        self.taken = True
        way = self._way
        if isinstance(way, Transfer) and way.destination.come_back and self.returns < RETURNS:
            way = replace(way, returns=self.returns + 1)
        return [way]

    def back(self) -> ToolCall | None:
        """The way was blocked; returns the function call that has to be told."""
        self.taken, self._way = False, None
        call, self._call = self._call, None
        return call


def outside_hours(secretary: Secretary) -> Exit | None:
    """What follows the first words while the company is closed, if it is no conversation."""
    hours = secretary.hours
    if hours.do == "hangup":
        return Hangup(CLEARING)
    if hours.do == "transfer":
        destination = secretary.destination(hours.destination)
        assert destination is not None  # the schema sees to it
        return Transfer(destination)
    return None


def _came_back(unreached: str) -> str:
    if unreached:
        return failure(f"not reached ({unreached}); the caller has come back")
    return json.dumps({"status": "done; the caller has come back"})


def _remembered(name: str, secretary: Secretary) -> Exit:
    """The way that ``Departure.told`` names. A destination that is no more is a hangup."""
    destination = None if name == HANGUP else secretary.destination(name)
    return Hangup(CLEARING) if destination is None else Transfer(destination)

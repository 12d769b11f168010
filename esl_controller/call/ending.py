"""How a conversation ends: by a hangup or a transfer, once the last words were heard. [core]

Part of ``conversation.py``, in three steps:

1. It is decided how to end: the model called ``end_call`` or ``transfer_call``, a limit was
   reached, or nobody answers (``Conversation._decide_to_leave``). From here on ``decided`` is true:
   the caller's turns and the model's function calls do not count any more.
2. The last words are said: the farewell, or the announcement of the transfer.
3. When the caller has heard them (after every event, ``Conversation._next`` asks whether anything
   is still to be said), or when they do not come (``timers.UNSAID_S``), ``leave`` returns the
   ``Hangup`` or the ``Transfer``, once. ``machine.py`` changes the state of the call with it.

A transfer that fails undoes the decision (``transfer_failed``), and the conversation goes on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TypeAlias

from esl_controller.call.actions import Actions, Hangup, ToolResult, Transfer
from esl_controller.call.events import ToolCall
from esl_controller.call.hops import NO_HOPS, Hops
from esl_controller.call.snapshot import HANGUP, Resumption
from esl_controller.call.tools import failure
from esl_controller.secretaries.schema import Destination
from esl_controller.secretaries.secretary import Secretary

CLEARING = "NORMAL_CLEARING"
# After this many returns the next transfer is final: two destinations that send callers back
# would keep them going round in circles.
RETURNS = 5

Exit: TypeAlias = Hangup | Transfer


class Ending:
    """How one conversation ends.

    ``left``: the exit was taken, or the call ends without it; nothing is said or requested any
    more. ``returns``: how often the caller has come back from a transfer so far.
    """

    def __init__(self, hops: Hops = NO_HOPS) -> None:
        self.left = False
        self.returns = 0
        self._hops = hops
        self._exit: Exit | None = None
        self._call: ToolCall | None = None

    @property
    def decided(self) -> bool:
        """Whether the conversation is going to end, or has ended."""
        return self.left or self._exit is not None

    @property
    def exit_name(self) -> str:
        """How it ends, for a ``Snapshot``: HANGUP or a destination's name; "" if not decided."""
        if self._exit is None:
            return ""
        return HANGUP if isinstance(self._exit, Hangup) else self._exit.destination.name

    @property
    def tool_call(self) -> ToolCall | None:
        """The function call that asked for the exit and has no result yet."""
        return self._call

    def decide(self, exit_: Exit, call: ToolCall | None = None) -> None:
        """End by ``exit_``; ``call``: the function call that asked for it and gets its result only
        if the conversation goes on."""
        self._exit, self._call = exit_, call

    def leave(self) -> Actions:
        """Take the exit now, if it was decided; once."""
        if self.left or self._exit is None:
            return []
        self.left = True
        return [self._counted(self._exit)]

    def abandon(self) -> None:
        """The call ends without the conversation."""
        self.left = True

    def fall_back(self, destination: Destination) -> Actions:
        """The call ends without the conversation, by a transfer to the fallback."""
        self.abandon()
        return [self._counted(Transfer(destination, fallback=True))]

    def _counted(self, exit_: Exit) -> Exit:
        """The exit with the count of returns, if the caller may come back from it."""
        if not isinstance(exit_, Transfer) or exit_.destination.come_back is False:
            return exit_
        if self.returns >= RETURNS or not self._hops.may_bridge:
            return exit_
        return replace(exit_, returns=self.returns + 1)

    def transfer_failed(self) -> ToolCall | None:
        """The conversation goes on. Returns the function call whose result has to say why."""
        self.left, self._exit = False, None
        call, self._call = self._call, None
        return call

    def resume(self, resumption: Resumption, secretary: Secretary) -> Actions:
        """Go on in another process. A caller who is back from a transfer brings the result of the
        function call that asked for it."""
        snapshot = resumption.snapshot
        self.returns = snapshot.returns
        if snapshot.leaving:
            self.decide(_exit_named(snapshot.leaving, secretary), snapshot.exit_call)
        elif snapshot.exit_call is not None:
            return [ToolResult(snapshot.exit_call, _result_of_return(resumption))]
        return []


def outside_hours(secretary: Secretary, hops: Hops = NO_HOPS) -> Exit | None:
    """How the call ends after the first words while the company is closed; None if callers may talk
    with the model all the same. A caller who was transferred too often is not sent on again."""
    hours = secretary.hours
    if hours.do == "hangup" or (hours.do == "transfer" and not hops.may_transfer):
        return Hangup(CLEARING)
    if hours.do == "transfer":
        destination = secretary.destination(hours.destination)
        assert destination is not None  # the schema sees to it
        return Transfer(destination)
    return None


def _result_of_return(resumption: Resumption) -> str:
    if resumption.unreached:
        return failure(f"not reached ({resumption.unreached}); the caller has come back")
    if resumption.instead:
        machine = f"a mailbox or an announcement answered ({resumption.instead})"
        return json.dumps({"status": f"done; {machine}; the caller has come back"})
    return json.dumps({"status": "done; the caller has come back"})


def _exit_named(name: str, secretary: Secretary) -> Exit:
    """The exit that ``Ending.exit_name`` names. If the destination has been removed since, it is a
    hangup."""
    destination = None if name == HANGUP else secretary.destination(name)
    return Hangup(CLEARING) if destination is None else Transfer(destination)

"""How a conversation ends: by a hangup or a transfer, once the last words were heard. [core]

Part of ``conversation.py``, in three steps:

1. It is decided how to end: the model called ``end_call`` or ``transfer_call`` (``run``), a limit
   was reached or nobody answers (``say_goodbye``), or the company is closed (``decide_closed``).
   From here on ``decided`` is true: the caller's turns and the model's function calls do not count
   any more, and no limit but that of the last words.
2. The last words are said: the farewell, the announcement of the transfer, or that it is closed.
3. When the caller has heard them (after every event, ``Conversation._next`` asks whether anything
   is still to be said), or when they do not come (``timers.UNSAID_S``, and ``LAST_WORDS_S`` in
   all), ``leave`` returns the ``Hangup`` or the ``Transfer``, once. ``machine.py`` changes the
   state of the call with it.

A transfer that fails undoes the decision (``transfer_failed``), and the conversation goes on.
"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TypeAlias

from esl_controller.call import instructions
from esl_controller.call.actions import Actions, Hangup, Note, PlaySentence, ToolResult, Transfer
from esl_controller.call.agent import ToolCall
from esl_controller.call.hops import LED_BACK, NO_HOPS, Hops
from esl_controller.call.replies import ReplyKind
from esl_controller.call.snapshot import HANGUP, Resumption
from esl_controller.call.timers import Timers
from esl_controller.call.tool_calls import DONE, ToolExecutor
from esl_controller.call.tools import EndCall, Parting, failure
from esl_controller.call.turn_taking import TurnTaking
from esl_controller.secretaries.schema import Destination
from esl_controller.secretaries.secretary import Secretary

CLEARING = "NORMAL_CLEARING"
# After this many returns the next transfer is final: two destinations that send callers back
# would keep them going round in circles.
RETURNS = 5

UNKNOWN = "there is no such destination any more, so the call ends after the last words"

Exit: TypeAlias = Hangup | Transfer


class Ending:
    """How one conversation ends; ``turns``, ``tools`` and ``timers`` are that conversation's.

    ``left``: the exit was taken, or the call ends without it; nothing is said or requested any
    more. ``returns``: how often the caller has come back from a transfer so far.
    """

    def __init__(
        self,
        secretary: Secretary,
        turns: TurnTaking,
        tools: ToolExecutor,
        timers: Timers,
        hops: Hops = NO_HOPS,
    ) -> None:
        self.left = False
        self.returns = 0
        self._secretary = secretary
        self._turns = turns
        self._tools = tools
        self._timers = timers
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

    # --- it is decided ----------------------------------------------------------------------------

    def run(self, call: ToolCall, request: Parting, now: float) -> Actions:
        """Carry out a request of the model that ends the conversation."""
        # A model that takes turns itself may be saying something else: that is no goodbye.
        needs_words = not (self._turns.replies.has_audio and self._turns.manual)
        if isinstance(request, EndCall):
            actions = self.decide(Hangup(CLEARING), now)
            if needs_words:
                self._schedule_farewell()
            return [ToolResult(call, DONE), *actions]
        name = request.destination.name
        if not self._hops.may_transfer:
            return [Note(f"no transfer to {name}", LED_BACK), *self._tools.refuse(call, LED_BACK)]
        actions = self.decide(Transfer(request.destination), now, call)
        if needs_words:
            self._turns.schedule(ReplyKind.LAST_WORDS, instructions.transfer_announcement(name))
        return actions

    def say_goodbye(self, now: float) -> Actions:
        """Hang up after the farewell."""
        actions = self.decide(Hangup(CLEARING), now)
        self._schedule_farewell()
        return actions

    def decide(self, exit_: Exit, now: float, call: ToolCall | None = None) -> Actions:
        """End by ``exit_``, as soon as the last words were heard; nothing else is said or waited
        for. ``call``: the function call that asked for it and gets its result only if the
        conversation goes on."""
        self._exit, self._call = exit_, call
        self._timers.last_words(now)
        self._turns.replies.discard()
        return [*self._turns.interruption.reset(), *self._tools.stop()]

    def decide_closed(self, now: float) -> bool:
        """The company is closed: decide to end after the first words, by which the caller is told.
        Returns False if callers may talk with the model all the same."""
        exit_ = outside_hours(self._secretary, self._hops)
        if exit_ is not None:
            self.decide(exit_, now)
        return exit_ is not None

    def _schedule_farewell(self) -> None:
        farewell = instructions.verbatim(self._secretary.spoken_farewell)
        self._turns.schedule(ReplyKind.LAST_WORDS, farewell)

    # --- it is done -------------------------------------------------------------------------------

    def leave(self) -> Actions:
        """Take the exit now, if it was decided; once."""
        if self.left or self._exit is None:
            return []
        self.left = True
        self._timers.stop()
        return [self._counted(self._exit)]

    def abandon(self) -> Actions:
        """The call ends without the conversation: say and request nothing any more."""
        self.left = True
        self._timers.stop()
        return [*self._turns.interruption.reset(), *self._tools.stop()]

    def apologise(self) -> Actions:
        """The same, and the caller hears an apology."""
        return [*self.abandon(), PlaySentence("sorry")]

    def fall_back(self, destination: Destination) -> Actions:
        """The same, and the caller goes to the fallback."""
        return [*self.abandon(), self._counted(Transfer(destination, fallback=True))]

    def _counted(self, exit_: Exit) -> Exit:
        """The exit with the count of returns, if the caller may come back from it."""
        if not isinstance(exit_, Transfer) or exit_.destination.come_back is False:
            return exit_
        if self.returns >= RETURNS or not self._hops.may_bridge:
            return exit_
        return replace(exit_, returns=self.returns + 1)

    # --- it is undone, or goes on elsewhere -------------------------------------------------------

    def transfer_failed(self, reason: str, now: float) -> Actions:
        """The caller is still with us, and the conversation goes on: the model is told, or says
        goodbye if it did not ask for the transfer."""
        self.left, self._exit = False, None
        call, self._call = self._call, None
        self._timers.restart()
        if call is None:
            return self.say_goodbye(now)
        self._turns.schedule(ReplyKind.ANSWER)
        return [ToolResult(call, failure(f"the transfer failed: {reason}"))]

    def resume(self, resumption: Resumption) -> Actions:
        """Go on in another process. A caller who is back from a transfer brings the result of the
        function call that asked for it."""
        snapshot = resumption.snapshot
        self.returns = snapshot.returns
        if snapshot.leaving:
            self._exit = _exit_named(snapshot.leaving, self._secretary)
            self._call = snapshot.exit_call
            if self.exit_name != snapshot.leaving:
                return [Note(f"no transfer to {snapshot.leaving}", UNKNOWN)]
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

"""The function calls of one conversation, from the model's request to its result. [core]

Part of ``conversation.py``. What ends the conversation is in ``ending.py``; here is the rest: what
takes time (a webhook function, a hold, digits to be typed) until its result goes back to the model,
and what was done already, because models tend to call a function twice.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import assert_never

from esl_controller.call import tools
from esl_controller.call.actions import (
    Actions,
    AskWebhook,
    Note,
    PlayMusic,
    SendDtmf,
    StoreMessage,
    TellModel,
    ToolResult,
)
from esl_controller.call.agent import ToolCall
from esl_controller.call.instructions import keys_pressed
from esl_controller.call.snapshot import Snapshot
from esl_controller.call.tool_budget import CALLS, ToolBudget
from esl_controller.call.tools import Toolbox, ToolError, failure

DONE = json.dumps({"status": "done"})
PRIVATE_S = 3.0  # keys pressed so soon after secret digits still belong to them
MAX_KEYS = 64
KEY_LIMIT = 2_000  # characters of arguments that are read to see whether they are the same
INTERRUPTED = (
    "interrupted by a fault of the telephone system; whether it was done is not known. Digits that"
    " were being typed are lost and have to be asked for again."
)
TOO_MANY = (
    "not done: too many functions were called since the caller spoke last. Tell the caller what you"
    " know, and wait for an answer."
)
_TOO_MANY_NOTE = Note("the model calls functions without end", "it is asked to speak")
KEYS_S = 1.5  # from the last key that nobody asked for until the model is told


@dataclass
class _Collection:
    call: ToolCall
    wanted: tools.CollectDigits
    ends: float
    digits: str = field(default="", repr=False)


@dataclass
class _Hold:
    call: ToolCall
    ends: float
    music: bool = False


@dataclass
class ToolExecutor:
    """Runs function calls. Every method returns actions; ``reply_due`` says whether the model has
    to be asked for a reply to the results.

    ``webhooks``: those that are being asked, by call_id. ``secret_digits``: by the name that the
    model gave them; only webhook functions get them.
    """

    toolbox: Toolbox
    budget: ToolBudget = field(default_factory=ToolBudget)
    reply_due: bool = False
    webhooks: dict[str, ToolCall] = field(default_factory=dict)
    collection: _Collection | None = None
    hold: _Hold | None = None
    secret_digits: dict[str, str] = field(default_factory=dict, repr=False)
    _outputs: dict[tuple[str, str], str] = field(default_factory=dict)  # in this turn of the caller
    _duplicates: dict[str, list[ToolCall]] = field(default_factory=dict)  # by the first's call_id
    _private_until: float = 0.0
    _keys: str = field(default="", repr=False)  # that nobody asked for
    _keys_until: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether the conversation waits for a function, or for more keys."""
        return bool(self.webhooks or self.collection or self.hold or self._keys)

    @property
    def music_playing(self) -> bool:
        """Whether the caller hears hold music."""
        return self.hold is not None and self.hold.music

    def describe(self) -> str:
        """What is waited for, for ``Call.describe``; never a digit."""
        parts = [call.name for call in self.webhooks.values()]
        if self.collection is not None:
            parts.append("secret digits" if self.collection.wanted.secure else "digits")
        if self.hold is not None:
            parts.append("hold with music" if self.hold.music else "hold")
        if self._keys:
            parts.append("keys")
        return ",".join(parts)

    @property
    def pending(self) -> tuple[ToolCall, ...]:
        """Function calls without a result."""
        waiting = [each.call for each in (self.hold, self.collection) if each is not None]
        duplicates = [call for calls in self._duplicates.values() for call in calls]
        return (*self.webhooks.values(), *duplicates, *waiting)

    def resume(self, snapshot: Snapshot) -> Actions:
        """Go on in another process. A hold goes on. Any other call may have been done or not, and
        is not done again: the model is told so."""
        actions: Actions = []
        for call in snapshot.pending:
            if call.call_id == snapshot.hold:
                self.hold = _Hold(call, snapshot.held_until)
            elif call.call_id != snapshot.leaving_call:
                actions += self.refuse(call, INTERRUPTED)
        return actions

    def is_private(self, now: float) -> bool:
        """Whether a key pressed now still belongs to secret digits: one too many or too late."""
        return self.collection is None and now < self._private_until

    def new_turn(self) -> None:
        """The caller said or typed something: from now on the same call is no repetition."""
        self._outputs.clear()
        self.budget.new_turn()

    def begin_round(self, calls: Sequence[ToolCall]) -> None:
        """A response was completed, with these ``calls``."""
        self.toolbox.work.renew()
        if calls:
            self.budget.new_round()

    def end_round(self, calls: Sequence[ToolCall]) -> None:
        """They are running or done. The model replies to all at once, when no webhook function is
        being asked any more."""
        if any(call.call_id in self.webhooks for call in calls):
            self.reply_due = False

    def request(self, call: ToolCall) -> tools.Request | Actions:
        """What a call asks for; or, if it is wrong or repeated, the actions that answer it."""
        key = _key(call)
        if key in self._outputs:
            return self._finish(call, self._outputs[key])
        for running in self.webhooks.values():
            if _key(running) == key:
                self._duplicates.setdefault(running.call_id, []).append(call)
                return []
        try:
            return self.toolbox.request(call)
        except ToolError as error:
            return self.refuse(call, str(error))

    def run(self, call: ToolCall, request: tools.Staying, now: float) -> Actions:
        """Carry out a request that does not end the conversation."""
        if not self.budget.take():
            refused = self.refuse(call, TOO_MANY)
            return [_TOO_MANY_NOTE, *refused] if self.budget.refused == 1 else refused
        match request:
            case tools.AskServer() if len(self.webhooks) >= CALLS:
                return self.refuse(call, "not done: too many functions are still running")
            case tools.AskServer(tool):
                self.webhooks[call.call_id] = call
                secret = {
                    argument: self.secret_digits.get(name, "")
                    for argument, name in tool.secure.items()
                }
                return [AskWebhook(call.call_id, request, secret)]
            case tools.TakeMessage():
                return [StoreMessage(request), *self._done(call)]
            case tools.PressKeys(digits):
                return [SendDtmf(digits), *self._done(call)]
            case tools.Hold(seconds):
                if self.hold is not None:
                    return self.refuse(call, "the caller is on hold already")
                self.hold = _Hold(call, now + seconds)
                return []
            case tools.Unhold():
                if self.hold is None:
                    return self.refuse(call, "the caller is not on hold")
                return [*self.end_hold("ended"), *self._done(call)]
            case tools.CollectDigits(timeout_s=timeout_s):
                if self.collection is not None:
                    return self.refuse(call, "digits are being collected already")
                self.secret_digits.pop(request.name, None)
                self.collection = _Collection(call, request, now + timeout_s)
                # A caller who knows the question may have begun to type before it was asked.
                keys, self._keys = self._keys, ""
                return [action for key in keys for action in self.key_pressed(key, now)]
            case _:
                assert_never(request)

    def webhook_done(self, call_id: str, output: str) -> Actions:
        """The server has answered a webhook function."""
        call = self.webhooks.pop(call_id, None)
        if call is None:
            return []
        actions = self.end_hold("an answer has come")
        for each in (call, *self._duplicates.pop(call_id, ())):
            actions += self._finish(each, output)
        self.reply_due = not self.webhooks
        return actions

    def key_pressed(self, digit: str, now: float) -> Actions:
        """The caller pressed a key: for a collection, to end a hold, or without being asked."""
        if self.collection is None:
            actions = self.end_hold("the caller pressed a key")
            if not actions:
                self._keys = (self._keys + digit)[-MAX_KEYS:]
                self._keys_until = now + KEYS_S
            return actions
        wanted = self.collection.wanted
        if digit == wanted.terminator:
            return self._collected(now, "the caller typed nothing more")
        self.collection.digits += digit
        self.collection.ends = now + wanted.timeout_s
        full = wanted.count or MAX_KEYS
        return self._collected(now) if len(self.collection.digits) >= full else []

    def start_music(self) -> Actions:
        """Play hold music if the caller is on hold; to be called when nothing else is heard."""
        if self.hold is None or self.hold.music:
            return []
        self.hold.music = True
        return [PlayMusic(True)]

    def playout_dropped(self) -> None:
        """The music is gone with the lane: ``start_music`` starts it again."""
        if self.hold is not None:
            self.hold.music = False

    def time_up(self, now: float, *, model_ready: bool) -> Actions:
        """End whatever has lasted long enough. Keys wait until the model is there to be told."""
        actions: Actions = []
        if model_ready and self._keys and now >= self._keys_until:
            actions.append(TellModel(keys_pressed(self._keys)))
            self._keys, self.reply_due = "", True
        if self.hold is not None and now >= self.hold.ends:
            actions += self.end_hold("the time is over")
        if self.collection is not None and now >= self.collection.ends:
            actions += self._collected(now, "the caller typed nothing more in time")
        return actions

    def put_off(self, seconds: float) -> None:
        """The caller held us for so long, and could neither wait for us nor type."""
        for waits in (self.hold, self.collection):
            if waits is not None:
                waits.ends += seconds
        self._keys_until += seconds
        self._private_until += seconds

    def deadline(self, *, model_ready: bool) -> float | None:
        """When ``time_up`` has something to do."""
        ends = [waits.ends for waits in (self.hold, self.collection) if waits is not None]
        if model_ready and self._keys:
            ends.append(self._keys_until)
        return min(ends, default=None)

    def end_hold(self, reason: str) -> Actions:
        """End the hold, if there is one; the model is told the ``reason``."""
        if self.hold is None:
            return []
        hold, self.hold = self.hold, None
        music: Actions = [PlayMusic(False)] if hold.music else []
        return [*music, self._result(hold.call, json.dumps({"hold": "over", "reason": reason}))]

    def stop(self) -> Actions:
        """The conversation ends: no music, and no more waiting for keys."""
        music: Actions = [PlayMusic(False)] if self.music_playing else []
        self.hold = self.collection = None
        self._keys = ""
        return music

    def refuse(self, call: ToolCall, why: str) -> Actions:
        """Tell the model why a call is not done."""
        return self._finish(call, failure(why))

    def _done(self, call: ToolCall) -> Actions:
        return self._finish(call, DONE)

    def _collected(self, now: float, reason: str = "") -> Actions:
        assert self.collection is not None
        done, self.collection = self.collection, None
        wanted, digits = done.wanted, done.digits
        complete = len(digits) == wanted.count if wanted.count else bool(digits)
        output: dict[str, object] = {"status": "complete" if complete else "incomplete"}
        if wanted.secure:
            self._private_until = now + PRIVATE_S
            if complete:
                self.secret_digits[wanted.name] = digits
        else:
            output["digits"] = digits
        if not complete:
            output["reason"] = reason
        return [self._result(done.call, json.dumps(output))]

    def _finish(self, call: ToolCall, output: str) -> Actions:
        self._outputs[_key(call)] = output
        return [self._result(call, output)]

    def _result(self, call: ToolCall, output: str) -> ToolResult:
        self.reply_due = True
        return ToolResult(call, output)


def _key(call: ToolCall) -> tuple[str, str]:
    """What tells that a call is the same as another."""
    if len(call.arguments) > KEY_LIMIT:
        return call.name, call.arguments
    try:
        return call.name, json.dumps(json.loads(call.arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        return call.name, call.arguments

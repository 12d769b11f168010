"""The function calls of one conversation, from the model's request to its result. [core]

Part of ``conversation.py``: what takes time (a webhook, a hold, keys to be typed) is kept here, and
so is what was done already, because models like to call twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import assert_never

from esl_controller.call import tools
from esl_controller.call.actions import (
    Actions,
    AskWebhook,
    PlayMusic,
    SendDtmf,
    StoreMessage,
    TellModel,
    ToolResult,
)
from esl_controller.call.events import ToolCall
from esl_controller.call.snapshot import Snapshot
from esl_controller.call.tools import Toolbox, ToolError, failure

DONE = json.dumps({"status": "done"})
PRIVATE_S = 3.0  # after secret digits, keys are still of them: one too many, or one too late
MOST_KEYS = 64
INTERRUPTED = (
    "interrupted by a fault of the telephone system; whether it was done is not known. Digits that"
    " were being typed are lost and have to be asked for again."
)
KEYS_S = 1.5  # after the last key that nobody asked for, until the model is told


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
    """Takes calls; ``take`` and the others return actions, and ``reply_due`` says whether the model
    has to be asked to go on."""

    toolbox: Toolbox
    reply_due: bool = False
    running: dict[str, ToolCall] = field(default_factory=dict)  # webhooks, by call_id
    collection: _Collection | None = None
    hold: _Hold | None = None
    secure: dict[str, str] = field(default_factory=dict, repr=False)
    _outputs: dict[tuple[str, str], str] = field(default_factory=dict)
    _again: dict[str, list[ToolCall]] = field(default_factory=dict)
    _private_until: float = 0.0
    _keys: str = field(default="", repr=False)  # that nobody asked for
    _keys_until: float = 0.0

    @property
    def busy(self) -> bool:
        """Whether the caller is kept waiting, by whatever."""
        return bool(self.running or self.collection or self.hold or self._keys)

    @property
    def music(self) -> bool:
        """Whether the caller hears music."""
        return self.hold is not None and self.hold.music

    def describe(self) -> str:
        """What the caller is kept waiting for, for ``Call.describe``; never a digit."""
        parts = [call.name for call in self.running.values()]
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
        again = [call for calls in self._again.values() for call in calls]
        return (*self.running.values(), *again, *waiting)

    def resume(self, memory: Snapshot) -> Actions:
        """Go on in another process. A hold goes on; of what else was running, nobody knows whether
        it was done, and it is not done again."""
        actions: Actions = []
        for call in memory.pending:
            if call.call_id == memory.hold:
                self.hold = _Hold(call, memory.held_until)
            elif call.call_id != memory.leaving_call:
                actions += self.fail(call, INTERRUPTED)
        return actions

    def private(self, now: float) -> bool:
        """Whether a key that is pressed now belongs to secret digits that came to an end."""
        return self.collection is None and now < self._private_until

    def new_turn(self) -> None:
        """The caller said or typed something: the same call may now be meant once more."""
        self._outputs.clear()

    def request(self, call: ToolCall) -> tools.Request | Actions:
        """What a call asks for; or what is to be done about one that is wrong or repeated."""
        key = _key(call)
        if key in self._outputs:
            return self._finish(call, self._outputs[key])
        for running in self.running.values():
            if _key(running) == key:
                self._again.setdefault(running.call_id, []).append(call)
                return []
        try:
            return self.toolbox.request(call)
        except ToolError as error:
            return self.fail(call, str(error))

    def take(self, call: ToolCall, request: tools.Staying, now: float) -> Actions:
        """Carry out a request that does not end the conversation."""
        match request:
            case tools.AskServer(tool):
                self.running[call.call_id] = call
                given = {name: self.secure.get(digits, "") for name, digits in tool.secure.items()}
                return [AskWebhook(call.call_id, request, given)]
            case tools.TakeMessage():
                return [StoreMessage(request), *self._done(call)]
            case tools.PressKeys(digits):
                return [SendDtmf(digits), *self._done(call)]
            case tools.Hold(seconds):
                if self.hold is not None:
                    return self.fail(call, "the caller is on hold already")
                self.hold = _Hold(call, now + seconds)
                return []
            case tools.Unhold():
                if self.hold is None:
                    return self.fail(call, "the caller is not on hold")
                return [*self.end_hold("ended"), *self._done(call)]
            case tools.CollectDigits(timeout_s=timeout_s):
                if self.collection is not None:
                    return self.fail(call, "digits are being collected already")
                self.secure.pop(request.name, None)
                self.collection = _Collection(call, request, now + timeout_s)
                # Who knows what is asked for begins to type before it is asked.
                keys, self._keys = self._keys, ""
                return [action for key in keys for action in self.key(key, now)]
            case _:
                assert_never(request)

    def webhook_done(self, call_id: str, output: str) -> Actions:
        """A webhook's answer has come."""
        call = self.running.pop(call_id, None)
        if call is None:
            return []
        actions = self.end_hold("an answer has come")
        for one in (call, *self._again.pop(call_id, ())):
            actions += self._finish(one, output)
        self.reply_due = not self.running
        return actions

    def key(self, digit: str, now: float) -> Actions:
        """The caller pressed a key: for a collection, to end a hold, or without being asked."""
        if self.collection is None:
            over = self.end_hold("the caller pressed a key")
            if not over:
                self._keys = (self._keys + digit)[-MOST_KEYS:]
                self._keys_until = now + KEYS_S
            return over
        wanted = self.collection.wanted
        if digit == wanted.terminator:
            return self._collected(now, "the caller typed nothing more")
        self.collection.digits += digit
        self.collection.ends = now + wanted.timeout_s
        full = wanted.count or MOST_KEYS
        return self._collected(now) if len(self.collection.digits) >= full else []

    def play(self) -> Actions:
        """All was said: the caller on hold gets music."""
        if self.hold is None or self.hold.music:
            return []
        self.hold.music = True
        return [PlayMusic(True)]

    def silenced(self) -> None:
        """The music was lost with the way to the caller: ``play`` plays it again."""
        if self.hold is not None:
            self.hold.music = False

    def time(self, now: float, *, model: bool) -> Actions:
        """End what has lasted long enough; ``model``: it is there to be told of keys."""
        actions: Actions = []
        if model and self._keys and now >= self._keys_until:
            told = f"(The caller pressed {self._keys} on the telephone's keypad.)"
            self._keys, self.reply_due = "", True
            actions.append(TellModel(told))
        if self.hold is not None and now >= self.hold.ends:
            actions += self.end_hold("the time is over")
        if self.collection is not None and now >= self.collection.ends:
            actions += self._collected(now, "the caller typed nothing more in time")
        return actions

    def deadline(self, *, model: bool) -> float | None:
        """When ``time`` has something to do."""
        ends = [waits.ends for waits in (self.hold, self.collection) if waits is not None]
        if model and self._keys:
            ends.append(self._keys_until)
        return min(ends, default=None)

    def end_hold(self, reason: str) -> Actions:
        """Let the caller talk with the model again, if there is a hold."""
        if self.hold is None:
            return []
        hold, self.hold = self.hold, None
        music: Actions = [PlayMusic(False)] if hold.music else []
        return [*music, self._result(hold.call, json.dumps({"hold": "over", "reason": reason}))]

    def leave(self) -> Actions:
        """The conversation ends: nobody waits for keys any more, or hears music."""
        music: Actions = [PlayMusic(False)] if self.music else []
        self.hold = self.collection = None
        self._keys = ""
        return music

    def fail(self, call: ToolCall, why: str) -> Actions:
        """Tell the model why a call came to nothing."""
        return self._finish(call, failure(why))

    def _done(self, call: ToolCall) -> Actions:
        return self._finish(call, DONE)

    def _collected(self, now: float, reason: str = "") -> Actions:
        assert self.collection is not None
        done, self.collection = self.collection, None
        wanted, digits = done.wanted, done.digits
        complete = len(digits) == wanted.count if wanted.count else bool(digits)
        told: dict[str, object] = {"status": "complete" if complete else "incomplete"}
        if wanted.secure:
            self._private_until = now + PRIVATE_S
            if complete:
                self.secure[wanted.name] = digits
        else:
            told["digits"] = digits
        if not complete:
            told["reason"] = reason
        return [self._result(done.call, json.dumps(told))]

    def _finish(self, call: ToolCall, output: str) -> Actions:
        self._outputs[_key(call)] = output
        return [self._result(call, output)]

    def _result(self, call: ToolCall, output: str) -> ToolResult:
        self.reply_due = True
        return ToolResult(call, output)


def _key(call: ToolCall) -> tuple[str, str]:
    try:
        return call.name, json.dumps(json.loads(call.arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        return call.name, call.arguments

"""The function calls of one conversation, from the model's request to its result. [core]

Part of ``conversation.py``: what takes time (a webhook, a hold, keys to be typed) is kept here, and
so is what was done already, because models like to call twice.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from esl_controller import tools
from esl_controller.actions import Actions, AskWebhook, KeepMessage, Music, SendDtmf, ToolResult
from esl_controller.events import ToolCall
from esl_controller.tools import Toolbox, ToolError, failure

DONE = json.dumps({"status": "done"})


@dataclass
class _Collection:
    call: ToolCall
    wanted: tools.CollectDigits
    ends: float
    digits: str = ""


@dataclass
class _Hold:
    call: ToolCall
    ends: float


@dataclass
class Desk:
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

    @property
    def busy(self) -> bool:
        """Whether the caller is kept waiting, by whatever."""
        return bool(self.running or self.collection or self.hold)

    def new_turn(self) -> None:
        """The caller said something: the same call may now be meant once more."""
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

    def take(self, call: ToolCall, request: tools.Request, now: float) -> Actions:
        """Do all that does not end the conversation."""
        match request:
            case tools.CallWebhook(tool):
                self.running[call.call_id] = call
                given = {name: self.secure.get(digits, "") for name, digits in tool.secure.items()}
                return [AskWebhook(call.call_id, request, given)]
            case tools.TakeMessage():
                return [KeepMessage(request), *self._done(call)]
            case tools.SendDtmf(digits):
                return [SendDtmf(digits), *self._done(call)]
            case tools.Hold(seconds):
                if self.hold is not None:
                    return self.fail(call, "the caller is on hold already")
                self.hold = _Hold(call, now + seconds)
                return [Music(True)]
            case tools.Unhold():
                if self.hold is None:
                    return self.fail(call, "the caller is not on hold")
                return [*self.end_hold("ended"), *self._done(call)]
            case tools.CollectDigits(timeout_s=timeout_s):
                if self.collection is not None:
                    return self.fail(call, "digits are being collected already")
                self.collection = _Collection(call, request, now + timeout_s)
                return []
        raise AssertionError(request)  # the others end the conversation

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
        """The caller pressed a key while digits are collected or music plays."""
        if self.collection is None:
            return self.end_hold("the caller pressed a key")
        wanted = self.collection.wanted
        if digit == wanted.terminator:
            return self._collected()
        self.collection.digits += digit
        full = wanted.count or 64
        return self._collected() if len(self.collection.digits) >= full else []

    def time(self, now: float) -> Actions:
        """End what has lasted long enough."""
        actions: Actions = []
        if self.hold is not None and now >= self.hold.ends:
            actions += self.end_hold("the time is over")
        if self.collection is not None and now >= self.collection.ends:
            actions += self._collected(timeout=True)
        return actions

    def deadline(self) -> float | None:
        """When ``time`` has something to do."""
        ends = [waits.ends for waits in (self.hold, self.collection) if waits is not None]
        return min(ends, default=None)

    def end_hold(self, reason: str) -> Actions:
        """Stop the music, if there is any."""
        if self.hold is None:
            return []
        call, self.hold = self.hold.call, None
        return [Music(False), *self._finish(call, json.dumps({"hold": "over", "reason": reason}))]

    def fail(self, call: ToolCall, why: str) -> Actions:
        """Tell the model why a call came to nothing."""
        return self._finish(call, failure(why))

    def _done(self, call: ToolCall) -> Actions:
        return self._finish(call, DONE)

    def _collected(self, *, timeout: bool = False) -> Actions:
        assert self.collection is not None
        done, self.collection = self.collection, None
        wanted = done.wanted
        complete = bool(done.digits) and not (timeout and wanted.count)
        told: dict[str, object] = {"status": "complete" if complete else "incomplete"}
        if wanted.secure:
            if complete:
                self.secure[wanted.name] = done.digits
        else:
            told["digits"] = done.digits
        if timeout:
            told["reason"] = "the caller typed nothing more in time"
        return self._finish(done.call, json.dumps(told))

    def _finish(self, call: ToolCall, output: str) -> Actions:
        self._outputs[_key(call)] = output
        self.reply_due = True
        return [ToolResult(call, output)]


def _key(call: ToolCall) -> tuple[str, str]:
    try:
        return call.name, json.dumps(json.loads(call.arguments or "{}"), sort_keys=True)
    except (ValueError, RecursionError):
        return call.name, call.arguments

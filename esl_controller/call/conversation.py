"""Who speaks when: turns, replies, functions, limits, the end. [core]

Part of ``call.py``, which hands over what happens while a call is TALKING or TRANSFERRING. One
sequencer (``replies.py``) asks the model for every reply: at most one is in flight, and whatever
wants another one (the caller's turn, a function's result, an idle prompt, the farewell) waits until
it may.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from esl_controller.call import tools
from esl_controller.call.actions import Actions, Hangup, Note, ToolResult, Transfer
from esl_controller.call.agent import Abilities
from esl_controller.call.ending import CLEARING, Ending, Exit, outside_hours
from esl_controller.call.events import (
    Dtmf,
    Event,
    FilesReady,
    ItemFinished,
    ItemQueued,
    ItemStarted,
    ResponseDone,
    ResponseStarted,
    SpeechConfirmed,
    SpeechDoubted,
    SpeechStarted,
    SpeechStopped,
    TimeUp,
    ToolCall,
    ToolDone,
)
from esl_controller.call.replies import ANSWER_NOW, CONTINUE, LOST_WORDS, ReplyKind, back_from
from esl_controller.call.snapshot import Resumption, Snapshot
from esl_controller.call.timers import Due, Timers
from esl_controller.call.tool_calls import DONE, ToolExecutor
from esl_controller.call.tools import Toolbox, failure
from esl_controller.call.transitions import Transitions
from esl_controller.call.turn_taking import TurnTaking
from esl_controller.secretaries.secretary import Secretary

REPLY_TRIES = 2


class Conversation:
    """The decisions of one conversation. ``closed``: it takes place outside the opening hours."""

    def __init__(
        self, secretary: Secretary, toolbox: Toolbox, *, closed: bool, abilities: Abilities
    ) -> None:
        self._secretary = secretary
        self._closed = closed
        self._tools = ToolExecutor(toolbox)
        self._turns = TurnTaking(
            own_turns=not abilities.takes_turns,
            during_greeting=secretary.barge_in.during_greeting,
        )
        self._ready = False  # the model
        self._failures = 0
        self._timers = Timers(secretary.limits)
        self._ending = Ending()

    def describe(self) -> str:
        """Where the conversation is, in words for ``Call.describe``."""
        parts = {
            "floor": self._turns.describe(),
            "reply": self._turns.replies.describe(),
            "waits": self._tools.describe(),
            "leaves": self._ending.told,
        }
        return "; ".join(f"{name}: {told}" for name, told in parts.items() if told)

    @property
    def at_rest(self) -> bool:
        """Nobody speaks and nothing is awaited: a turn boundary."""
        return self._turns.free and not (self._tools.busy or self.leaving)

    @property
    def leaving(self) -> bool:
        """Whether the end is decided."""
        return self._ending.decided

    @property
    def helpless(self) -> bool:
        """Whether the model is there and does not reply."""
        return self._failures >= REPLY_TRIES

    @property
    def heard(self) -> bool:
        """Whether the caller hears the model, or will in a moment."""
        return self._turns.heard

    @property
    def secure(self) -> bool:
        """Whether digits are typed that nobody may see or hear."""
        collection = self._tools.collection
        return collection is not None and collection.wanted.secure

    @property
    def caller_gate(self) -> Literal["closed", "open", "secret"]:
        """Whether the agent may hear the caller (``SetGates``)."""
        if self.held:
            return "closed"
        return "secret" if self.secure else "open"

    @property
    def held(self) -> bool:
        """Whether the caller hears music."""
        return self._tools.music

    def next_deadline(self) -> float | None:
        """When ``TimeUp`` is due."""
        times = (self._timers.deadline(), self._tools.deadline(model=self._ready))
        return min((time for time in times if time is not None), default=None)

    def begin(self, now: float) -> Actions:
        """The model is ready and the caller can be spoken to."""
        self._ready = True
        self._timers.begin(now)
        words, want = self._secretary.spoken_greeting, ReplyKind.GREETING
        if self._closed:
            words = self._secretary.spoken_closed
            if way := outside_hours(self._secretary):
                self._ending.decide(way)
                want = ReplyKind.LAST_WORDS
        self._turns.replies.want(want, f"Greet the caller. {_say(words)}")
        return self._carry_on([], now)

    def snapshot(self) -> Snapshot:
        """What another process must know to go on from here."""
        hold, leaving = self._tools.hold, self._ending.call
        return Snapshot(
            ends_at=self._timers.limit_at,
            greeted=self._turns.greeted,
            turns=self._timers.turns,
            prompts=self._timers.prompts,
            owes=self._turns.replies.owes,
            speaks=self._turns.caller_has_it,
            leaving=self._ending.told,
            goodbye=self._turns.replies.last_words,
            leaving_call=leaving.call_id if leaving else "",
            hold=hold.call.call_id if hold else "",
            held_until=hold.ends if hold else 0.0,
            pending=(*self._tools.pending, *([leaving] if leaving else [])),
            returns=self._ending.returns,
        )

    def resume(self, resumption: Resumption, now: float) -> Actions:
        """Go on with a conversation that began in another process."""
        memory = resumption.snapshot
        if not (memory.greeted or resumption.cut or resumption.history):
            return self.begin(now)
        self._ready = self._turns.greeted = True
        self._timers.resume(now, memory)
        actions = [*self._tools.resume(memory), *self._ending.resume(resumption, self._secretary)]
        if memory.leaving:
            self._tools.reply_due = False
            self._timers.last_words(now)
            if words := CONTINUE if resumption.cut else memory.goodbye:
                self._turns.replies.want(ReplyKind.LAST_WORDS, words)
        elif memory.back_from:
            self._turns.want(ReplyKind.ANSWER, back_from(memory.back_from, resumption.unreached))
        elif words := _unsaid(resumption):
            self._turns.want(ReplyKind.ANSWER, words)
            self._tools.reply_due = False  # the same reply tells what became of a function
        return self._carry_on(actions, now)

    def handle(self, event: Event, now: float) -> Actions | None:
        """Decide on ``event``; None if it does not concern the conversation."""
        decide = _TABLE.find(event)
        return None if decide is None else self._carry_on(decide(self, event, now), now)

    # --- the model's replies ----------------------------------------------------------------------

    def _carry_on(self, actions: Actions, now: float) -> Actions:
        """After every decision: leave, ask for the next reply, or start to wait for the caller.

        Returns ``actions``, which are done already, and what follows from them.
        """
        actions = [*actions, *self._next(now)]
        if not self.leaving:
            return actions
        return [replace(a, last=True) if isinstance(a, ToolResult) else a for a in actions]

    def _next(self, now: float) -> Actions:
        if self._ending.taken:
            return []
        if self._tools.reply_due:
            self._tools.reply_due = False
            if not self.leaving:
                self._turns.want(ReplyKind.ANSWER)
        actions = [] if self._turns.heard else self._tools.play()
        if self._turns.all_said:
            actions += self._leave()
        if self._ready and not self._ending.taken:
            actions += self._turns.replies.next(self._may)
        self._timers.rest(now, at_rest=self._ready and self.at_rest)
        return actions

    def _leave(self) -> Actions:
        actions = self._ending.take()
        if actions:
            self._timers.gone()
        return actions

    def _may(self, want: ReplyKind) -> bool:
        """Whether the model may speak now."""
        kept = self._tools.hold or self._tools.collection
        return self._turns.may(want) and (want is ReplyKind.LAST_WORDS or not kept)

    def _response_started(self, event: ResponseStarted, now: float) -> Actions:
        self._turns.caller.new_reply()
        return self._turns.replies.started(event.id)

    def _response_done(self, event: ResponseDone, now: float) -> Actions:
        cancelled = self._turns.replies.cancelled(event.id)
        again = self._turns.replies.done(event.id)
        if event.status == "failed":
            self._failures += 1
            if self.helpless:
                self._turns.replies.drop()
            elif again is not None:
                self._turns.want(*again)
            return [Note("the model failed to reply", event.reason)]
        if event.status != "completed":
            return []  # its function calls are not meant any more
        self._failures = 0
        if cancelled:
            interrupted = failure("not done: the caller interrupted")
            return [ToolResult(call, interrupted) for call in event.calls]
        actions: Actions = []
        for call in event.calls:
            actions += self._call(call, now)
        if any(call.call_id in self._tools.running for call in event.calls):
            self._tools.reply_due = False  # the last answer brings one reply to all
        return actions

    # --- its function calls -----------------------------------------------------------------------

    def _call(self, call: ToolCall, now: float) -> Actions:
        if self.leaving:
            return []
        request = self._tools.request(call)
        if isinstance(request, list):
            return request
        silent = not self._turns.replies.spoke
        # What a model says by itself is no farewell: another one decides what is called.
        wordless = silent or not self._turns.own_turns
        match request:
            case tools.EndCall():
                farewell = _say(self._secretary.spoken_farewell) if wordless else ""
                return [
                    ToolResult(call, DONE),
                    *self._decide_to_leave(Hangup(CLEARING), farewell, now),
                ]
            case tools.TransferCall(destination):
                announced = f"Say that you now connect the caller to {destination.name}."
                words = announced if wordless else ""
                return self._decide_to_leave(Transfer(destination), words, now, call)
            case tools.AskServer(tool) if tool.wait_say and silent:
                self._turns.want(ReplyKind.NOTICE, _say(tool.wait_say))
        return self._tools.take(call, request, now)

    def _tool_done(self, event: ToolDone, now: float) -> Actions:
        return self._tools.webhook_done(event.call_id, event.output)

    # --- the end ----------------------------------------------------------------------------------

    def _decide_to_leave(
        self, way: Exit, words: str, now: float, call: ToolCall | None = None
    ) -> Actions:
        self._ending.decide(way, call)
        self._timers.last_words(now)
        self._turns.replies.drop()
        if words:
            self._turns.replies.want(ReplyKind.LAST_WORDS, words)
        return [*self._turns.caller.release(), *self._tools.leave()]

    def _say_goodbye(self, now: float) -> Actions:
        return self._decide_to_leave(Hangup(CLEARING), _say(self._secretary.spoken_farewell), now)

    def transfer_failed(self, reason: str, now: float) -> Actions:
        """The caller is still ours."""
        call = self._ending.back()
        self._timers.back()
        if call is None:
            return self._carry_on(self._say_goodbye(now), now)
        self._turns.want(ReplyKind.ANSWER)
        result = ToolResult(call, failure(f"the transfer failed: {reason}"))
        return self._carry_on([result], now)

    def abandon(self) -> Actions:
        """The call goes another way: say and ask nothing any more."""
        self._ending.taken = True
        self._timers.gone()
        return [*self._turns.caller.release(), *self._tools.leave()]

    # --- the caller -------------------------------------------------------------------------------

    def _speech_started(self, event: SpeechStarted, now: float) -> Actions:
        # Thanks and goodbyes do not interrupt a farewell.
        return [] if self.leaving else self._turns.sound()

    def _speech_confirmed(self, event: SpeechConfirmed, now: float) -> Actions:
        confirmed = self._turns.caller.confirmed()
        return self._interrupt() if confirmed and self._turns.interruptible else []

    def _interrupt(self) -> Actions:
        return [*self._turns.interrupt(), *self._tools.end_hold("the caller interrupted")]

    def _speech_doubted(self, event: SpeechDoubted, now: float) -> Actions:
        return self._turns.caller.doubted()

    def _speech_stopped(self, event: SpeechStopped, now: float) -> Actions:
        spoke = self._turns.caller.speaking
        actions = self._turns.caller.stopped(event.item)
        return [*actions, *self._turn(now)] if spoke else actions

    def _turn(self, now: float) -> Actions:
        """The caller has said something, and it is for us to answer."""
        self._tools.new_turn()
        if self._timers.turn():
            return self._say_goodbye(now)
        self._turns.want(ReplyKind.ANSWER)
        return []

    def _dtmf(self, event: Dtmf, now: float) -> Actions:
        if self.leaving or self._tools.private(now):
            return []
        self._timers.caller_acts()
        self._tools.new_turn()
        actions = self._interrupt() if self._turns.over_us and self._turns.interruptible else []
        return [*actions, *self._tools.key(event.digit, now)]

    # --- what is heard, and time ------------------------------------------------------------------

    def _item_queued(self, event: ItemQueued, now: float) -> Actions:
        self._turns.queued(event.item)
        return self._tools.end_hold("the model spoke") if self.held else []

    def _item_started(self, event: ItemStarted, now: float) -> Actions:
        self._turns.started(event.item)
        return []

    def _item_finished(self, event: ItemFinished, now: float) -> Actions:
        self._turns.finished(event.item)
        return []

    def _files_ready(self, event: FilesReady, now: float) -> Actions:
        """Instead of the lane; what waited in that is lost."""
        self._turns.silenced()
        self._tools.silenced()
        if not self._turns.heard:
            return []
        actions = self._interrupt()
        if not self.leaving:
            self._turns.want(ReplyKind.ANSWER, CONTINUE)
        return actions

    def _time_up(self, event: TimeUp, now: float) -> Actions:
        actions = self._tools.time(now, model=self._ready)
        while (due := self._timers.next(now)) is not None:
            actions += _TIMES[due](self, now)
        return actions

    def _idle(self, now: float) -> Actions:
        if not self._timers.prompt():
            return self._say_goodbye(now)
        self._turns.want(ReplyKind.PROMPT, "Ask in a few words whether the caller is still there.")
        return []

    def _warning(self, now: float) -> Actions:
        seconds = self._secretary.limits.warn_s
        words = f"Tell the caller kindly that this call has to end in {seconds:g} seconds."
        if not self.leaving:
            self._turns.want(ReplyKind.WARNING, words)
        return []

    def _limit(self, now: float) -> Actions:
        return [*self._say_goodbye(now), *self._interrupt()]

    def _leave_now(self, now: float) -> Actions:
        return [*self._interrupt(), *self._leave()]

    # --- the model's connection -------------------------------------------------------------------

    def model_lost(self, now: float, *, for_good: bool = False) -> Actions:
        """The connection is gone; the reply in flight will not come, what came of it is heard."""
        again = self._turns.replies.lost()
        if self._turns.replies.expected and not self.leaving:
            again = ReplyKind.ANSWER, ANSWER_NOW
        if again is not None:
            self._turns.want(*again)
        if for_good:
            self._turns.replies.drop()
        self._ready = False
        return self._carry_on(self._turns.caller.release(), now)

    def model_back(self, now: float) -> Actions:
        """A new connection knows what was said so far."""
        self._ready = True
        return self._carry_on([], now)


def _unsaid(resumption: Resumption) -> str:
    """What the model is to say first when a call goes on; empty where nothing was being said."""
    if resumption.cut:
        return CONTINUE
    if resumption.snapshot.speaks or (resumption.snapshot.owes and resumption.lost_words):
        return LOST_WORDS
    return ANSWER_NOW if resumption.snapshot.owes else ""


def _say(words: str) -> str:
    return f"Say exactly this to the caller, and nothing else: {words}"


_TIMES: dict[Due, Callable[[Conversation, float], Actions]] = {
    Due.IDLE: Conversation._idle,
    Due.WARNING: Conversation._warning,
    Due.LIMIT: Conversation._limit,
    Due.LEAVE: Conversation._leave_now,
}
_TABLE: Transitions[Conversation] = Transitions()
_TABLE.on(ResponseStarted, Conversation._response_started)
_TABLE.on(ResponseDone, Conversation._response_done)
_TABLE.on(ToolDone, Conversation._tool_done)
_TABLE.on(SpeechStarted, Conversation._speech_started)
_TABLE.on(SpeechConfirmed, Conversation._speech_confirmed)
_TABLE.on(SpeechDoubted, Conversation._speech_doubted)
_TABLE.on(SpeechStopped, Conversation._speech_stopped)
_TABLE.on(Dtmf, Conversation._dtmf)
_TABLE.on(ItemQueued, Conversation._item_queued)
_TABLE.on(ItemStarted, Conversation._item_started)
_TABLE.on(ItemFinished, Conversation._item_finished)
_TABLE.on(FilesReady, Conversation._files_ready)
_TABLE.on(TimeUp, Conversation._time_up)

"""Who speaks when: turns, replies, functions, limits, the end. [core]

Part of ``call.py``, which hands over what happens while a call is TALKING or TRANSFERRING. One
sequencer (``replies.py``) asks the model for every reply: at most one is in flight, and whatever
wants another one (the caller's turn, a function's result, an idle prompt, the farewell) waits until
it may.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from esl_controller.agents.base import Abilities
from esl_controller.call import tools
from esl_controller.call.actions import Actions, Hangup, Note, ToolResult, Transfer
from esl_controller.call.ending import CLEARING, Departure, Way, outside_hours
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
from esl_controller.call.replies import ANSWER_NOW, CONTINUE, LOST_WORDS, Want, back_from
from esl_controller.call.snapshot import Memory, Past
from esl_controller.call.timers import Due, Timetable
from esl_controller.call.tool_calls import DONE, Desk
from esl_controller.call.tools import Toolbox, failure
from esl_controller.call.turn_taking import Floor
from esl_controller.secretaries.schema import Secretary

REPLY_TRIES = 2


class Conversation:
    """The decisions of one conversation. ``closed``: it takes place outside the opening hours."""

    def __init__(
        self, secretary: Secretary, toolbox: Toolbox, *, closed: bool, abilities: Abilities
    ) -> None:
        self._secretary = secretary
        self._closed = closed
        self._desk = Desk(toolbox)
        self._floor = Floor(
            own_turns=not abilities.takes_turns,
            during_greeting=secretary.barge_in.during_greeting,
        )
        self._ready = False  # the model
        self._failures = 0
        self._times = Timetable(secretary.limits)
        self._departure = Departure()

    @property
    def at_rest(self) -> bool:
        """Nobody speaks and nothing is awaited: a turn boundary."""
        return self._floor.free and not (self._desk.busy or self.leaving)

    @property
    def leaving(self) -> bool:
        """Whether the end is decided."""
        return self._departure.decided

    @property
    def helpless(self) -> bool:
        """Whether the model is there and does not reply."""
        return self._failures >= REPLY_TRIES

    @property
    def heard(self) -> bool:
        """Whether the caller hears the model, or will in a moment."""
        return self._floor.heard

    @property
    def secure(self) -> bool:
        """Whether digits are typed that nobody may see or hear."""
        collection = self._desk.collection
        return collection is not None and collection.wanted.secure

    @property
    def held(self) -> bool:
        """Whether the caller hears music."""
        return self._desk.music

    def next_deadline(self) -> float | None:
        """When ``TimeUp`` is due."""
        times = (self._times.deadline(), self._desk.deadline(model=self._ready))
        return min((time for time in times if time is not None), default=None)

    def begin(self, now: float) -> Actions:
        """The model is ready and the caller can be spoken to."""
        self._ready = True
        self._times.begin(now)
        words, want = self._secretary.spoken_greeting, Want.GREETING
        if self._closed:
            words = self._secretary.spoken_closed
            if way := outside_hours(self._secretary):
                self._departure.decide(way)
                want = Want.LAST_WORDS
        self._floor.replies.want(want, f"Greet the caller. {_say(words)}")
        return self._settle(now)

    def memory(self) -> Memory:
        """What another process must know to go on from here."""
        hold, leaving = self._desk.hold, self._departure.call
        return Memory(
            ends_at=self._times.limit_at,
            greeted=self._floor.greeted,
            turns=self._times.turns,
            prompts=self._times.prompts,
            owes=self._floor.replies.owes,
            speaks=self._floor.caller_has_it,
            leaving=self._departure.told,
            goodbye=self._floor.replies.last_words,
            leaving_call=leaving.call_id if leaving else "",
            hold=hold.call.call_id if hold else "",
            held_until=hold.ends if hold else 0.0,
            pending=(*self._desk.pending, *([leaving] if leaving else [])),
            returns=self._departure.returns,
        )

    def resume(self, past: Past, now: float) -> Actions:
        """Go on with a conversation that began in another process."""
        memory = past.memory
        if not (memory.greeted or past.cut or past.history):
            return self.begin(now)
        self._ready = self._floor.greeted = True
        self._times.resume(now, memory)
        actions = [*self._desk.resume(memory), *self._departure.resume(past, self._secretary)]
        if memory.leaving:
            self._desk.reply_due = False
            self._times.last_words(now)
            if words := CONTINUE if past.cut else memory.goodbye:
                self._floor.replies.want(Want.LAST_WORDS, words)
        elif memory.back_from:
            self._floor.want(Want.ANSWER, back_from(memory.back_from, past.unreached))
        elif words := _unsaid(past):
            self._floor.want(Want.ANSWER, words)
            self._desk.reply_due = False  # the same reply tells what became of a function
        return [*actions, *self._settle(now)]

    def handle(self, event: Event, now: float) -> Actions:
        """Decide on ``event``; what does not concern the conversation is ignored."""
        decide = _TABLE.get(type(event))
        if decide is None:
            return []
        return [*decide(self, event, now), *self._settle(now)]

    # --- the model's replies ----------------------------------------------------------------------

    def _settle(self, now: float) -> Actions:
        """After everything: leave, ask for the next reply, or start to wait for the caller."""
        if self._departure.gone:
            return []
        if self._desk.reply_due:
            self._desk.reply_due = False
            if not self.leaving:
                self._floor.want(Want.ANSWER)
        actions = [] if self._floor.heard else self._desk.play()
        if self._floor.all_said:
            actions += self._go()
        if self._ready and not self._departure.gone:
            actions += self._floor.replies.next(self._may)
        self._times.rest(now, at_rest=self._ready and self.at_rest)
        return actions

    def _go(self) -> Actions:
        actions = self._departure.go()
        if actions:
            self._times.gone()
        return actions

    def _may(self, want: Want) -> bool:
        """Whether the model may speak now."""
        kept = self._desk.hold or self._desk.collection
        return self._floor.may(want) and (want is Want.LAST_WORDS or not kept)

    def _response_started(self, event: ResponseStarted, now: float) -> Actions:
        self._floor.caller.new_reply()
        return self._floor.replies.started(event.id)

    def _response_done(self, event: ResponseDone, now: float) -> Actions:
        cancelled = self._floor.replies.cancelled(event.id)
        again = self._floor.replies.done(event.id)
        if event.status == "failed":
            self._failures += 1
            if self.helpless:
                self._floor.replies.drop()
            elif again is not None:
                self._floor.want(*again)
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
        if any(call.call_id in self._desk.running for call in event.calls):
            self._desk.reply_due = False  # the last answer brings one reply to all
        return actions

    # --- its function calls -----------------------------------------------------------------------

    def _call(self, call: ToolCall, now: float) -> Actions:
        if self.leaving:
            return []
        request = self._desk.request(call)
        if isinstance(request, list):
            return request
        silent = not self._floor.replies.spoke
        # What a model says by itself is no farewell: another one decides what is called.
        wordless = silent or not self._floor.own_turns
        match request:
            case tools.EndCall():
                farewell = _say(self._secretary.spoken_farewell) if wordless else ""
                return [ToolResult(call, DONE), *self._leave_by(Hangup(CLEARING), farewell, now)]
            case tools.TransferCall(destination):
                announced = f"Say that you now connect the caller to {destination.name}."
                words = announced if wordless else ""
                return self._leave_by(Transfer(destination), words, now, call)
            case tools.CallWebhook(tool) if tool.wait_say and silent:
                self._floor.want(Want.NOTICE, _say(tool.wait_say))
        return self._desk.take(call, request, now)

    def _tool_done(self, event: ToolDone, now: float) -> Actions:
        return self._desk.webhook_done(event.call_id, event.output)

    # --- the end ----------------------------------------------------------------------------------

    def _leave_by(self, way: Way, words: str, now: float, call: ToolCall | None = None) -> Actions:
        self._departure.decide(way, call)
        self._times.last_words(now)
        self._floor.replies.drop()
        if words:
            self._floor.replies.want(Want.LAST_WORDS, words)
        return [*self._floor.caller.release(), *self._desk.leave()]

    def _say_goodbye(self, now: float) -> Actions:
        return self._leave_by(Hangup(CLEARING), _say(self._secretary.spoken_farewell), now)

    def transfer_failed(self, reason: str, now: float) -> Actions:
        """The caller is still ours."""
        call = self._departure.back()
        self._times.back()
        if call is None:
            return [*self._say_goodbye(now), *self._settle(now)]
        self._floor.want(Want.ANSWER)
        result = ToolResult(call, failure(f"the transfer failed: {reason}"))
        return [result, *self._settle(now)]

    def abandon(self) -> Actions:
        """The call goes another way: say and ask nothing any more."""
        self._departure.gone = True
        self._times.gone()
        return [*self._floor.caller.release(), *self._desk.leave()]

    # --- the caller -------------------------------------------------------------------------------

    def _speech_started(self, event: SpeechStarted, now: float) -> Actions:
        # Thanks and goodbyes do not interrupt a farewell.
        return [] if self.leaving else self._floor.sound()

    def _speech_confirmed(self, event: SpeechConfirmed, now: float) -> Actions:
        confirmed = self._floor.caller.confirmed()
        return self._interrupt() if confirmed and self._floor.interruptible else []

    def _interrupt(self) -> Actions:
        return [*self._floor.interrupt(), *self._desk.end_hold("the caller interrupted")]

    def _speech_doubted(self, event: SpeechDoubted, now: float) -> Actions:
        return self._floor.caller.doubted()

    def _speech_stopped(self, event: SpeechStopped, now: float) -> Actions:
        spoke = self._floor.caller.speaking
        actions = self._floor.caller.stopped(event.item)
        return [*actions, *self._turn(now)] if spoke else actions

    def _turn(self, now: float) -> Actions:
        """The caller has said something, and it is for us to answer."""
        self._desk.new_turn()
        if self._times.turn():
            return self._say_goodbye(now)
        self._floor.want(Want.ANSWER)
        return []

    def _dtmf(self, event: Dtmf, now: float) -> Actions:
        if self.leaving or self._desk.private(now):
            return []
        self._times.caller_acts()
        self._desk.new_turn()
        actions = self._interrupt() if self._floor.over_us and self._floor.interruptible else []
        return [*actions, *self._desk.key(event.digit, now)]

    # --- what is heard, and time ------------------------------------------------------------------

    def _item_queued(self, event: ItemQueued, now: float) -> Actions:
        self._floor.queued(event.item)
        return self._desk.end_hold("the model spoke") if self.held else []

    def _item_finished(self, event: ItemFinished, now: float) -> Actions:
        self._floor.finished(event.item)
        return []

    def _files_ready(self, event: FilesReady, now: float) -> Actions:
        """Instead of the lane; what waited in that is lost."""
        self._floor.silenced()
        self._desk.silenced()
        if not self._floor.heard:
            return []
        actions = self._interrupt()
        if not self.leaving:
            self._floor.want(Want.ANSWER, CONTINUE)
        return actions

    def _time_up(self, event: TimeUp, now: float) -> Actions:
        actions = self._desk.time(now, model=self._ready)
        while (due := self._times.next(now)) is not None:
            actions += _TIMES[due](self, now)
        return actions

    def _idle(self, now: float) -> Actions:
        if not self._times.prompt():
            return self._say_goodbye(now)
        self._floor.want(Want.PROMPT, "Ask in a few words whether the caller is still there.")
        return []

    def _warning(self, now: float) -> Actions:
        seconds = self._secretary.limits.warn_s
        words = f"Tell the caller kindly that this call has to end in {seconds:g} seconds."
        if not self.leaving:
            self._floor.want(Want.WARNING, words)
        return []

    def _limit(self, now: float) -> Actions:
        return [*self._say_goodbye(now), *self._interrupt()]

    def _leave_now(self, now: float) -> Actions:
        return [*self._interrupt(), *self._go()]

    # --- the model's connection -------------------------------------------------------------------

    def model_lost(self, now: float, *, for_good: bool = False) -> Actions:
        """The connection is gone; the reply in flight will not come, what came of it is heard."""
        again = self._floor.replies.lost()
        if self._floor.replies.expected and not self.leaving:
            again = Want.ANSWER, ANSWER_NOW
        if again is not None:
            self._floor.want(*again)
        if for_good:
            self._floor.replies.drop()
        self._ready = False
        return [*self._floor.caller.release(), *self._settle(now)]

    def model_back(self, now: float) -> Actions:
        """A new connection knows what was said so far."""
        self._ready = True
        return self._settle(now)


def _unsaid(past: Past) -> str:
    """What the model is to say first when a call goes on; empty where nothing was being said."""
    if past.cut:
        return CONTINUE
    if past.memory.speaks or (past.memory.owes and past.lost_words):
        return LOST_WORDS
    return ANSWER_NOW if past.memory.owes else ""


def _say(words: str) -> str:
    return f"Say exactly this to the caller, and nothing else: {words}"


_TIMES: dict[Due, Callable[[Conversation, float], Actions]] = {
    Due.IDLE: Conversation._idle,
    Due.WARNING: Conversation._warning,
    Due.LIMIT: Conversation._limit,
    Due.LEAVE: Conversation._leave_now,
}
_TABLE: dict[type[Event], Callable[[Conversation, Any, float], Actions]] = {
    ResponseStarted: Conversation._response_started,
    ResponseDone: Conversation._response_done,
    ToolDone: Conversation._tool_done,
    SpeechStarted: Conversation._speech_started,
    SpeechConfirmed: Conversation._speech_confirmed,
    SpeechDoubted: Conversation._speech_doubted,
    SpeechStopped: Conversation._speech_stopped,
    Dtmf: Conversation._dtmf,
    ItemQueued: Conversation._item_queued,
    ItemStarted: lambda talk, event, now: talk._floor.started(event.item),
    ItemFinished: Conversation._item_finished,
    FilesReady: Conversation._files_ready,
    TimeUp: Conversation._time_up,
}

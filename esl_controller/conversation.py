"""Who speaks when: turns, replies, interruptions, functions, limits. [core]

Part of ``call.py``, which hands over what happens while a call is TALKING. One sequencer asks the
model for every reply: at most one is in flight, and whatever wants another one (the caller's turn,
a function's result, an idle prompt, the farewell) waits in ``_wants`` until it may.

An interruption: speech_started while we are heard -> Pause -> CheckSpeech. Confirmed: Interrupt
(drop what was not heard, truncate) and Cancel. Doubted: Resume; from then on, in the same reply,
nothing pauses before it is confirmed, because what fooled us once (an echo) will do it again.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from esl_controller import tools
from esl_controller.actions import (
    Actions,
    CheckSpeech,
    Forget,
    Hangup,
    Interrupt,
    Note,
    Pause,
    Resume,
    StopCheck,
    Tell,
    ToolResult,
    Transfer,
)
from esl_controller.agents.base import Abilities
from esl_controller.desk import DONE, Desk
from esl_controller.events import (
    Dtmf,
    Event,
    ItemFinished,
    ItemQueued,
    ResponseDone,
    ResponseStarted,
    SpeechConfirmed,
    SpeechDoubted,
    SpeechStarted,
    SpeechStopped,
    TimeUp,
    ToolCall,
    ToolDone,
    TransferFailed,
)
from esl_controller.replies import Replies, Want
from esl_controller.secretaries.schema import Secretary
from esl_controller.tools import Toolbox, failure

KEYS_S = 1.5  # after the last key that nobody asked for, until the model is told
LAST_WORDS_S = 10.0  # the hard cap on a farewell or an announcement
REPLY_TRIES = 2
CLEARING = "NORMAL_CLEARING"


@dataclass(frozen=True)
class Leave:
    """How the conversation ends, once all that is to be said has been heard."""

    way: Hangup | Transfer
    call: ToolCall | None = None


class Conversation:
    """The decisions of one conversation. ``closed``: it takes place outside the opening hours."""

    def __init__(
        self, secretary: Secretary, toolbox: Toolbox, *, closed: bool, abilities: Abilities
    ) -> None:
        self._secretary = secretary
        self._closed = closed
        self._own_turns = not abilities.takes_turns
        self._desk = Desk(toolbox)
        self._replies = Replies()
        self._ready = False
        self._items: set[str] = set()  # queued or being heard
        self._greeting_heard = False
        self._speaking = False  # the caller
        self._checking = False  # whether that is speech
        self._paused = False
        self._fooled = False  # in this reply
        self._failures = 0
        self._turns = 0
        self._prompts = 0
        self._keys = ""
        self._leave: Leave | None = None
        self._due: dict[str, float] = {}

    @property
    def at_rest(self) -> bool:
        """Nobody speaks and nothing is awaited: a turn boundary."""
        caller = self._speaking or self._paused
        return self._all_said and not (caller or self._desk.busy or self._leave)

    @property
    def _all_said(self) -> bool:
        return self._replies.quiet and not self._items

    @property
    def heard(self) -> bool:
        """Whether the caller hears the model, or will in a moment."""
        return bool(self._items)

    @property
    def secure(self) -> bool:
        """Whether digits are typed that nobody may see or hear."""
        collection = self._desk.collection
        return collection is not None and collection.wanted.secure

    @property
    def held(self) -> bool:
        """Whether the caller hears music."""
        return self._desk.hold is not None

    def next_deadline(self) -> float | None:
        """When ``TimeUp`` is due."""
        desk = self._desk.deadline()
        times = [*self._due.values(), *([] if desk is None else [desk])]
        return min(times, default=None)

    def begin(self, now: float) -> Actions:
        """The model is ready and the caller can be spoken to."""
        limits = self._secretary.limits
        self._ready = True
        self._due["limit"] = now + limits.max_call_s
        if 0 < limits.warn_s < limits.max_call_s:
            self._due["warning"] = now + limits.max_call_s - limits.warn_s
        self._replies.want(Want.GREETING, f"Greet the caller. {_say(self._opening())}")
        return self._settle(now)

    def _opening(self) -> str:
        hours = self._secretary.hours
        if not self._closed:
            return self._secretary.spoken_greeting
        if hours.do == "hangup":
            self._leave = Leave(Hangup(CLEARING))
        elif hours.do == "transfer":
            destination = self._secretary.destination(hours.destination)
            assert destination is not None  # the schema sees to it
            self._leave = Leave(Transfer(destination))
        return self._secretary.spoken_closed

    def handle(self, event: Event, now: float) -> Actions:
        """Decide on ``event``; what does not concern the conversation is ignored."""
        decide = _TABLE.get(type(event))
        if decide is None:
            return []
        return [*decide(self, event, now), *self._settle(now)]

    # --- the model's replies ----------------------------------------------------------------------

    def _settle(self, now: float) -> Actions:
        """After everything: leave, ask for the next reply, or start to wait for the caller."""
        if self._desk.reply_due:
            self._desk.reply_due = False
            if not self._leave:
                self._want(Want.ANSWER)
        actions = self._go() or self._next()
        if not self.at_rest or not self._ready or not self._secretary.limits.idle_s:
            self._due.pop("idle", None)
        else:
            self._due.setdefault("idle", now + self._secretary.limits.idle_s)
        return actions

    def _go(self) -> Actions:
        """Leave, if that is wanted and all is said."""
        if self._leave is None or not self._all_said:
            return []
        way = self._leave.way
        self._due.clear()
        return [way]

    def _want(self, want: Want, words: str = "") -> None:
        # A model that takes turns itself only needs to be told what it cannot know.
        if self._own_turns or words:
            self._replies.want(want, words)

    def _next(self) -> Actions:
        return self._replies.next(self._may) if self._ready else []

    def _may(self, want: Want) -> bool:
        """Whether the model may speak now."""
        if want is Want.LAST_WORDS:
            return True
        if self._speaking or self._paused or self._desk.hold or self._desk.collection:
            return False
        return want < Want.NOTICE or not self._items

    def _response_started(self, event: ResponseStarted, now: float) -> Actions:
        self._fooled = False
        return self._replies.started(event.id)

    def _response_done(self, event: ResponseDone, now: float) -> Actions:
        self._replies.done()
        if event.status == "failed":
            return self._failed(event)
        if event.status != "completed":
            return []  # its function calls are not meant any more
        self._failures = 0
        actions: Actions = []
        for call in event.calls:
            actions += self._call(call, now)
        return actions

    def _failed(self, event: ResponseDone) -> Actions:
        self._failures += 1
        note = Note("the model failed to reply", event.reason)
        if self._leave is None and self._failures < REPLY_TRIES:
            self._want(Want.ANSWER)
        elif self._leave is None:
            self._leave_by(Hangup("NORMAL_TEMPORARY_FAILURE"), "", 0.0)
        return [note]

    # --- its function calls -----------------------------------------------------------------------

    def _call(self, call: ToolCall, now: float) -> Actions:
        if self._leave is not None:
            return []
        request = self._desk.request(call)
        if isinstance(request, list):
            return request
        if isinstance(request, tools.EndCall):
            farewell = "" if self._replies.spoke else _say(self._secretary.spoken_farewell)
            self._leave_by(Hangup(CLEARING), farewell, now)
            return [ToolResult(call, DONE)]
        if isinstance(request, tools.TransferCall):
            name = request.destination.name
            announcement = (
                "" if self._replies.spoke else f"Say that you now connect the caller to {name}."
            )
            self._leave_by(Transfer(request.destination), announcement, now, call)
            return []
        if (
            isinstance(request, tools.CallWebhook)
            and request.tool.wait_say
            and not self._replies.spoke
        ):
            self._want(Want.NOTICE, _say(request.tool.wait_say))
        return self._desk.take(call, request, now)

    def _leave_by(
        self, way: Hangup | Transfer, words: str, now: float, call: ToolCall | None = None
    ) -> None:
        self._leave = Leave(way, call)
        self._replies.drop()
        if words:
            self._replies.want(Want.LAST_WORDS, words)
        self._due = {"leave": now + LAST_WORDS_S}

    def _tool_done(self, event: ToolDone, now: float) -> Actions:
        return self._desk.webhook_done(event.call_id, event.output)

    def _transfer_failed(self, event: TransferFailed, now: float) -> Actions:
        left, self._leave = self._leave, None
        if left is None or left.call is None:
            self._leave_by(Hangup(CLEARING), _say(self._secretary.spoken_farewell), now)
            return []
        self._want(Want.ANSWER)
        return [ToolResult(left.call, failure(f"the transfer failed: {event.reason}"))]

    # --- the caller -------------------------------------------------------------------------------

    def _speech_started(self, event: SpeechStarted, now: float) -> Actions:
        if self._leave is not None:
            return []  # thanks and goodbyes do not interrupt a farewell
        if not self._own_turns:
            return []  # the model hears the caller, and falls silent by itself
        heard = self._items or self._replies.in_flight
        if not heard or not self._interruptible():
            self._speaking = True
            return []
        self._checking = True
        if self._fooled:
            return [CheckSpeech()]
        self._paused = True
        return [Pause(), CheckSpeech()]

    def _interruptible(self) -> bool:
        return self._greeting_heard or self._secretary.barge_in.during_greeting

    def _speech_confirmed(self, event: SpeechConfirmed, now: float) -> Actions:
        if not self._checking or self._leave is not None:
            return []
        self._speaking = True
        return self._interrupt()

    def _interrupt(self) -> Actions:
        """Be silent, and have the model know it."""
        self._paused = False
        self._items.clear()
        self._greeting_heard = True
        self._replies.drop(Want.ANSWER, Want.NOTICE, Want.PROMPT)
        return [Interrupt(), *self._replies.cancel()]

    def _speech_doubted(self, event: SpeechDoubted, now: float) -> Actions:
        if self._speaking or not self._paused:
            return []
        self._paused = False
        self._fooled = True
        return [Resume()]

    def _speech_stopped(self, event: SpeechStopped, now: float) -> Actions:
        stop: Actions = [StopCheck()] if self._checking else []
        self._checking = False
        if self._speaking:
            self._speaking = False
            return [*stop, *self._turn(now)]
        if not stop:
            return []
        resume: Actions = [Resume()] if self._paused else []
        self._fooled, self._paused = True, False
        return [*stop, *resume, *([Forget(event.item)] if event.item else [])]

    def _turn(self, now: float) -> Actions:
        """The caller has said something, and it is for us to answer."""
        if self._leave is not None:
            return []
        self._turns += 1
        self._prompts = 0
        self._desk.new_turn()
        most = self._secretary.limits.max_turns
        if 0 < most < self._turns:
            self._leave_by(Hangup(CLEARING), _say(self._secretary.spoken_farewell), now)
            return []
        self._want(Want.ANSWER)
        return []

    def _dtmf(self, event: Dtmf, now: float) -> Actions:
        if self._leave is not None:
            return []
        if self._desk.collection or self._desk.hold:
            return self._desk.key(event.digit, now)
        self._keys += event.digit
        self._due["keys"] = now + KEYS_S
        return self._interrupt() if self._items or self._replies.in_flight else []

    # --- what is heard, and time ------------------------------------------------------------------

    def _item_queued(self, event: ItemQueued, now: float) -> Actions:
        self._items.add(event.item)
        self._replies.spoke = True
        return self._desk.end_hold("the model spoke")

    def _item_finished(self, event: ItemFinished, now: float) -> Actions:
        self._items.discard(event.item)
        self._greeting_heard = self._greeting_heard or not self._items
        return []

    def _time_up(self, event: TimeUp, now: float) -> Actions:
        actions = self._desk.time(now)
        for name, due in list(self._due.items()):
            if now >= due and name in self._due:
                del self._due[name]
                actions += _TIMES[name](self, now)
        return actions

    def _keys_typed(self, now: float) -> Actions:
        keys, self._keys = self._keys, ""
        self._want(Want.ANSWER)
        return [Tell(f"(The caller pressed {keys} on the telephone's keypad.)")]

    def _idle(self, now: float) -> Actions:
        if self._prompts < self._secretary.limits.idle_prompts:
            self._prompts += 1
            self._want(Want.PROMPT, "Ask in a few words whether the caller is still there.")
        else:
            self._leave_by(Hangup(CLEARING), _say(self._secretary.spoken_farewell), now)
        return []

    def _warning(self, now: float) -> Actions:
        seconds = self._secretary.limits.warn_s
        words = f"Tell the caller kindly that this call has to end in {seconds:g} seconds."
        if self._leave is None:
            self._want(Want.NOTICE, words)
        return []

    def _limit(self, now: float) -> Actions:
        actions = self._interrupt()
        self._leave_by(Hangup(CLEARING), _say(self._secretary.spoken_farewell), now)
        return actions

    def _leave_now(self, now: float) -> Actions:
        self._items.clear()
        self._replies.drop()
        self._replies.done()
        return []

    # --- the model's connection -------------------------------------------------------------------

    def model_lost(self) -> Actions:
        """The connection is gone; the reply in flight will not come, what came of it is heard."""
        self._replies.lost()
        self._ready = self._speaking = self._checking = False
        if self._leave is not None:
            self._replies.drop()
        resume: Actions = [Resume()] if self._paused else []
        self._paused = False
        return [*resume, *self._go()]

    def model_back(self, now: float) -> Actions:
        """A new connection knows what was said so far."""
        self._ready = True
        return self._settle(now)


def _say(words: str) -> str:
    return f"Say exactly this to the caller, and nothing else: {words}"


_TIMES: dict[str, Callable[[Conversation, float], Actions]] = {
    "keys": Conversation._keys_typed,
    "idle": Conversation._idle,
    "warning": Conversation._warning,
    "limit": Conversation._limit,
    "leave": Conversation._leave_now,
}
_TABLE: dict[type[Event], Callable[[Conversation, Any, float], Actions]] = {
    ResponseStarted: Conversation._response_started,
    ResponseDone: Conversation._response_done,
    ToolDone: Conversation._tool_done,
    TransferFailed: Conversation._transfer_failed,
    SpeechStarted: Conversation._speech_started,
    SpeechConfirmed: Conversation._speech_confirmed,
    SpeechDoubted: Conversation._speech_doubted,
    SpeechStopped: Conversation._speech_stopped,
    Dtmf: Conversation._dtmf,
    ItemQueued: Conversation._item_queued,
    ItemFinished: Conversation._item_finished,
    TimeUp: Conversation._time_up,
}

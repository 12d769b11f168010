"""What is said in a call: turns, replies, function calls, limits, the end. [core]

Part of ``machine.py``, which hands over what happens while a call is TALKING or TRANSFERRING.

The life of a turn: ``SpeechStarted`` gives the caller the floor (``turn_taking.py``; a sound while
the agent speaks has to be confirmed first). ``SpeechStopped`` counts the turn (``timers.py``) and
schedules an ANSWER (``replies.py``). Like every decision this ends in ``_next``, which requests the
most urgent reply once it may be spoken. ``ResponseStarted`` gives the response its id,
``ItemQueued`` says that its first audio is in the playout. ``ResponseDone`` brings the function
calls (``tool_dispatch.py``): ``tool_calls.py`` runs them, and each result wants another reply.
``ItemStarted`` and ``ItemFinished`` say what the caller has heard. When nothing is left to be said,
the conversation is idle until the caller speaks, or until a timer runs out (``time_limits.py``).

The end works the same way (``ending.py``): once it is decided, the last words are a reply like any
other, and ``_next`` leaves when they were heard. While the caller's phone holds us, everything
waits (``caller_hold.py``).
"""

from __future__ import annotations

from dataclasses import replace

from esl_controller.call import events as ev
from esl_controller.call import instructions
from esl_controller.call.actions import Actions, Note, ToolResult
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import (
    ReplyRefused,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
)
from esl_controller.call.caller_hold import CallerHold
from esl_controller.call.conversation_state import ConversationState
from esl_controller.call.ending import Ending
from esl_controller.call.hops import NO_HOPS, Hops
from esl_controller.call.replies import ReplyKind, Waiting
from esl_controller.call.snapshot import Resumption, Snapshot
from esl_controller.call.time_limits import TimeLimits
from esl_controller.call.timers import Timers
from esl_controller.call.tool_calls import ToolExecutor
from esl_controller.call.tool_dispatch import ToolDispatcher
from esl_controller.call.tools import Toolbox
from esl_controller.call.transitions import Transitions
from esl_controller.call.turn_taking import TurnTaking
from esl_controller.secretaries.schema import Destination
from esl_controller.secretaries.secretary import Secretary


class Conversation:
    """The decisions of one conversation. ``closed``: it takes place outside the opening hours."""

    def __init__(
        self,
        secretary: Secretary,
        toolbox: Toolbox,
        *,
        closed: bool,
        hops: Hops = NO_HOPS,
    ) -> None:
        self._secretary = secretary
        self._closed = closed
        self.model_spoke = False  # since it was connected
        self._model_ready = False
        self._turns = TurnTaking(during_greeting=secretary.barge_in.during_greeting)
        self._tools = ToolExecutor(toolbox)
        self._timers = Timers(secretary.limits)
        self._ending = Ending(secretary, self._turns, self._tools, self._timers, hops)
        self._state = ConversationState(self._turns, self._tools, self._timers, self._ending)
        self._dispatcher = ToolDispatcher(self._state)
        self._limits = TimeLimits(secretary.limits, self._state)
        self._caller_hold = CallerHold(self._state)

    def describe(self) -> str:
        """Where the conversation is, in words for ``Call.describe``."""
        return self._state.describe()

    @property
    def idle(self) -> bool:
        """Whether nobody speaks and nothing is waited for."""
        return self._state.idle

    @property
    def leaving(self) -> bool:
        """Whether the end is decided."""
        return self._ending.decided

    @property
    def model_needs(self) -> Recovery:
        """What is to be done about a model that fails to reply: ASK_AGAIN is done already."""
        return self._turns.failures.needs

    @property
    def waiting(self) -> Waiting:
        """What the caller waits for."""
        return self._state.waiting

    @property
    def agent_audible(self) -> bool:
        """Whether the caller hears the model, or will in a moment."""
        return self._turns.agent_audible

    @property
    def music_playing(self) -> bool:
        """Whether the caller hears hold music."""
        return self._tools.music_playing

    @property
    def held(self) -> bool:
        """Whether the caller's phone has put us on hold."""
        return self._caller_hold.active

    @property
    def limit_at(self) -> float:
        """When the conversation has to end."""
        return self._timers.limit_at

    @property
    def secret_digits(self) -> bool:
        """Whether the caller is typing digits that neither the model nor a log may get."""
        collection = self._tools.collection
        return collection is not None and collection.wanted.secure

    def next_deadline(self) -> float | None:
        """When ``TimeUp`` is due."""
        if self.held:
            return self._caller_hold.deadline
        times = (
            self._timers.deadline(),
            self._tools.deadline(model_ready=self._model_ready),
            self._turns.asked_again_at if self._model_ready else None,
        )
        return min((time for time in times if time is not None), default=None)

    def begin(self, now: float) -> Actions:
        """The model is ready and the caller can be spoken to."""
        self._model_ready = True
        self._timers.begin(now)
        words, kind = self._secretary.spoken_greeting, ReplyKind.GREETING
        if self._closed:
            words = self._secretary.spoken_closed
            if self._ending.decide_closed(now):
                kind = ReplyKind.LAST_WORDS
        self._turns.schedule(kind, instructions.greeting(words))
        return self._carry_on([], now)

    def snapshot(self) -> Snapshot:
        """What another process must know to go on from here."""
        return self._state.snapshot()

    def resume(self, resumption: Resumption, now: float) -> Actions:
        """Go on with a conversation that began in another process."""
        if not (resumption.snapshot.greeted or resumption.cut or resumption.history):
            return self.begin(now)
        self._model_ready = True
        return self._carry_on(self._state.restore(resumption, now), now)

    def handle(self, event: ev.Event, now: float) -> Actions | None:
        """Decide on ``event``; None if it does not concern the conversation."""
        decide = TRANSITIONS.find(event)
        if decide is None:
            return None
        actions = [*decide(self, event, now), *self._limits.caller_finished(now)]
        return self._carry_on(actions, now)

    # --- what follows from every decision ---------------------------------------------------------

    def _carry_on(self, actions: Actions, now: float) -> Actions:
        """``actions``, which were decided on, and what follows from them."""
        actions = [*actions, *self._next(now)]
        if not (self.leaving or self._tools.budget.spent):
            return actions
        return [replace(a, last=True) if isinstance(a, ToolResult) else a for a in actions]

    def _next(self, now: float) -> Actions:
        """Leave if all was said, or else request the next reply, or else wait for the caller.

        All was said when no reply is requested or due, and no item of the model is in the playout
        (``TurnTaking.agent_finished``). ``Ending.leave`` does nothing unless the end was decided.
        Where the last words do not come in time, ``TimeLimits`` leaves instead.
        """
        if self._ending.left or self.held:
            return []
        if self._tools.reply_due:
            self._tools.reply_due = False
            if not self.leaving and (words := self._tools.budget.next_words()) is not None:
                self._turns.schedule(ReplyKind.ANSWER, words)
        actions = [] if self._turns.agent_audible else self._tools.start_music()
        if self._turns.agent_finished:
            actions += self._ending.leave()
        if self._model_ready and not self._ending.left:
            actions += self._turns.request_next(self._state.may_request, now)
        idle = self._model_ready and self.idle
        self._timers.set_idle(idle, now)
        self._timers.set_unanswered(idle and self._turns.replies.expected, now)
        silent = not (self._turns.agent_audible or self._ending.left)
        self._timers.set_silent_end(self.leaving and silent, now)
        return actions

    # --- the model's replies and function calls ---------------------------------------------------

    def _response_started(self, event: ResponseStarted, now: float) -> Actions:
        self._turns.interruption.reply_started()
        return self._turns.replies.response_started(event.id)

    def _response_done(self, event: ResponseDone, now: float) -> Actions:
        cancelled = self._turns.response_done(event, now)
        if event.status == "failed":
            return [Note("the model failed to reply", event.reason)]
        if event.status != "completed":
            return []  # its function calls must not be run
        return self._dispatcher.run(event.calls, now, cancelled=cancelled)

    def _reply_refused(self, event: ReplyRefused, now: float) -> Actions:
        self._turns.reply_refused(event, now)
        return [Note("the model did not begin a reply", event.reason)]

    def _webhook_done(self, event: ev.WebhookDone, now: float) -> Actions:
        return self._tools.webhook_done(event.call_id, event.output)

    # --- the end ----------------------------------------------------------------------------------

    def transfer_failed(self, reason: str, now: float) -> Actions:
        """The caller is still with us."""
        return self._carry_on(self._ending.transfer_failed(reason, now), now)

    def apologise(self) -> Actions:
        """The call ends without us, after an apology: say and request nothing any more."""
        return self._ending.apologise()

    def fall_back(self, destination: Destination) -> Actions:
        """The same without an apology: the caller goes to the fallback."""
        return self._ending.fall_back(destination)

    # --- the caller -------------------------------------------------------------------------------

    def _speech_started(self, event: SpeechStarted, now: float) -> Actions:
        self._turns.interruption.tone = False
        # Thanks and goodbyes do not interrupt a farewell.
        return [] if self.leaving else self._turns.sound_started()

    def _speech_confirmed(self, event: ev.SpeechConfirmed, now: float) -> Actions:
        confirmed = self._turns.interruption.speech_confirmed()
        return self._state.interrupt() if confirmed and self._turns.interruptible else []

    def _speech_doubted(self, event: ev.SpeechDoubted, now: float) -> Actions:
        return self._turns.interruption.speech_doubted()

    def _tone_heard(self, event: ev.ToneHeard, now: float) -> Actions:
        if self._turns.interruption.tone_heard(alone=event.alone) and not self.leaving:
            self._timers.tone_heard()
        return []

    def _speech_stopped(self, event: SpeechStopped, now: float) -> Actions:
        caller_spoke = self._turns.interruption.caller_spoke
        actions = self._turns.interruption.sound_stopped(event.item)
        return [*actions, *self._turn(now)] if caller_spoke else actions

    def _turn(self, now: float) -> Actions:
        """The caller has said something, and is to get an answer."""
        self._tools.new_turn()
        if self._timers.count_turn():
            return self._ending.say_goodbye(now)
        self._turns.schedule(ReplyKind.ANSWER)
        return []

    def _dtmf(self, event: ev.Dtmf, now: float) -> Actions:
        if self.leaving or self._tools.is_private(now):
            return []
        self._timers.caller_active()
        self._tools.new_turn()
        interrupts = self._turns.agent_replying and self._turns.interruptible
        actions = self._state.interrupt() if interrupts else []
        return [*actions, *self._tools.key_pressed(event.digit, now)]

    def caller_holds(self, now: float) -> Actions:
        """The caller's phone has put us on hold."""
        return self._caller_hold.begin(now)

    def caller_back(self, now: float) -> Actions:
        """The caller is back."""
        actions = self._caller_hold.end(now)
        return self._carry_on(actions, now) if actions else []

    # --- the playout ------------------------------------------------------------------------------

    def _item_queued(self, event: ev.ItemQueued, now: float) -> Actions:
        self.model_spoke = True
        self._turns.item_queued(event.item)
        return self._tools.end_hold("the model spoke") if self.music_playing else []

    def _item_started(self, event: ev.ItemStarted, now: float) -> Actions:
        self._turns.item_started(event.item)
        return []

    def _item_finished(self, event: ev.ItemFinished, now: float) -> Actions:
        self._turns.item_finished(event.item)
        return []

    def _files_ready(self, event: ev.FilesReady, now: float) -> Actions:
        """Files replace the lane, and what was in its playout is gone: the rest is said again, or
        all of a farewell of which nothing was heard."""
        self._turns.playout_dropped()
        self._tools.playout_dropped()
        if not self._turns.agent_audible:
            return []
        goodbye = self._turns.replies.unheard_last_words
        actions = self._state.interrupt()
        if self.leaving:
            self._turns.schedule(ReplyKind.LAST_WORDS, goodbye or instructions.CONTINUE)
        else:
            self._turns.schedule(ReplyKind.ANSWER, instructions.CONTINUE)
        return actions

    # --- time -------------------------------------------------------------------------------------

    def _time_up(self, event: ev.TimeUp, now: float) -> Actions:
        if self.held:
            return self._caller_hold.time_up(now)
        actions = self._tools.time_up(now, model_ready=self._model_ready)
        return [*actions, *self._limits.time_up(now)]

    # --- the model's connection -------------------------------------------------------------------

    def model_gone(self, now: float, *, for_good: bool = False, another: bool = False) -> Actions:
        """The connection to the model is gone; ``for_good``: no other one will be made;
        ``another``: it will be to another model."""
        actions = self._turns.model_gone(leaving=self.leaving, for_good=for_good)
        if another:
            self._turns.failures.succeeded()  # those of one model are no other's
        self._model_ready = self.model_spoke = False
        return self._carry_on(actions, now)

    def model_connected(self, *, takes_turns: bool) -> None:
        """There is a connection, to a model that takes turns itself or does not."""
        self._turns.model_connected(takes_turns=takes_turns)

    def model_ready(self, now: float, *, turn_lost: bool = False) -> Actions:
        """A new connection is there; the model has been given the history. ``turn_lost``: except
        what the caller said last."""
        self._model_ready = True
        if turn_lost and not self.leaving:
            self._turns.turn_lost()
        return self._carry_on([], now)


TRANSITIONS: Transitions[Conversation] = Transitions()
TRANSITIONS.on(ResponseStarted, Conversation._response_started)
TRANSITIONS.on(ReplyRefused, Conversation._reply_refused)
TRANSITIONS.on(ResponseDone, Conversation._response_done)
TRANSITIONS.on(ev.WebhookDone, Conversation._webhook_done)
TRANSITIONS.on(SpeechStarted, Conversation._speech_started)
TRANSITIONS.on(ev.SpeechConfirmed, Conversation._speech_confirmed)
TRANSITIONS.on(ev.SpeechDoubted, Conversation._speech_doubted)
TRANSITIONS.on(ev.ToneHeard, Conversation._tone_heard)
TRANSITIONS.on(SpeechStopped, Conversation._speech_stopped)
TRANSITIONS.on(ev.Dtmf, Conversation._dtmf)
TRANSITIONS.on(ev.ItemQueued, Conversation._item_queued)
TRANSITIONS.on(ev.ItemStarted, Conversation._item_started)
TRANSITIONS.on(ev.ItemFinished, Conversation._item_finished)
TRANSITIONS.on(ev.FilesReady, Conversation._files_ready)
TRANSITIONS.on(ev.TimeUp, Conversation._time_up)

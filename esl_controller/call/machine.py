"""The states of a call, and every decision about it. [core]

``Call.handle(event, now)`` returns the actions to perform, ``Call.next_deadline()`` says when to
report ``TimeUp``; times are seconds of any monotonic clock. No socket, task or clock is known here.

    ARRIVED --> ANSWERING --> PREPARING --> TALKING ------------> HANGING_UP --> ENDED
                                  |          |   ^                    ^           ^
                                  |          v   |                    |           |
                                  +--> TRANSFERRING --------------------------- (gone)
                                  |          |                        |
                                  +----------+------> CLOSING --------+   (an apology)

What is said while TALKING is decided by ``conversation.py``; it comes back with the way out, a
Hangup or a Transfer, and if a transfer fails it goes on. CLOSING and TRANSFERRING are also where a
call goes that has lost its model for good. How we hear and are heard is decided by ``ways.py``,
when the model is called again by ``model_line.py``. From every state a hangup or a lost connection
leads to ENDED. ENDED is final: nothing is done after it. Which event means what in which state is
said by one table, ``_TABLE``, at the end; an event that is not in it for the present state is late
or early, and ignored.
"""

from __future__ import annotations

from dataclasses import replace
from enum import Enum
from typing import Literal

from esl_controller.call.actions import (
    Actions,
    Answer,
    Close,
    ConfirmTaken,
    Hangup,
    LimitCall,
    Note,
    PlaySentence,
    SetGates,
    StartRecording,
    Transfer,
)
from esl_controller.call.conversation import Conversation
from esl_controller.call.events import (
    AgentFailed,
    AgentReady,
    Answered,
    AnswerFailed,
    Arrived,
    Event,
    FilesFailed,
    FilesReady,
    HungUp,
    ItemFinished,
    LaneFailed,
    LaneOpened,
    MediaEvent,
    ShutDown,
    StreamClosed,
    StreamFailed,
    StreamOpened,
    SwitchLost,
    TimeUp,
    TransferFailed,
    Transferred,
)
from esl_controller.call.media_path import MediaPath
from esl_controller.call.model_link import ModelLink
from esl_controller.call.snapshot import Resumption
from esl_controller.call.transitions import Transitions
from esl_controller.secretaries.schema import Destination

ANSWER_S = 10.0  # FreeSWITCH answers within 40 ms; an early-media trunk may take seconds
PREPARE_S = 5.0  # on top of what the model may take; stream and lane have limits of their own
SORRY_S = 10.0  # the hard cap on an apology
HANGUP_S = 5.0
TRANSFER_S = 5.0  # until the switch has taken the caller, not until somebody answers
EXCUSE_S = 1.0  # who has waited for longer, while the call changed hands, is told so
BACKSTOP_S = 60.0  # after max_call_s, FreeSWITCH ends the call whatever became of us

TRANSFERRED = "transferred"
INTERRUPTED = "interrupted"
FAILURE = "NORMAL_TEMPORARY_FAILURE"


class State(Enum):
    """Where the call is; see the picture above."""

    ARRIVED = "arrived"
    ANSWERING = "answering"
    PREPARING = "preparing"
    TALKING = "talking"
    TRANSFERRING = "transferring"
    CLOSING = "closing"
    HANGING_UP = "hanging up"
    ENDED = "ended"


class Call:
    """One call's decisions.

    ``talk``: those about the conversation; ``max_s``: seconds that it may last; ``fallback``: where
    the caller goes if the model cannot be had; ``record``: whether the call is to be recorded;
    ``playback``: how replies are to reach the caller; ``model_s``: seconds that each connection to
    the model may take;

    ``past``, to be set before anything happens: what the call remembers of another process.
    """

    def __init__(
        self,
        conversation: Conversation,
        *,
        max_s: float = 3600.0,
        fallback: Destination | None = None,
        record: bool = False,
        playback: Literal["lane", "file"] = "lane",
        model_s: float = 10.0,
    ) -> None:
        self.state = State.ARRIVED
        self.conversation = conversation
        self.cause = ""  # why it has ended
        self.ended_in = ""  # where it was then
        self.ignored = 0  # events that were late or early
        self._max_s = max_s
        self._fallback = fallback
        self.resumption: Resumption | None = None
        self._record = record
        self._let_go = False  # the call may live on without us
        self._media_path = MediaPath(playback)
        self._prepare_s = model_s + PREPARE_S
        self._model_link = ModelLink()
        self._deadline: float | None = None
        self._gates = SetGates()

    @property
    def hearing(self) -> Literal["no", "stream", "lane"]:
        """Where the caller's audio comes from."""
        return self._media_path.hearing

    @property
    def speaking_by(self) -> Literal["no", "lane", "file"]:
        """How the caller hears us."""
        return self._media_path.speaking_by

    def describe(self) -> str:
        """Where the call is, in one line: for logs, ``/calls`` and tests that fail. For example:
        ``talking; hears: stream; speaks: lane; model: ready; floor: caller; waits: find_order``."""
        parts = [
            self.state.value,
            f"hears: {self.hearing}",
            f"speaks: {self.speaking_by}",
            f"model: {self._model_link.state}",
        ]
        if self.state in (State.TALKING, State.TRANSFERRING):
            parts.append(self.conversation.describe())
        return "; ".join(parts)

    def __repr__(self) -> str:
        return f"<Call {self.describe()}>"

    def handle(self, event: Event, now: float) -> Actions:
        """Decide on ``event``, which happened at ``now``; actions are in order."""
        decide = _TABLE.find(event, self.state)
        actions = decide(self, event, now) if decide else []
        taken = decide is not None
        if self.state in (State.TALKING, State.TRANSFERRING):
            further = self.conversation.handle(event, now)
            actions += self._follow(further or [], now)
            taken = taken or further is not None
        if self.state is State.TALKING and self.conversation.helpless and not self._model_link.lost:
            self._model_link.give_up()
            actions += self._model_lost(now)
        self.ignored += not taken
        return [*self._set_gates(), *actions]

    def _set_gates(self) -> Actions:
        """Let audio pass, or stop it, where that has changed."""
        talking = self.state is State.TALKING
        gates = SetGates(self.conversation.caller_gate if talking else "closed", agent=talking)
        if gates == self._gates:
            return []
        self._gates = gates
        return [gates]

    @property
    def outcome(self) -> str:
        """What became of the call, for its record."""
        if self.cause == TRANSFERRED:
            return "transferred"
        if self._let_go:
            return INTERRUPTED  # somebody else may even have a model
        if self._model_link.lost:
            return "model lost"
        return "completed" if self.state is State.ENDED else INTERRUPTED

    def next_deadline(self) -> float | None:
        """When ``TimeUp`` is due; None: never, so far."""
        talking = self.state is State.TALKING
        times = [
            self._deadline,
            self._media_path.deadline() if self.state in _UP else None,
            self._model_deadline(),
            self.conversation.next_deadline() if talking else None,
        ]
        return min((time for time in times if time is not None), default=None)

    def _model_deadline(self) -> float | None:
        if self.state not in _WITH_MODEL:
            return None
        at_rest = self.state is State.TALKING and self.conversation.at_rest
        return self._model_link.deadline(at_rest=at_rest, silent=self._silent)

    @property
    def _silent(self) -> bool:
        """Whether the caller hears nothing, and could."""
        heard = self.conversation.heard or self.conversation.held
        return self.state in _UP and self.speaking_by != "no" and not heard

    def _follow(self, actions: Actions, now: float) -> Actions:
        """Go where the conversation has decided to go."""
        for action in actions:
            if isinstance(action, Hangup):
                self._enter(State.HANGING_UP, now + HANGUP_S)
            elif isinstance(action, Transfer):
                self._enter(State.TRANSFERRING, now + TRANSFER_S)
        return actions

    # --- the way to the conversation --------------------------------------------------------------

    def _arrived(self, event: Arrived, now: float) -> Actions:
        if event.answered:
            # We had the call before, and so had the module: it must stop before it can start.
            return self._prepare(now, again=True)
        self._enter(State.ANSWERING, now + ANSWER_S)
        # The model's audio depends on the caller's codec.
        return [*self._connect(), Answer()] if event.codec_known else [Answer()]

    def _connect(self) -> Actions:
        return [] if self._model_link.state != "none" else self._model_link.dial()

    def _answered(self, event: Answered, now: float) -> Actions:
        return self._prepare(now, again=False)

    def _prepare(self, now: float, again: bool) -> Actions:
        self._enter(State.PREPARING, now + self._prepare_s)
        recorded = self.resumption is not None and self.resumption.recorded
        record = [StartRecording()] if self._record and not recorded else []
        actions = [*self._connect(), *self._media_path.open(again=again), *record]
        self._model_link.awaited(now)
        return actions

    def _answer_failed(self, event: AnswerFailed, now: float) -> Actions:
        return [Note("the switch did not answer the call", event.reason), *self._hang_up(now)]

    def _media_news(self, event: MediaEvent, now: float) -> Actions:
        """News of how we hear or are heard."""
        actions = self._media_path.handle(event, now)
        if self.state is State.TRANSFERRING:
            return actions
        if self._media_path.mute:
            return [*actions, *self._hang_up(now)]
        if self._media_path.deaf:
            return [*actions, *self._apologise(now)]
        return [*actions, *self._begin(now)]

    def _begin(self, now: float) -> Actions:
        """Start to talk once there is somebody to talk to and a way to be heard."""
        if self.speaking_by == "no":
            return []
        if self._model_link.lost:
            return [] if self.conversation.leaving else self._without_model(now)
        if self.state is not State.PREPARING:
            return []
        excuse = self._excuse()
        if self._model_link.state != "ready":
            return excuse
        self._enter(State.TALKING)
        limit = [LimitCall(self._max_s + BACKSTOP_S)]
        if self.resumption is None:
            return [ConfirmTaken(), *limit, *self._follow(self.conversation.begin(now), now)]
        again = limit if self.resumption.snapshot.back_from else []
        return [
            ConfirmTaken(),
            *again,
            *excuse,
            *self._follow(self.conversation.resume(self.resumption, now), now),
        ]

    def _excuse(self) -> Actions:
        """Who has waited for long hears at once, and once, that we are back; the model may take
        its time."""
        if self.resumption is None or self.resumption.away_s <= EXCUSE_S:
            return []
        self.resumption = replace(self.resumption, away_s=0.0)
        return [PlaySentence("back")]

    # --- the model --------------------------------------------------------------------------------

    def _agent_ready(self, event: AgentReady, now: float) -> Actions:
        self._model_link.ready(now)
        if self.state in (State.TALKING, State.TRANSFERRING):
            return self._follow(self.conversation.model_back(now), now)
        return self._begin(now)

    def _agent_failed(self, event: AgentFailed, now: float) -> Actions:
        if self._model_link.lost:
            return []
        return [*self._model_link.failed(event, now), *self._model_lost(now)]

    def _model_lost(self, now: float) -> Actions:
        actions: Actions = []
        if self.state in (State.TALKING, State.TRANSFERRING):
            self._model_link.awaited(now)
            lost = self.conversation.model_lost(now, for_good=self._model_link.lost)
            actions += self._follow(lost, now)
        if self._model_link.lost and not self.conversation.leaving:
            actions += self._without_model(now)
        return actions

    def _model_time(self, now: float) -> Actions:
        if self._model_link.redial_due(now):
            return self._model_link.dial()
        if self._silent and self._model_link.excuse_due(now):
            return [PlaySentence("moment")]
        if (
            self.state is State.TALKING
            and self._model_link.too_old(now)
            and self.conversation.at_rest
        ):
            # A new session before the API ends the old one, while nobody speaks.
            return [*self.conversation.model_lost(now), *self._model_link.dial()]
        return []

    def _without_model(self, now: float) -> Actions:
        """To the fallback, or an apology and the end."""
        if self.speaking_by == "no":
            return []  # as soon as there is a way to be heard
        if self._fallback is None:
            return self._apologise(now)
        self._enter(State.TRANSFERRING, now + TRANSFER_S)
        return [*self.conversation.abandon(), Transfer(self._fallback)]

    def _transferred(self, event: Transferred, now: float) -> Actions:
        return self._end(TRANSFERRED)

    def _transfer_failed(self, event: TransferFailed, now: float) -> Actions:
        note = Note("the caller could not be transferred", event.reason)
        if self._model_link.lost or self.conversation.helpless:
            return [note, *self._apologise(now)]
        self._enter(State.TALKING)
        return [note, *self._follow(self.conversation.transfer_failed(event.reason, now), now)]

    # --- the way out ------------------------------------------------------------------------------

    def _apologise(self, now: float) -> Actions:
        if self.state is State.CLOSING:
            return []
        self._enter(State.CLOSING, now + SORRY_S)
        return [*self.conversation.abandon(), PlaySentence("sorry")]

    def _cannot_apologise(self, event: LaneFailed | FilesFailed, now: float) -> Actions:
        return self._hang_up(now)

    def _item_finished(self, event: ItemFinished, now: float) -> Actions:
        return self._hang_up(now) if event.item == "sorry" else []

    def _time_up(self, event: TimeUp, now: float) -> Actions:
        if self.state in _UP and (actions := self._media_path.time(now)):
            return actions
        if self.state in _WITH_MODEL and (actions := self._model_time(now)):
            return actions
        if self._deadline is None or now < self._deadline:
            return []
        if self.state is State.TRANSFERRING:
            return self._transfer_failed(TransferFailed("no reply from the switch"), now)
        if self.state is State.HANGING_UP:
            return self._end("the switch did not confirm the hangup")
        if self.state is State.CLOSING:
            return self._hang_up(now)
        note = Note("the call is ended", f"waited in vain for {self._missing()}")
        if self.state is State.PREPARING and self.speaking_by != "no":
            self._model_link.give_up()
            return [note, *self._without_model(now)]
        return [note, *self._hang_up(now)]

    def _missing(self) -> str:
        if self.state is State.ANSWERING:
            return "the switch to answer"
        return "the model" if self.speaking_by != "no" else "a way to speak to the caller"

    def _shut_down(self, event: ShutDown, now: float) -> Actions:
        self._let_go = True
        return self._end("handed back to the switch")

    def _hang_up(self, now: float) -> Actions:
        self._enter(State.HANGING_UP, now + HANGUP_S)
        return [Hangup(FAILURE)]

    def _hung_up(self, event: HungUp, now: float) -> Actions:
        return self._end(event.cause)

    def _switch_lost(self, event: SwitchLost, now: float) -> Actions:
        self._let_go = True
        return self._end(event.reason)

    def _end(self, cause: str) -> Actions:
        self.cause, self.ended_in = cause, self.describe()
        self._enter(State.ENDED)
        return [Close()]

    def _enter(self, state: State, deadline: float | None = None) -> None:
        self.state = state
        self._deadline = deadline


_S = State
_UP = (_S.PREPARING, _S.TALKING)
_REACHED = (*_UP, _S.TRANSFERRING)
_ALIVE = (_S.ARRIVED, _S.ANSWERING, *_UP, _S.TRANSFERRING, _S.CLOSING, _S.HANGING_UP)
_WAITING = (_S.ANSWERING, *_UP)
_WITH_MODEL = (*_WAITING, _S.TRANSFERRING)

_TABLE: Transitions[Call] = Transitions()
_TABLE.on(Arrived, Call._arrived, _S.ARRIVED)
_TABLE.on(Answered, Call._answered, _S.ANSWERING)
_TABLE.on(AnswerFailed, Call._answer_failed, _S.ANSWERING)
_TABLE.on(StreamOpened, Call._media_news, *_REACHED)
_TABLE.on(StreamClosed, Call._media_news, *_REACHED)
_TABLE.on(StreamFailed, Call._media_news, *_UP)
_TABLE.on(LaneOpened, Call._media_news, *_UP)
_TABLE.on(LaneFailed, Call._media_news, *_REACHED)
_TABLE.on(FilesReady, Call._media_news, *_REACHED)
_TABLE.on(FilesFailed, Call._media_news, *_UP)
_TABLE.on(LaneFailed, Call._cannot_apologise, _S.CLOSING)
_TABLE.on(FilesFailed, Call._cannot_apologise, _S.CLOSING)
_TABLE.on(AgentReady, Call._agent_ready, *_WITH_MODEL)
_TABLE.on(AgentFailed, Call._agent_failed, *_WITH_MODEL)
_TABLE.on(Transferred, Call._transferred, _S.TRANSFERRING)
_TABLE.on(TransferFailed, Call._transfer_failed, _S.TRANSFERRING)
_TABLE.on(ItemFinished, Call._item_finished, _S.CLOSING)
_TABLE.on(TimeUp, Call._time_up, *_WITH_MODEL, _S.CLOSING, _S.HANGING_UP)
_TABLE.on(ShutDown, Call._shut_down, *_ALIVE)
_TABLE.on(HungUp, Call._hung_up, *_ALIVE)
_TABLE.on(SwitchLost, Call._switch_lost, *_ALIVE)

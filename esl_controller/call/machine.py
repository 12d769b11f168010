"""The states of a call, and every decision about it. [core]

``Call.handle(event, now)`` returns the actions to perform, and ``Call.next_deadline()`` says when
to report ``TimeUp``; times are seconds of any monotonic clock.

    ARRIVED --> ANSWERING --> PREPARING --> TALKING ------------> HANGING_UP --> ENDED
                                  |          |   ^                    ^           ^
                                  |          v   |                    |           |
                                  +--> TRANSFERRING --------------------------- (gone)
                                  |          |                        |
                                  +----------+------> CLOSING --------+   (an apology)

While PREPARING, three things are opened side by side: the stream, the lane and the connection to
the model. What is said while TALKING is decided by ``conversation.py``, and so is how that ends: it
returns a ``Hangup`` or a ``Transfer`` when the last words were heard (``ending.py``), and the call
changes its state. If a transfer fails, the conversation goes on. A call whose model is given up
goes to the fallback, by a transfer, or through CLOSING, where the caller hears an apology. A hangup
or a lost Event Socket connection leads from every state to ENDED, and nothing is done after that.

Parts: ``states.py`` says how long each state may last; ``media_path.py`` decides how we hear and
are heard, ``model_recovery.py`` what is done about a model that errs. ``call_setup.py`` is the call
before its conversation, also when it goes on with what another process began.

Which event means what in which state stands in one table, ``TRANSITIONS``, at the end. An event
without a row for the present state came too late or too early: it is counted and ignored.
"""

from __future__ import annotations

from typing import Literal

from esl_controller.call import events as ev
from esl_controller.call.actions import (
    Actions,
    Answer,
    Close,
    Hangup,
    LimitCall,
    Note,
    PlaySentence,
    Transfer,
)
from esl_controller.call.agent_events import AgentFailed, AgentReady
from esl_controller.call.call_setup import BACKSTOP_S, CallSetup
from esl_controller.call.caller_hold import HELD_S
from esl_controller.call.conversation import Conversation
from esl_controller.call.gates import Gates
from esl_controller.call.hops import NO_HOPS, Hops
from esl_controller.call.media_path import MediaPath
from esl_controller.call.model_recovery import ModelRecovery
from esl_controller.call.outcome import TRANSFERRED, Outcome
from esl_controller.call.states import (
    ALIVE,
    IN_CONVERSATION,
    WITH_CALLER,
    WITH_MEDIA,
    WITH_MODEL,
    Stage,
    State,
)
from esl_controller.call.transitions import Transitions
from esl_controller.secretaries.schema import Destination

FAILURE = "NORMAL_TEMPORARY_FAILURE"


class Call:
    """One call's decisions.

    ``max_call_s``: the seconds that it may last; ``fallback``: where the caller goes if no model
    can be had; ``record``: whether the switch is to record it; ``playback``: how the caller is to
    hear us; ``model_timeout_s``: the seconds that a connection to the model may take; ``hops``: how
    often the caller was transferred before; ``models``: how many there are to choose from.

    ``cause``: why the call ended; ``ended_in``: where it was then. ``ignored``: how many events
    came too late or too early.
    """

    def __init__(
        self,
        conversation: Conversation,
        *,
        max_call_s: float = 3600.0,
        fallback: Destination | None = None,
        record: bool = False,
        playback: Literal["lane", "file"] = "lane",
        model_timeout_s: float = 10.0,
        hops: Hops = NO_HOPS,
        models: int = 1,
    ) -> None:
        self.conversation = conversation
        self.setup = CallSetup(max_call_s=max_call_s, record=record)
        self.cause = ""
        self.ended_in = ""
        self.ignored = 0
        self._model_timeout_s = model_timeout_s
        self._stage = Stage()
        self._outcome = Outcome()
        self._media_path = MediaPath(playback)
        self._model = ModelRecovery(
            self._stage, conversation, self._media_path, fallback, hops, models
        )
        self._gates = Gates()

    @property
    def state(self) -> State:
        """Where the call is."""
        return self._stage.state

    @property
    def hearing(self) -> Literal["no", "stream", "lane"]:
        """How we hear the caller."""
        return self._media_path.hearing

    @property
    def speaking_by(self) -> Literal["no", "lane", "file"]:
        """How the caller hears us."""
        return self._media_path.speaking_by

    @property
    def awaited_park(self) -> int:
        """The number of the park in which the switch is to hand us the call next; 0: of none."""
        return self._media_path.awaited_park if self.state in WITH_MEDIA else 0

    @property
    def outcome(self) -> str:
        """What became of the call, for its record."""
        lost, ended = self._model.link.given_up, self.state is State.ENDED
        return self._outcome.word(self.cause, ended=ended, model_lost=lost)

    def describe(self) -> str:
        """Where the call is, in one line: for logs, ``/calls`` and tests that fail. For example:
        ``talking; hears: stream; speaks: lane; model: ready; floor: caller; waits: find_order``."""
        parts = [
            self.state.value,
            f"hears: {self.hearing}",
            f"speaks: {self.speaking_by}",
            f"model: {self._model.link.state}",
        ]
        if self.state in IN_CONVERSATION:
            parts.append(self.conversation.describe())
        return "; ".join(parts)

    def __repr__(self) -> str:
        return f"<Call {self.describe()}>"

    def handle(self, event: ev.Event, now: float) -> Actions:
        """Decide on ``event``, which happened at ``now``. The actions are in order."""
        decide = TRANSITIONS.find(event, self.state)
        actions = self._follow(decide(self, event, now), now) if decide else []
        decided = decide is not None
        if self.state in IN_CONVERSATION:
            further = self.conversation.handle(event, now)
            actions += self._follow(further or [], now)
            decided = decided or further is not None
        if self.state is State.TALKING:
            actions += self._follow(self._model.help(now), now)
        self._model.follow(now)
        self.ignored += not decided
        gates = self._gates.set(
            talking=self.state is State.TALKING,
            music=self.conversation.music_playing,
            secret=self.conversation.secret_digits,
            held=self.conversation.held,
        )
        return [*gates, *actions]

    def next_deadline(self) -> float | None:
        """When ``TimeUp`` is due; None: never, as things are."""
        times = [
            self._stage.deadline,
            self._media_path.deadline() if self.state in WITH_MEDIA else None,
            self._model.deadline(),
            self.conversation.next_deadline() if self.state is State.TALKING else None,
        ]
        return min((time for time in times if time is not None), default=None)

    def _follow(self, actions: Actions, now: float) -> Actions:
        """Enter the state that ``actions`` lead to, if any; returns them."""
        for action in actions:
            match action:
                case Hangup(cause):
                    self._stage.enter(State.HANGING_UP, now)
                    self._outcome.faulty = self._outcome.faulty or cause == FAILURE
                case Transfer():
                    self._stage.enter(State.TRANSFERRING, now)
                case PlaySentence("sorry"):
                    self._close(now)
                    self._outcome.faulty = True
        return actions

    def _close(self, now: float) -> None:
        """The caller is to hear the apology from now on, or when they no longer hold us."""
        self._stage.enter(State.CLOSING, now)
        if self._held_until is not None:
            self._stage.deadline = self._held_until

    # --- the way to the conversation --------------------------------------------------------------

    def _arrived(self, event: ev.Arrived, now: float) -> Actions:
        limit = self.setup.limit()
        self._outcome.talked = self.setup.talked
        if event.answered:
            self._media_path.parks = event.parks
            held = self._held(ev.Held(), now) if event.held else []
            # mod_audio_stream may still stream the call to an earlier controller.
            return [*limit, *self._prepare(now, again=True), *held]
        self._stage.enter(State.ANSWERING, now)
        # The format of the model's audio depends on the caller's codec.
        connect = self._model.connect() if event.codec_known else []
        return [*limit, *connect, Answer()]

    def _answered(self, event: ev.Answered, now: float) -> Actions:
        return self._prepare(now, again=False)

    def _answer_failed(self, event: ev.AnswerFailed, now: float) -> Actions:
        return [Note("the switch did not answer the call", event.reason), Hangup(FAILURE)]

    def _prepare(self, now: float, again: bool) -> Actions:
        self._stage.enter(State.PREPARING, now, extra_s=self._model_timeout_s)
        media = self._media_path.open(again=again)
        return [*self._model.connect(), *media, *self.setup.recording()]

    def _media_changed(self, event: ev.MediaEvent, now: float) -> Actions:
        actions = self._media_path.handle(event, now)
        if self.state is State.TRANSFERRING:
            return actions
        if self._media_path.mute:
            return [*actions, Hangup(FAILURE)]
        if self._media_path.deaf:
            return [*actions, *self.conversation.apologise()]
        return [*actions, *self._talk_if_ready(now)]

    def _parked(self, event: ev.Parked, now: float) -> Actions:
        """The same conversation, in a new park: only stream and lane are opened anew."""
        actions = self._media_changed(event, now)
        if event.held is self.conversation.held:
            return actions
        held = self._held(ev.Held(), now) if event.held else self._unheld(ev.Unheld(), now)
        return [*actions, *held]

    def _talk_if_ready(self, now: float) -> Actions:
        """Begin to talk, or go on, once there is a model and a way to be heard."""
        if self.speaking_by == "no":
            return []
        if self._model.link.given_up:
            return self._model.fall_back()
        if self.state is not State.PREPARING:
            return []
        if self._model.link.state != "ready":
            return self.setup.announcement()
        self._stage.enter(State.TALKING, now)
        self._outcome.talked = True
        return self.setup.begin(self.conversation, now)

    # --- the model --------------------------------------------------------------------------------

    def _agent_ready(self, event: AgentReady, now: float) -> Actions:
        if self._model.link.given_up:
            return []
        self._model.link.ready(now)
        self.conversation.model_connected(takes_turns=event.takes_turns)
        if self.state in IN_CONVERSATION:
            return self.conversation.model_ready(now, turn_lost=event.turn_lost)
        return self._talk_if_ready(now)

    def _agent_failed(self, event: AgentFailed, now: float) -> Actions:
        return self._model.failed(event, now)

    # --- the caller holds us ----------------------------------------------------------------------

    def _held(self, event: ev.Held, now: float) -> Actions:
        if self.conversation.held:
            return []
        self._media_path.held = True
        actions = self.conversation.caller_holds(now)
        if self.state is State.CLOSING:
            self._close(now)
        return [*actions, *self._limit_with_hold(now)]

    def _limit_with_hold(self, now: float) -> Actions:
        """The hold counts for no limit, not for that at the switch either. One that were set while
        the caller is transferred would end the call with the destination."""
        if not self.conversation.held or self.state not in (State.TALKING, State.CLOSING):
            return []
        rest_s = max(0.0, self.conversation.limit_at - now)
        return [LimitCall(rest_s + HELD_S + BACKSTOP_S)]

    def _unheld(self, event: ev.Unheld, now: float) -> Actions:
        if not self.conversation.held:
            return []
        self._media_path.held = False
        actions = self.conversation.caller_back(now)
        if self.state is State.CLOSING:
            self._close(now)
        return [*actions, *self._model.fall_back()] if self._model.link.given_up else actions

    @property
    def _held_until(self) -> float | None:
        """When the hold will have lasted too long, if the caller holds us."""
        return self.conversation.next_deadline() if self.conversation.held else None

    # --- the way out ------------------------------------------------------------------------------

    def _transferred(self, event: ev.Transferred, now: float) -> Actions:
        return self._end(TRANSFERRED, now)

    def _transfer_failed(self, event: ev.TransferFailed, now: float) -> Actions:
        note = Note("the caller could not be transferred", event.reason)
        if self._model.link.given_up:
            return [note, *self.conversation.apologise()]
        self._stage.enter(State.TALKING, now)
        actions = self.conversation.transfer_failed(event.reason, now)
        return [note, *actions, *self._limit_with_hold(now)]

    def _cannot_apologise(self, event: ev.LaneFailed | ev.FilesFailed, now: float) -> Actions:
        return [Hangup(FAILURE)]

    def _item_finished(self, event: ev.ItemFinished, now: float) -> Actions:
        return [Hangup(FAILURE)] if event.item == "sorry" else []

    def _time_up(self, event: ev.TimeUp, now: float) -> Actions:
        if self.state in WITH_MEDIA and (actions := self._media_path.time_up(now)):
            return actions
        if self.state in WITH_MODEL and (actions := self._model.time_up(now)):
            return actions
        if self._stage.deadline is None or now < self._stage.deadline:
            return []
        if self.state is State.TRANSFERRING:
            return self._transfer_failed(ev.TransferFailed("no reply from the switch"), now)
        if self.state is State.HANGING_UP:
            return self._end("the switch did not confirm the hangup", now)
        if self.state is State.CLOSING:
            return [Hangup(FAILURE)]
        note = Note("the call is ended", f"waited in vain for {self._missing()}")
        if self.state is not State.PREPARING or self.speaking_by == "no":
            return [note, Hangup(FAILURE)]
        fall_back = self._model.give_up()
        if self._held_until is None or now >= self._held_until:
            return [note, *(fall_back or [Hangup(FAILURE)])]
        self._stage.deadline = self._held_until  # nobody would hear an apology before
        return []

    def _missing(self) -> str:
        if self.state is State.ANSWERING:
            return "the switch to answer"
        return "the model" if self.speaking_by != "no" else "a way to speak to the caller"

    def _shut_down(self, event: ev.ShutDown, now: float) -> Actions:
        return self._end("handed back to the switch", now, given_back=True)

    def _switch_lost(self, event: ev.SwitchLost, now: float) -> Actions:
        return self._end(event.reason, now, given_back=True)

    def _hung_up(self, event: ev.HungUp, now: float) -> Actions:
        return self._end(event.cause, now)

    def _end(self, cause: str, now: float, *, given_back: bool = False) -> Actions:
        self._outcome.given_back = given_back
        self.cause, self.ended_in = cause, self.describe()
        self._stage.enter(State.ENDED, now)
        return [Close()]


TRANSITIONS: Transitions[Call] = Transitions()
TRANSITIONS.on(ev.Arrived, Call._arrived, State.ARRIVED)
TRANSITIONS.on(ev.Answered, Call._answered, State.ANSWERING)
TRANSITIONS.on(ev.AnswerFailed, Call._answer_failed, State.ANSWERING)
TRANSITIONS.on(ev.CodecChanged, Call._media_changed, *WITH_MEDIA)
TRANSITIONS.on(ev.Parked, Call._parked, *WITH_MEDIA)
TRANSITIONS.on(ev.ParkFailed, Call._media_changed, *WITH_MEDIA)
TRANSITIONS.on(ev.StreamOpened, Call._media_changed, *WITH_CALLER)
TRANSITIONS.on(ev.StreamClosed, Call._media_changed, *WITH_CALLER)
TRANSITIONS.on(ev.StreamFailed, Call._media_changed, *WITH_MEDIA)
TRANSITIONS.on(ev.LaneOpened, Call._media_changed, *WITH_MEDIA)
TRANSITIONS.on(ev.LaneFailed, Call._media_changed, *WITH_CALLER)
TRANSITIONS.on(ev.FilesReady, Call._media_changed, *WITH_CALLER)
TRANSITIONS.on(ev.FilesFailed, Call._media_changed, *WITH_MEDIA)
TRANSITIONS.on(ev.LaneFailed, Call._cannot_apologise, State.CLOSING)
TRANSITIONS.on(ev.FilesFailed, Call._cannot_apologise, State.CLOSING)
TRANSITIONS.on(ev.Held, Call._held, *WITH_CALLER, State.CLOSING)
TRANSITIONS.on(ev.Unheld, Call._unheld, *WITH_CALLER, State.CLOSING)
TRANSITIONS.on(AgentReady, Call._agent_ready, *WITH_MODEL)
TRANSITIONS.on(AgentFailed, Call._agent_failed, *WITH_MODEL)
TRANSITIONS.on(ev.Transferred, Call._transferred, State.TRANSFERRING)
TRANSITIONS.on(ev.TransferFailed, Call._transfer_failed, State.TRANSFERRING)
TRANSITIONS.on(ev.ItemFinished, Call._item_finished, State.CLOSING)
TRANSITIONS.on(ev.TimeUp, Call._time_up, *WITH_MODEL, State.CLOSING, State.HANGING_UP)
TRANSITIONS.on(ev.ShutDown, Call._shut_down, *ALIVE)
TRANSITIONS.on(ev.HungUp, Call._hung_up, *ALIVE)
TRANSITIONS.on(ev.SwitchLost, Call._switch_lost, *ALIVE)

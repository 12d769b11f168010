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
are heard, ``model_link.py`` when to connect to the model again. A call that begins here with a
``resumption`` goes on with what another process began (``snapshot.py``).

Which event means what in which state stands in one table, ``TRANSITIONS``, at the end. An event
without a row for the present state came too late or too early: it is counted and ignored.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from esl_controller.call import events as ev
from esl_controller.call.actions import (
    Actions,
    Answer,
    Close,
    ConfirmTaken,
    Hangup,
    LimitCall,
    Note,
    PlaySentence,
    StartRecording,
    Transfer,
)
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import AgentFailed, AgentReady
from esl_controller.call.caller_hold import HELD_S
from esl_controller.call.conversation import Conversation
from esl_controller.call.gates import Gates
from esl_controller.call.hops import NO_HOPS, Hops
from esl_controller.call.media_path import MediaPath
from esl_controller.call.model_link import ModelLink
from esl_controller.call.outcome import TRANSFERRED, Outcome
from esl_controller.call.patience import Patience
from esl_controller.call.replies import Waiting
from esl_controller.call.snapshot import Resumption
from esl_controller.call.states import ALIVE, MAX_S, WITH_CALLER, WITH_MEDIA, WITH_MODEL, State
from esl_controller.call.transitions import Transitions
from esl_controller.secretaries.schema import Destination

AWAY_S = 1.0  # a caller who has waited longer for the next controller hears that we are back
BACKSTOP_S = 180.0  # this long after the call's limit, FreeSWITCH ends the call itself

FAILURE = "NORMAL_TEMPORARY_FAILURE"


class Call:
    """One call's decisions.

    ``max_call_s``: the seconds that it may last; ``fallback``: where the caller goes if no model
    can be had; ``record``: whether the switch is to record it; ``playback``: how the caller is to
    hear us; ``model_timeout_s``: the seconds that a connection to the model may take; ``hops``: how
    often the caller was transferred before.

    ``resumption``: what another process knew of the call; to be set before the first event.
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
    ) -> None:
        self.state = State.ARRIVED
        self.conversation = conversation
        self.resumption: Resumption | None = None
        self.cause = ""
        self.ended_in = ""
        self.ignored = 0
        self._max_call_s = max_call_s
        self._fallback = fallback
        self._record = record
        self._hops = hops
        self._outcome = Outcome()
        self._media_path = MediaPath(playback)
        self._model_timeout_s = model_timeout_s
        self._model_link = ModelLink()
        self._patience = Patience()
        self._deadline: float | None = None  # of the present state
        self._gates = Gates()

    @property
    def hearing(self) -> Literal["no", "stream", "lane"]:
        """How we hear the caller."""
        return self._media_path.hearing

    @property
    def speaking_by(self) -> Literal["no", "lane", "file"]:
        """How the caller hears us."""
        return self._media_path.speaking_by

    @property
    def outcome(self) -> str:
        """What became of the call, for its record."""
        lost, ended = self._model_link.given_up, self.state is State.ENDED
        return self._outcome.word(self.cause, ended=ended, model_lost=lost)

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

    def handle(self, event: ev.Event, now: float) -> Actions:
        """Decide on ``event``, which happened at ``now``. The actions are in order."""
        decide = TRANSITIONS.find(event, self.state)
        actions = decide(self, event, now) if decide else []
        decided = decide is not None
        if self.state in (State.TALKING, State.TRANSFERRING):
            further = self.conversation.handle(event, now)
            actions += self._enter_exit(further or [], now)
            decided = decided or further is not None
        if self.state is State.TALKING:
            actions += self._help_model(now)
        self._patience.follow(self._waiting, now)
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
            self._deadline,
            self._media_path.deadline() if self.state in WITH_MEDIA else None,
            self._model_deadline(),
            self._patience.deadline(silent=self._silent),
            self.conversation.next_deadline() if self.state is State.TALKING else None,
        ]
        return min((time for time in times if time is not None), default=None)

    def _enter(self, state: State, now: float, *, extra_s: float = 0.0) -> None:
        limit_s = MAX_S.get(state)
        self.state = state
        self._deadline = None if limit_s is None else now + limit_s + extra_s

    def _enter_exit(self, actions: Actions, now: float) -> Actions:
        """Change the state if the conversation leaves by one of its ``actions``; returns them."""
        for action in actions:
            if isinstance(action, Hangup):
                self._enter(State.HANGING_UP, now)
            elif isinstance(action, Transfer):
                self._enter(State.TRANSFERRING, now)
        return actions

    # --- the way to the conversation --------------------------------------------------------------

    def _arrived(self, event: ev.Arrived, now: float) -> Actions:
        # If we freeze in a moment, nobody else would end the call.
        limit: Actions = [LimitCall(self._max_call_s + BACKSTOP_S)]
        if self.resumption is not None and not self.resumption.snapshot.back_from:
            limit = []  # the switch still has the one of the first controller
        self._outcome.talked = self.resumption is not None
        if event.answered:
            self._media_path.parks = event.parks
            held = self._held(ev.Held(), now) if event.held else []
            # mod_audio_stream may still stream the call to an earlier controller.
            return [*limit, *self._prepare(now, again=True), *held]
        self._enter(State.ANSWERING, now)
        # The format of the model's audio depends on the caller's codec.
        connect = self._connect() if event.codec_known else []
        return [*limit, *connect, Answer()]

    def _connect(self) -> Actions:
        return [] if self._model_link.state != "none" else self._model_link.connect()

    def _answered(self, event: ev.Answered, now: float) -> Actions:
        return self._prepare(now, again=False)

    def _answer_failed(self, event: ev.AnswerFailed, now: float) -> Actions:
        return [Note("the switch did not answer the call", event.reason), *self._hang_up(now)]

    def _prepare(self, now: float, again: bool) -> Actions:
        self._enter(State.PREPARING, now, extra_s=self._model_timeout_s)
        recorded = self.resumption is not None and self.resumption.recorded
        record = [StartRecording()] if self._record and not recorded else []
        return [*self._connect(), *self._media_path.open(again=again), *record]

    def _media_changed(self, event: ev.MediaEvent, now: float) -> Actions:
        actions = self._media_path.handle(event, now)
        if self.state is State.TRANSFERRING:
            return actions
        if self._media_path.mute:
            return [*actions, *self._hang_up(now)]
        if self._media_path.deaf:
            return [*actions, *self._apologise(now)]
        return [*actions, *self._talk_if_ready(now)]

    def _talk_if_ready(self, now: float) -> Actions:
        """Begin to talk, or go on, once there is a model and a way to be heard."""
        if self.speaking_by == "no":
            return []
        if self._model_link.given_up:
            return [] if self.conversation.leaving else self._fall_back(now)
        if self.state is not State.PREPARING:
            return []
        announcement = self._announce_return()
        if self._model_link.state != "ready":
            return announcement
        self._enter(State.TALKING, now)
        self._outcome.talked = True
        if self.resumption is None:
            first = self._enter_exit(self.conversation.begin(now), now)
            return [ConfirmTaken(), *first]
        first = self._enter_exit(self.conversation.resume(self.resumption, now), now)
        return [ConfirmTaken(), *announcement, *first]

    def _announce_return(self) -> Actions:
        """A caller who has waited long for us hears at once, and once, that we are back; the model
        may take longer."""
        if self.resumption is None or self.resumption.away_s <= AWAY_S:
            return []
        self.resumption = replace(self.resumption, away_s=0.0)
        return [PlaySentence("back")]

    # --- the model --------------------------------------------------------------------------------

    @property
    def _waiting(self) -> Waiting:
        """What the caller waits for."""
        ready = self._model_link.state == "ready"
        waiting = self.conversation.waiting if ready else Waiting.THE_MODEL
        there = self.state in WITH_MEDIA and not self.conversation.held
        return waiting if there else Waiting.NOTHING

    @property
    def _silent(self) -> bool:
        """Whether the caller hears nothing, and could."""
        audible = self.conversation.agent_audible or self.conversation.music_playing
        can_hear = self.speaking_by != "no" and not self.conversation.held
        return self.state in WITH_MEDIA and can_hear and not audible

    @property
    def _idle(self) -> bool:
        """Whether nobody speaks and nothing is waited for."""
        return self.state is State.TALKING and self.conversation.idle

    def _model_deadline(self) -> float | None:
        if self.state not in WITH_MODEL:
            return None
        return self._model_link.deadline(idle=self._idle)

    def _model_time_up(self, now: float) -> Actions:
        was_ready = self._model_link.state == "ready"
        actions = self._model_link.time_up(now, idle=self._idle)
        if actions and self._model_link.given_up:
            return [*actions, *self._model_gone(now)]
        if was_ready and self._model_link.state != "ready":
            return [*self.conversation.model_gone(now), *actions]
        return actions or self._patience.time_up(now, silent=self._silent)

    def _agent_ready(self, event: AgentReady, now: float) -> Actions:
        if self._model_link.given_up:
            return []
        self._model_link.ready(now)
        if self.state in (State.TALKING, State.TRANSFERRING):
            further = self.conversation.model_ready(now, turn_lost=event.turn_lost)
            return self._enter_exit(further, now)
        return self._talk_if_ready(now)

    def _help_model(self, now: float) -> Actions:
        """Do about a model that fails to reply what asking again has not done."""
        needs = self.conversation.model_needs
        if self._model_link.given_up or needs is Recovery.ASK_AGAIN:
            return []
        if needs is Recovery.RECONNECT:
            return [*self._model_gone(now), *self._model_link.connect()]
        self._model_link.give_up()
        return self._model_gone(now)

    def _agent_failed(self, event: AgentFailed, now: float) -> Actions:
        if self._model_link.given_up:
            return []
        return [*self._model_link.failed(event, now), *self._model_gone(now)]

    def _model_gone(self, now: float) -> Actions:
        actions: Actions = []
        if self.state in (State.TALKING, State.TRANSFERRING):
            further = self.conversation.model_gone(now, for_good=self._model_link.given_up)
            actions += self._enter_exit(further, now)
        if self._model_link.given_up and not self.conversation.leaving:
            actions += self._fall_back(now)
        return actions

    def _fall_back(self, now: float) -> Actions:
        """Without a model: to the fallback, or an apology and the end."""
        if self.speaking_by == "no" or self.conversation.held:
            return []  # as soon as there is a way to be heard
        if self._fallback is None:
            return self._apologise(now)
        if not self._hops.may_fall_back:
            reason = "it was tried for this caller before, or it leads back to this number"
            return [Note("no transfer to the fallback", reason), *self._apologise(now)]
        self._enter(State.TRANSFERRING, now)
        return self.conversation.fall_back(self._fallback)

    # --- the caller holds us ----------------------------------------------------------------------

    def _held(self, event: ev.Held, now: float) -> Actions:
        if self.conversation.held:
            return []
        self._media_path.held = True
        actions = self.conversation.caller_holds(now)
        if self.state is State.TALKING:
            rest_s = max(0.0, self.conversation.limit_at - now)
            actions.append(LimitCall(rest_s + HELD_S + BACKSTOP_S))
        return actions

    def _unheld(self, event: ev.Unheld, now: float) -> Actions:
        self._media_path.held = False
        actions = self._enter_exit(self.conversation.caller_back(now), now)
        if self._model_link.given_up and not self.conversation.leaving:
            actions += self._fall_back(now)
        return actions

    # --- the way out ------------------------------------------------------------------------------

    def _transferred(self, event: ev.Transferred, now: float) -> Actions:
        return self._end(TRANSFERRED, now)

    def _transfer_failed(self, event: ev.TransferFailed, now: float) -> Actions:
        note = Note("the caller could not be transferred", event.reason)
        if self._model_link.given_up:
            return [note, *self._apologise(now)]
        self._enter(State.TALKING, now)
        further = self.conversation.transfer_failed(event.reason, now)
        return [note, *self._enter_exit(further, now)]

    def _apologise(self, now: float) -> Actions:
        if self.state is State.CLOSING:
            return []
        self._enter(State.CLOSING, now)
        self._outcome.faulty = True
        return [*self.conversation.abandon(), PlaySentence("sorry")]

    def _cannot_apologise(self, event: ev.LaneFailed | ev.FilesFailed, now: float) -> Actions:
        return self._hang_up(now)

    def _item_finished(self, event: ev.ItemFinished, now: float) -> Actions:
        return self._hang_up(now) if event.item == "sorry" else []

    def _hang_up(self, now: float) -> Actions:
        self._enter(State.HANGING_UP, now)
        self._outcome.faulty = True
        return [Hangup(FAILURE)]

    def _time_up(self, event: ev.TimeUp, now: float) -> Actions:
        if self.state in WITH_MEDIA and (actions := self._media_path.time_up(now)):
            return actions
        if self.state in WITH_MODEL and (actions := self._model_time_up(now)):
            return actions
        if self._deadline is None or now < self._deadline:
            return []
        if self.state is State.TRANSFERRING:
            return self._transfer_failed(ev.TransferFailed("no reply from the switch"), now)
        if self.state is State.HANGING_UP:
            return self._end("the switch did not confirm the hangup", now)
        if self.state is State.CLOSING:
            return self._hang_up(now)
        note = Note("the call is ended", f"waited in vain for {self._missing()}")
        if self.state is State.PREPARING and self.speaking_by != "no":
            self._model_link.give_up()
            return [note, *self._fall_back(now)]
        return [note, *self._hang_up(now)]

    def _missing(self) -> str:
        if self.state is State.ANSWERING:
            return "the switch to answer"
        return "the model" if self.speaking_by != "no" else "a way to speak to the caller"

    def _shut_down(self, event: ev.ShutDown, now: float) -> Actions:
        self._outcome.given_back = True
        return self._end("handed back to the switch", now)

    def _switch_lost(self, event: ev.SwitchLost, now: float) -> Actions:
        self._outcome.given_back = True
        return self._end(event.reason, now)

    def _hung_up(self, event: ev.HungUp, now: float) -> Actions:
        return self._end(event.cause, now)

    def _end(self, cause: str, now: float) -> Actions:
        self.cause, self.ended_in = cause, self.describe()
        self._enter(State.ENDED, now)
        return [Close()]


TRANSITIONS: Transitions[Call] = Transitions()
TRANSITIONS.on(ev.Arrived, Call._arrived, State.ARRIVED)
TRANSITIONS.on(ev.Answered, Call._answered, State.ANSWERING)
TRANSITIONS.on(ev.AnswerFailed, Call._answer_failed, State.ANSWERING)
TRANSITIONS.on(ev.CodecChanged, Call._media_changed, *WITH_MEDIA)
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
TRANSITIONS.on(ev.Held, Call._held, *WITH_MEDIA)
TRANSITIONS.on(ev.Unheld, Call._unheld, *WITH_MEDIA)
TRANSITIONS.on(AgentReady, Call._agent_ready, *WITH_MODEL)
TRANSITIONS.on(AgentFailed, Call._agent_failed, *WITH_MODEL)
TRANSITIONS.on(ev.Transferred, Call._transferred, State.TRANSFERRING)
TRANSITIONS.on(ev.TransferFailed, Call._transfer_failed, State.TRANSFERRING)
TRANSITIONS.on(ev.ItemFinished, Call._item_finished, State.CLOSING)
TRANSITIONS.on(ev.TimeUp, Call._time_up, *WITH_MODEL, State.CLOSING, State.HANGING_UP)
TRANSITIONS.on(ev.ShutDown, Call._shut_down, *ALIVE)
TRANSITIONS.on(ev.HungUp, Call._hung_up, *ALIVE)
TRANSITIONS.on(ev.SwitchLost, Call._switch_lost, *ALIVE)

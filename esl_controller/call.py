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
Hangup or a Transfer. CLOSING and TRANSFERRING are also where a call goes that has lost its model
for good. From every state a hangup or a lost connection leads to ENDED. ENDED is final: nothing is
done after it. Which event means what in which state is said by one table, ``_TABLE``, at the end;
an event that is not in it for the present state is late or early, and ignored.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Literal

from esl_controller.actions import (
    Actions,
    Answer,
    Close,
    Hangup,
    HearLane,
    LimitCall,
    Note,
    OpenLane,
    PlayFiles,
    Record,
    Say,
    StartStream,
    Transfer,
)
from esl_controller.conversation import Conversation
from esl_controller.events import (
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
    ShutDown,
    StreamClosed,
    StreamFailed,
    StreamOpened,
    SwitchLost,
    TimeUp,
    TransferFailed,
    Transferred,
)
from esl_controller.model_line import ModelLine
from esl_controller.secretaries.schema import Destination

ANSWER_S = 10.0  # FreeSWITCH answers within 40 ms; an early-media trunk may take seconds
PREPARE_S = 5.0  # on top of what the model may take; stream and lane have limits of their own
STREAM_BACK_S = 0.3  # sptmru's module reconnects within 20 ms; what takes longer is started anew
STREAM_TRIES = 3
LANE_LOST_S = 0.2  # a hangup closes the lane a moment before it is told
LAST_WORDS_S = 10.0  # the hard cap on a farewell or an apology
HANGUP_S = 5.0
TRANSFER_S = 5.0  # until the switch has taken the caller, not until somebody answers
BACKSTOP_S = 60.0  # after max_call_s, FreeSWITCH ends the call whatever became of us

TRANSFERRED = "transferred"
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
    the model may take.
    """

    def __init__(
        self,
        talk: Conversation,
        *,
        max_s: float = 3600.0,
        fallback: Destination | None = None,
        record: bool = False,
        playback: Literal["lane", "file"] = "lane",
        model_s: float = 10.0,
    ) -> None:
        self.state = State.ARRIVED
        self.talk = talk
        self.hearing: Literal["no", "stream", "lane"] = "no"
        self.speaking_by: Literal["no", "lane", "file"] = "no"
        self.cause = ""  # why the call ended
        self._max_s = max_s
        self._fallback = fallback
        self._record = record
        self._playback = playback
        self._prepare_s = model_s + PREPARE_S
        self._model = ModelLine()
        self._stream_tries = 0
        self._stream_lost = False  # nothing more is tried: hear by the lane or not at all
        self._deadline: float | None = None
        self._stream_deadline: float | None = None
        self._lane_deadline: float | None = None

    def handle(self, event: Event, now: float) -> Actions:
        """Decide on ``event``, which happened at ``now``; actions are in order."""
        decide = _TABLE.get((self.state, type(event)))
        actions = decide(self, event, now) if decide else []
        if self.state is State.TALKING:
            actions += self._follow(self.talk.handle(event, now), now)
        return actions

    @property
    def outcome(self) -> str:
        """What became of the call, for its record."""
        if self.cause == TRANSFERRED:
            return "transferred"
        if self._model.state == "lost":
            return "model lost"
        return "completed" if self.state is State.ENDED else "interrupted"

    def next_deadline(self) -> float | None:
        """When ``TimeUp`` is due; None: never, so far."""
        talking = self.state is State.TALKING
        times = [
            self._deadline,
            self._stream_deadline,
            self._lane_deadline,
            self._model.deadline(at_rest=talking and self.talk.at_rest),
            self.talk.next_deadline() if talking else None,
        ]
        return min((time for time in times if time is not None), default=None)

    def _follow(self, actions: Actions, now: float) -> Actions:
        """Go where the conversation has decided to go."""
        for action in actions:
            if isinstance(action, Hangup):
                self.cause = action.cause
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
        return [] if self._model.state != "none" else self._model.dial()

    def _answered(self, event: Answered, now: float) -> Actions:
        return self._prepare(now, again=False)

    def _prepare(self, now: float, again: bool) -> Actions:
        self._enter(State.PREPARING, now + self._prepare_s)
        self._stream_tries = 1
        way = OpenLane() if self._playback == "lane" else PlayFiles()
        record = [Record()] if self._record else []
        actions = [*self._connect(), StartStream(again), way, *record]
        self._model.awaited(now)
        return actions

    def _answer_failed(self, event: AnswerFailed, now: float) -> Actions:
        return [Note("the switch did not answer the call", event.reason), *self._hang_up(now)]

    def _lane_opened(self, event: LaneOpened, now: float) -> Actions:
        self.speaking_by = "lane"
        return [*self._hear_somehow(now), *self._begin(now)]

    def _lane_failed(self, event: LaneFailed, now: float) -> Actions:
        if self.speaking_by == "lane":
            self.speaking_by = "no"
            self._lane_deadline = now + LANE_LOST_S
            return []
        return self._play_files(event.reason)

    def _play_files(self, reason: str) -> Actions:
        self._lane_deadline = None
        if self.hearing == "lane":
            self.hearing = "no"
        return [Note("no lane to the caller, replies are played as files", reason), PlayFiles()]

    def _files_ready(self, event: FilesReady, now: float) -> Actions:
        self.speaking_by = "file"
        return [*self._hear_somehow(now), *self._begin(now)]

    def _files_failed(self, event: FilesFailed, now: float) -> Actions:
        self.speaking_by = "no"
        return [
            Note("no way to speak to the caller, the call is ended", event.reason),
            *self._hang_up(now),
        ]

    def _begin(self, now: float) -> Actions:
        """Start to talk once there is somebody to talk to and a way to be heard."""
        if self.state is not State.PREPARING or self.speaking_by == "no":
            return []
        if self._model.state == "lost":
            return self._without_model(now)
        if self._model.state != "ready":
            return []
        self._enter(State.TALKING)
        return [LimitCall(self._max_s + BACKSTOP_S), *self._follow(self.talk.begin(now), now)]

    # --- the model --------------------------------------------------------------------------------

    def _agent_ready(self, event: AgentReady, now: float) -> Actions:
        self._model.ready(now)
        if self.state is State.TALKING:
            return self._follow(self.talk.model_back(now), now)
        return self._begin(now)

    def _agent_failed(self, event: AgentFailed, now: float) -> Actions:
        actions: Actions = []
        if self.state is State.TALKING:
            actions = self._follow(self.talk.model_lost(), now)
            if self.state is not State.TALKING:
                return actions  # all was said
        actions += self._model.failed(event, now)
        if self.state is State.TALKING:
            self._model.awaited(now)
        if self._model.state == "lost":
            actions += self._without_model(now)
        return actions

    def _renew_model(self) -> Actions:
        """A new session before the API ends the old one, while nobody speaks."""
        return [*self.talk.model_lost(), *self._model.dial()]

    def _without_model(self, now: float) -> Actions:
        """To the fallback, or an apology and the end."""
        if self.speaking_by == "no":
            return []  # as soon as there is a way to be heard
        if self._fallback is None or self.state is State.TRANSFERRING:
            return self._apologise(now)
        self._enter(State.TRANSFERRING, now + TRANSFER_S)
        return [Transfer(self._fallback)]

    def _transferred(self, event: Transferred, now: float) -> Actions:
        return self._end(TRANSFERRED)

    def _transfer_failed(self, event: TransferFailed, now: float) -> Actions:
        note = Note("the caller could not be transferred", event.reason)
        if self._model.state == "lost":
            return [note, *self._apologise(now)]
        self._enter(State.TALKING)  # whose conversation is told by ``handle``
        return [note]

    # --- hearing ----------------------------------------------------------------------------------

    def _stream_opened(self, event: StreamOpened, now: float) -> Actions:
        self.hearing = "stream"
        self._stream_tries = 0
        self._stream_lost = False
        self._stream_deadline = None
        return []

    def _stream_closed(self, event: StreamClosed, now: float) -> Actions:
        if self.hearing == "stream":
            self.hearing = "no"
            self._stream_deadline = now + STREAM_BACK_S
        return []

    def _stream_failed(self, event: StreamFailed, now: float) -> Actions:
        if self.hearing == "stream" or self._stream_lost:
            return []
        if not event.missing and self._stream_tries < STREAM_TRIES:
            return [*self._restart_stream(event.reason), *self._hear_lane()]
        self._stream_lost = True
        self._stream_deadline = None
        return [
            Note("mod_audio_stream does not bring the caller's audio", event.reason),
            *self._hear_somehow(now),
        ]

    def _restart_stream(self, reason: str) -> Actions:
        self._stream_tries += 1
        self._stream_deadline = None
        return [Note("the caller's audio is started again", reason), StartStream(again=True)]

    def _hear_somehow(self, now: float) -> Actions:
        """Where the stream is lost: by the lane if there is one, else the call makes no sense."""
        if not self._stream_lost or self.hearing != "no" or self.speaking_by == "no":
            return []
        return self._hear_lane() or [
            Note("no way to hear the caller, the call is ended", "no stream and no lane"),
            *self._apologise(now),
        ]

    def _hear_lane(self) -> Actions:
        if self.hearing != "no" or self.speaking_by != "lane":
            return []
        self.hearing = "lane"
        return [
            Note("the call goes on with the audio that the lane brings", "no stream"),
            HearLane(),
        ]

    # --- the way out ------------------------------------------------------------------------------

    def _apologise(self, now: float) -> Actions:
        if self.state is State.CLOSING:
            return []
        self._enter(State.CLOSING, now + LAST_WORDS_S)
        self.cause = self.cause or FAILURE
        return [Say("sorry")]

    def _item_finished(self, event: ItemFinished, now: float) -> Actions:
        return self._hang_up(now) if event.item == "sorry" else []

    def _time_up(self, event: TimeUp, now: float) -> Actions:
        if self._lane_deadline is not None and now >= self._lane_deadline:
            return self._play_files("FreeSWITCH closed it in the middle of the call")
        if self._stream_deadline is not None and now >= self._stream_deadline:
            return self._restart_stream("the media connection was closed and did not come back")
        if self._model.redial_due(now):
            return self._model.dial()
        can_be_heard = self.speaking_by != "no" and not self.talk.heard
        if self._model.excuse_due(now, can_be_heard=can_be_heard):
            return [Say("moment")]
        if self.state is State.TALKING and self._model.too_old(now) and self.talk.at_rest:
            return self._renew_model()
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
            return [note, *self._apologise(now)]
        return [note, *self._hang_up(now)]

    def _missing(self) -> str:
        if self.state is State.ANSWERING:
            return "the switch to answer"
        return "the model" if self.speaking_by != "no" else "a way to speak to the caller"

    def _shut_down(self, event: ShutDown, now: float) -> Actions:
        return self._end("handed back to the switch")

    def _hang_up(self, now: float) -> Actions:
        self.cause = self.cause or FAILURE
        self._enter(State.HANGING_UP, now + HANGUP_S)
        return [Hangup(self.cause)]

    def _hung_up(self, event: HungUp, now: float) -> Actions:
        return self._end(event.cause)

    def _switch_lost(self, event: SwitchLost, now: float) -> Actions:
        return self._end(event.reason)

    def _end(self, cause: str) -> Actions:
        self.cause = cause
        self._enter(State.ENDED)
        return [Close()]

    def _enter(self, state: State, deadline: float | None = None) -> None:
        self.state = state
        self._deadline = deadline
        if state in (State.TRANSFERRING, State.CLOSING, State.HANGING_UP, State.ENDED):
            self._stream_deadline = self._lane_deadline = None
            self._model.hang_up()


_S = State
_UP = (_S.PREPARING, _S.TALKING)
_ALIVE = (_S.ARRIVED, _S.ANSWERING, *_UP, _S.TRANSFERRING, _S.CLOSING, _S.HANGING_UP)
_WAITING = (_S.ANSWERING, *_UP)

_ROWS: Iterable[tuple[tuple[State, ...], type[Event], Callable[..., Actions]]] = (
    ((_S.ARRIVED,), Arrived, Call._arrived),
    ((_S.ANSWERING,), Answered, Call._answered),
    ((_S.ANSWERING,), AnswerFailed, Call._answer_failed),
    (_UP, StreamOpened, Call._stream_opened),
    (_UP, StreamClosed, Call._stream_closed),
    (_UP, StreamFailed, Call._stream_failed),
    (_UP, LaneOpened, Call._lane_opened),
    (_UP, LaneFailed, Call._lane_failed),
    (_UP, FilesReady, Call._files_ready),
    (_UP, FilesFailed, Call._files_failed),
    ((_S.CLOSING,), LaneFailed, lambda call, event, now: call._hang_up(now)),
    ((_S.CLOSING,), FilesFailed, lambda call, event, now: call._hang_up(now)),
    (_WAITING, AgentReady, Call._agent_ready),
    (_WAITING, AgentFailed, Call._agent_failed),
    ((_S.TRANSFERRING,), Transferred, Call._transferred),
    ((_S.TRANSFERRING,), TransferFailed, Call._transfer_failed),
    ((_S.CLOSING,), ItemFinished, Call._item_finished),
    ((*_WAITING, _S.TRANSFERRING, _S.CLOSING, _S.HANGING_UP), TimeUp, Call._time_up),
    (_ALIVE, ShutDown, Call._shut_down),
    (_ALIVE, HungUp, Call._hung_up),
    (_ALIVE, SwitchLost, Call._switch_lost),
)
_TABLE: dict[tuple[State, type[Event]], Callable[..., Actions]] = {
    (state, event): decide for states, event, decide in _ROWS for state in states
}

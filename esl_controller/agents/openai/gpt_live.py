"""GPT-Live, or any endpoint that speaks it, through the ``openai`` package.

The model listens and speaks at the same time: it decides itself when to answer, when to fall silent
and when to go on, and its voice is one stream in real time, silence included (``utterances.py``).
There is nothing to cancel and nothing to truncate. The caller's audio is its clock: without any it
neither hears nor speaks. A second model makes the tool calls, on behalf of the first
(``delegation.py``), which goes on by itself once all results are there.
"""

from __future__ import annotations

import itertools
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pybase64
import structlog

from esl_controller.agents.base import Counters
from esl_controller.agents.health import spread
from esl_controller.agents.messages import Reader, amount, count, read, text
from esl_controller.agents.openai.connection import Connection
from esl_controller.agents.openai.delegation import Delegations
from esl_controller.agents.openai.endpoint import DIFFERENT, OpenAIEndpoint, confirmed
from esl_controller.agents.openai.errors import LOGGED, of_event, refused_session
from esl_controller.agents.openai.gpt_live_session import start, words
from esl_controller.agents.openai.utterances import Utterances
from esl_controller.call.agent import PATIENCE_S, Called, History, Recovery, Usage
from esl_controller.call.agent_events import (
    AgentAudio,
    AgentAudioDone,
    AgentEvent,
    AgentReady,
    AgentText,
    CallerTranscript,
    ReplyRefused,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
)
from esl_controller.call.transcript import WORDS_LIMIT
from esl_controller.config.model_settings import AgentSettings
from esl_controller.secretaries.persona import Persona
from media.frame import Format
from media.resample import Converter

if TYPE_CHECKING:
    from openai.types.live.client_event_param import ClientEventParam

log = structlog.stdlib.get_logger(__name__)

TURN_PAUSE_MS = 800  # a pause that ends the caller's turn
STALL_MS = 3000  # of the caller's audio, for which the model's own does not come, silence included
ASKED_MS = 4000  # a model that was told to speak and has not by then will not

_APPEND = "session.input_audio.append"


class GptLiveModel(OpenAIEndpoint):
    """A ``Model`` that speaks GPT-Live's API."""

    def __init__(self, settings: AgentSettings, patience_s: float = PATIENCE_S) -> None:
        super().__init__(settings, "live", patience_s)

    def agent(self, persona: Persona, history: History, *, g711: bool) -> GptLiveAgent:
        """An agent that has not connected yet."""
        return GptLiveAgent(self, persona, history, self.audio(g711=g711))


@dataclass
class _Turn:
    """What the caller is saying: the words so far, and when they ended on the session's clock."""

    item: str
    words: str
    end_ms: int
    quiet_ms: float = 0.0


class GptLiveAgent:
    """An ``Agent`` over one GPT-Live session.

    A response is an utterance, or a delegation that makes tool calls or fails. The caller's turns
    are known only by their words: ``SpeechStarted`` is some hundred milliseconds late, and
    ``SpeechStopped`` comes together with the transcript.
    """

    takes_turns = True

    def __init__(
        self, model: GptLiveModel, persona: Persona, history: History, audio: Format
    ) -> None:
        self.input = self.output = audio
        self.counters = Counters()
        self._backend_model = model.settings.backend_model
        self._persona = persona
        self._history = history
        self._connection = Connection(model, audio, _APPEND, self.counters)
        self._emit: Callable[[AgentEvent], None] = lambda event: None
        self._name = f"live-{secrets.token_hex(4)}"
        self._named = 0
        self._utterances = Utterances(audio)
        self._item = ""  # the utterance being spoken, or whose words came ahead of its audio
        self._turn: _Turn | None = None
        self._delegations = Delegations()
        self._went_on = ""  # the event that asked for the last response
        self._unanswered_ms = 0.0
        self._asked_ms: float | None = None  # since it was told to speak, until it does
        self._asked = ""  # the event that told it so
        self._event_ids = itertools.count(1)
        self._from_model = Converter(audio, audio)
        self._clock_ms = 0.0  # of the session
        self._used_ms = 0.0  # of the session, to be paid
        self._reported_ms = 0.0  # of that, in a ``ResponseDone``
        self._readers: Mapping[str, Reader] = {
            "session.started": self._started,
            "session.output_audio.delta": self._audio,
            "session.output_transcript.delta": self._said,
            "session.input_transcript.delta": self._heard,
            "response.event": self._delegated,
            "session.usage.updated": self._used,
            "session.closed": self._closed,
            "error": self._error,
        }

    # --- what a call asks for ---------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        self._connection.hear(audio)
        if self._connection.ready:
            self._unanswered_ms += self.input.ms(len(audio))
            if self._unanswered_ms > STALL_MS:
                self._connection.give_up(f"the model stalled: no audio came for {STALL_MS} ms")

    def respond(self, instructions: str = "") -> None:
        if instructions:
            self._asked_ms = 0.0
            self._asked = self._speak(
                f"Do this now, do not wait for the caller to speak. {instructions}"
            )

    def cancel(self) -> None:
        """Nothing: the model hears the caller, and falls silent by itself."""

    def truncate(self, item: str, heard_ms: int) -> None:
        """Nothing: the model speaks in real time, and knows what it has said."""

    def forget(self, item: str) -> None:
        """Nothing: the model makes words of speech only."""

    def tool_result(self, call: Called, *, last: bool = False) -> None:
        if not self._delegations.answer(call.call_id, last=last):
            if not last:
                self._speak(words(call))
            return
        self._ask(
            {
                "type": "response.item.create",
                "item": {
                    "type": "function_call_output",
                    "call_id": call.call_id,
                    "output": call.output,
                },
            }
        )
        self._go_on()

    def tell(self, text: str) -> None:
        self._speak(f"React to what the caller did and you did not hear: {text}")

    @property
    def unreported(self) -> Usage:
        seconds = (self._used_ms - self._reported_ms) / 1000
        return replace(self._delegations.usage, seconds=seconds)

    def _speak(self, content: str) -> str:
        return self._ask(
            {"type": "session.commentary.append", "content": content, "delegation_id": None}
        )

    def _go_on(self) -> None:
        if self._delegations.can_go_on():
            self._went_on = self._ask({"type": "response.create"})

    def _ask(self, event: ClientEventParam) -> str:
        """Send a control event; returns the id by which an error names it."""
        event_id = f"{event['type'].replace('.', '_')}_{next(self._event_ids)}"
        self._connection.ask({**event, "event_id": event_id})
        return event_id

    # --- the connection ---------------------------------------------------------------------------

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        self._emit = on_event
        hello = start(self._persona, self._history, self.input, self._backend_model)
        failed = await self._connection.run(
            lambda client, options: client.live.connect(websocket_connection_options=options),
            hello,
            self._message,
        )
        if self._turn is not None:
            for event in self._end_turn(self._turn):  # no message will end it any more
                self._emit(event)
        self._emit(failed)

    def _message(self, message: bytes) -> None:
        for event in read(message, self._readers, self.counters):
            self._emit(event)

    # --- what the model says ----------------------------------------------------------------------

    def _started(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        audio = (event.get("session") or {}).get("audio") or {}
        try:
            agreed = confirmed(audio.get("format"), self.input)
        except ValueError as error:
            self._connection.give_up(f"the model confirmed {error}", Recovery.NEXT_MODEL)
            return ()
        if agreed != self.input:
            log.warning(DIFFERENT, asked=str(self.input), hears=str(agreed), speaks=str(agreed))
            self._connection.hear_as(agreed)
            self._from_model = Converter(agreed, self.output)
        return (AgentReady(),) if self._connection.confirm() else ()

    def _audio(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        data = self._from_model.feed(pybase64.b64decode(event["delta"]))
        cut = self._utterances.feed(data)
        self._unanswered_ms = 0.0
        self.counters.deltas += 1
        events = self._pass_time(self.output.ms(len(data)))
        if cut.began:
            self._asked_ms = None
            # The model answers, so the caller has finished: that is surer than a pause.
            events += self._end_turn(self._turn) if self._turn is not None else []
            events.append(ResponseStarted(self._utterance()))
        if cut.audio:
            events.append(AgentAudio(self._item, cut.audio))
        if cut.ended:
            events += [AgentAudioDone(self._item), self._done(self._item, "completed")]
            self._item = ""
        return events

    def _done(self, response: str, status: str, reason: str = "") -> ResponseDone:
        usage = self.unreported
        self._delegations.take_usage()
        self._reported_ms = self._used_ms
        return ResponseDone(response, status, reason, usage=usage)

    def _said(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (AgentText(self._utterance(), text(event, "delta")),)

    def _utterance(self) -> str:
        self._item = self._item or self._new_name()
        return self._item

    def _new_name(self) -> str:
        self._named += 1
        return f"{self._name}-{self._named}"

    def _heard(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        words = text(event, "delta")
        start_ms, end_ms = count(event.get("start_ms")), count(event.get("end_ms"))
        events: list[AgentEvent] = []
        if self._turn is not None and start_ms - self._turn.end_ms > TURN_PAUSE_MS:
            events += self._end_turn(self._turn)
        if self._turn is None:
            self._turn = _Turn(self._new_name(), "", end_ms)
            events.append(SpeechStarted(start_ms, self._turn.item, self._late_ms(start_ms)))
        self._turn.words = (self._turn.words + words)[:WORDS_LIMIT]
        self._turn.end_ms = max(self._turn.end_ms, end_ms)
        self._turn.quiet_ms = 0.0
        return events

    def _pass_time(self, ms: float) -> list[AgentEvent]:
        """So much time has passed in the session, by the length of the model's output."""
        self._clock_ms += ms
        self._used_ms += ms
        if self._turn is not None:
            self._turn.quiet_ms += ms
            return self._end_turn(self._turn) if self._turn.quiet_ms > TURN_PAUSE_MS else []
        if self._asked_ms is not None and not self._delegations.busy:
            self._asked_ms += ms
            return self._say_nothing() if self._asked_ms > ASKED_MS else []
        return []

    def _say_nothing(self) -> list[AgentEvent]:
        """End the wait for what the model was told to say, by an empty response."""
        self._asked_ms = None
        log.warning("the model was told to speak and did not")
        done = self._done(self._new_name(), "incomplete", "the model said nothing")
        done = replace(done, recovery=Recovery.RECONNECT)
        return [ResponseStarted(done.id), done]

    def _end_turn(self, turn: _Turn) -> list[AgentEvent]:
        self._turn = None
        stopped = SpeechStopped(turn.end_ms, turn.item, self._late_ms(turn.end_ms))
        return [stopped, CallerTranscript(turn.item, turn.words.strip())]

    def _late_ms(self, at_ms: float) -> float:
        return max(0.0, self._clock_ms - at_ms)

    def _delegated(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        done = self._delegations.read(event)
        self._go_on()
        return (ResponseStarted(done.id), done) if done is not None else ()

    def _used(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        """The model's own count of the whole session."""
        self._used_ms = max(self._used_ms, amount(event["usage"].get("seconds")) * 1000)
        return ()

    def _closed(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        self._connection.give_up(f"the model ended the session: {text(event, 'reason')}")
        return self._used(event)

    def _error(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        given = event["error"]
        error = of_event(given)
        self.counters.errors += 1
        if self.counters.errors <= LOGGED:
            log.warning("the model reports an error", error=error.told, param=given.get("param"))
        answered = given.get("client_event_id") or event.get("client_event_id")
        if not self._connection.ready:
            refused = refused_session(error)
            self._connection.give_up(refused.reason, refused.recovery, refused.after_s)
        elif error.recovery in (Recovery.NEXT_MODEL, Recovery.RECONNECT):
            self._connection.give_up(f"the model: {error.told}", error.recovery, error.after_s)
        elif self._asked_ms is not None and answered in (self._asked, None):
            self._asked_ms = None
            return (ReplyRefused(error.told, after_s=spread(error.after_s)),)
        elif answered and answered == self._went_on:
            # Nothing comes of the functions' results here; a new session gets them as history.
            self._connection.give_up(f"the model does not go on: {error.told}")
        return ()

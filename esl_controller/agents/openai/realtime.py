"""The OpenAI Realtime API (GA), or any endpoint that speaks it, through the ``openai`` package.

Control events go out as the package's typed parameters and are read as plain JSON
(``realtime_events.py``). Audio bypasses the package's types both ways: they would cost half of
the controller's CPU time (docs/design/audio.md#what-a-call-costs).

The call's core decides who speaks when, not the server: ``create_response`` and
``interrupt_response`` are off, so that a cough neither cancels a reply nor calls for one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING, Any, Literal

from esl_controller.agents.base import Counters
from esl_controller.agents.health import spread
from esl_controller.agents.openai.connection import Connection
from esl_controller.agents.openai.endpoint import OpenAIEndpoint
from esl_controller.agents.openai.realtime_events import EventReader
from esl_controller.call.agent import (
    PATIENCE_S,
    Called,
    History,
    Recovery,
    Said,
    Usage,
)
from esl_controller.call.agent_events import (
    AgentEvent,
    AgentFailed,
    AgentReady,
    ReplyRefused,
    ResponseDone,
    ResponseStarted,
    TranscriptMissing,
)
from esl_controller.config.model_settings import AgentSettings
from esl_controller.secretaries.persona import ByMeaning, BySilence, Persona
from media.frame import Format

if TYPE_CHECKING:
    from openai.types.realtime import (
        ConversationItemParam,
        RealtimeClientEventParam,
        RealtimeSessionCreateRequestParam,
    )
    from openai.types.realtime.realtime_audio_config_input_param import (
        RealtimeAudioConfigInputParam,
    )
    from openai.types.realtime.realtime_audio_formats_param import RealtimeAudioFormatsParam
    from openai.types.realtime.realtime_audio_input_turn_detection_param import (
        RealtimeAudioInputTurnDetectionParam,
    )
    from openai.types.realtime.realtime_response_create_params_param import (
        RealtimeResponseCreateParamsParam,
    )

STALL_S = 8.0  # until a response that has begun has something to say: some models think first
SIGN_S = 4.0  # until a response begins, and between two signs of life of it
TRANSCRIBER_S = 600.0  # in which a transcription model that was refused is not asked for again

_APPEND = "input_audio_buffer.append"


class RealtimeModel(OpenAIEndpoint):
    """A ``Model`` that speaks the Realtime API."""

    def __init__(self, settings: AgentSettings, patience_s: float = PATIENCE_S) -> None:
        super().__init__(settings, "realtime", patience_s)
        self._loop = asyncio.get_running_loop()
        self._no_transcripts_until = 0.0

    @property
    def transcriber(self) -> str:
        """The model that writes down what callers say, or "" if there is none."""
        refused = self._loop.time() < self._no_transcripts_until
        return "" if refused else self.settings.transcription_model

    def do_without_transcripts(self) -> None:
        """The service has refused the transcription model."""
        self._no_transcripts_until = self._loop.time() + TRANSCRIBER_S

    def agent(self, persona: Persona, history: History, *, g711: bool) -> RealtimeAgent:
        """An agent that has not connected yet."""
        return RealtimeAgent(self, persona, history, self.audio(g711=g711))


class RealtimeAgent:
    """An ``Agent`` over one Realtime session."""

    takes_turns = False
    unreported = Usage()  # the API does not say what a response used that was cut off

    def __init__(
        self, model: RealtimeModel, persona: Persona, history: History, audio: Format
    ) -> None:
        self.input = self.output = audio
        self.counters = Counters()
        self._model = model
        self._persona = persona
        self._history = history
        self._connection = Connection(model, audio, _APPEND, self.counters)
        own = model.transcriber if model.transcriber != persona.model else ""
        self._reader = EventReader(audio, self.counters, own)
        self._emit: Callable[[AgentEvent], None] = lambda event: None
        self._loop = asyncio.get_running_loop()
        self._event_ids = count(1)
        self._confirmed = False
        self._transcriber = model.transcriber
        self._patience_s = SIGN_S  # with the reply that is due
        self._progress = 0  # of the reader, when it was last looked at
        self._alive_at = 0.0  # when that was more than before
        self._stall: asyncio.TimerHandle | None = None

    # --- what a call asks for ---------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        self._connection.hear(audio)

    def respond(self, instructions: str = "") -> None:
        if instructions:
            said: RealtimeResponseCreateParamsParam = {
                # They replace the session's, which say how to speak and what not to say.
                "instructions": f"{self._persona.instructions}\n\n# Do this now\n{instructions}",
                "tool_choice": "none",
                "tools": [],  # some models call a function even so
            }
            self._reader.request = self._ask({"type": "response.create", "response": said})
        else:
            self._reader.request = self._ask({"type": "response.create"})
        if self._confirmed:
            self._watch(SIGN_S)

    def cancel(self) -> None:
        if self._reader.response:
            self._reader.cancel()
            self._ask({"type": "response.cancel", "response_id": self._reader.response})

    def truncate(self, item: str, heard_ms: int) -> None:
        self._ask(
            {
                "type": "conversation.item.truncate",
                "item_id": item,
                "content_index": 0,
                "audio_end_ms": heard_ms,
            }
        )

    def forget(self, item: str) -> None:
        self._ask({"type": "conversation.item.delete", "item_id": item})

    def tool_result(self, call: Called, *, last: bool = False) -> None:
        for item in _items(call)[call.call_id in self._reader.calls :]:
            self._ask({"type": "conversation.item.create", "item": item})

    def tell(self, text: str) -> None:
        self._ask({"type": "conversation.item.create", "item": _said("user", text)})

    def _ask(self, event: RealtimeClientEventParam) -> str:
        """Send a control event; returns the id by which an error names it."""
        named = self._named(event)
        self._connection.ask(named)
        return str(named["event_id"])

    def _named(self, event: RealtimeClientEventParam) -> dict[str, Any]:
        name = event["type"].replace(".", "_")
        return {**event, "event_id": f"{name}_{next(self._event_ids)}"}

    def _watch(self, patience_s: float) -> None:
        """Expect a sign of life of the reply that is due within ``patience_s``."""
        self._patience_s, self._alive_at = patience_s, self._loop.time()
        self._progress = self._reader.progress
        if self._stall is not None:
            self._stall.cancel()
        self._stall = self._loop.call_later(patience_s / 4, self._look_for_stall)

    def _look_for_stall(self) -> None:
        self._stall = None
        if not (self._reader.request or self._reader.response):
            return
        if self._reader.progress != self._progress:
            self._watch(SIGN_S)
        elif self._loop.time() >= self._alive_at + self._patience_s:
            waited = f"the model said nothing for {self._patience_s:g} s"
            self._connection.give_up(f"{waited} though a response was due")
        else:
            self._stall = self._loop.call_later(self._patience_s / 4, self._look_for_stall)

    # --- the connection ---------------------------------------------------------------------------

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        self._emit, wanted = on_event, self._transcriber
        try:
            failed = await self._connection.run(
                lambda client, options: client.realtime.connect(
                    model=self._persona.model, websocket_connection_options=options
                ),
                self._named({"type": "session.update", "session": self._session()}),
                self._message,
            )
        finally:
            if self._stall is not None:
                self._stall.cancel()
        if self._transcriber != wanted and not self._confirmed:
            # It refused the session for the transcripts only: without them it will take it.
            failed = replace(failed, recovery=Recovery.RECONNECT)
        self._emit(failed)

    def _message(self, message: bytes) -> None:
        for event in self._reader.read(message):
            match event:
                case AgentReady():
                    if not self._confirm():
                        continue
                case AgentFailed(reason, recovery, after_s):
                    self._connection.give_up(reason, recovery, after_s)
                    continue
                case TranscriptMissing("") if not self._confirmed:
                    self._drop_transcripts(event.reason)
                case ResponseStarted():
                    self._watch(STALL_S)
                case ReplyRefused(after_s=after_s) | ResponseDone(after_s=after_s):
                    event = replace(event, after_s=spread(after_s))
            self._emit(event)

    def _confirm(self) -> bool:
        """The session is confirmed. Returns whether there was still time for it."""
        self._connection.hear_as(self._reader.hears)
        self._confirmed = self._connection.confirm([self._named(event) for event in self._past()])
        if self._confirmed and self._reader.request:
            self._watch(SIGN_S)
        return self._confirmed

    def _drop_transcripts(self, reason: str) -> None:
        """The session was refused for its transcription model: ask for one without."""
        if not self._transcriber:
            self._connection.give_up(
                f"the model refused the session: {reason}", Recovery.NEXT_MODEL
            )
            return
        self._transcriber = ""
        self._model.do_without_transcripts()
        self._connection.greet(self._named({"type": "session.update", "session": self._session()}))

    def _past(self) -> list[RealtimeClientEventParam]:
        """The events that tell a new session the call so far."""
        items = [item for entry in self._history for item in _items(entry)]
        return [{"type": "conversation.item.create", "item": item} for item in items]

    def _session(self) -> RealtimeSessionCreateRequestParam:
        form: RealtimeAudioFormatsParam
        if self.input.encoding == "pcm":
            form = {"type": "audio/pcm", "rate": 24000}
        elif self.input.encoding == "pcmu":
            form = {"type": "audio/pcmu"}
        else:
            form = {"type": "audio/pcma"}
        persona = self._persona
        hearing: RealtimeAudioConfigInputParam = {
            "format": form,
            "turn_detection": _turn_detection(persona.turn_detection),
        }
        if self._transcriber:
            hearing["transcription"] = {
                "model": self._transcriber,
                "language": persona.language.partition("-")[0],
            }
        if persona.noise_reduction != "off":
            hearing["noise_reduction"] = {"type": persona.noise_reduction}
        session: RealtimeSessionCreateRequestParam = {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": persona.instructions,
            "audio": {"input": hearing, "output": {"format": form, "voice": persona.voice}},
        }
        if persona.tools:
            session["tools"] = [
                {
                    "type": "function",
                    "name": tool.name,
                    "description": tool.description,
                    "parameters": dict(tool.parameters),
                }
                for tool in persona.tools
            ]
        return session


def _turn_detection(wanted: BySilence | ByMeaning) -> RealtimeAudioInputTurnDetectionParam:
    if isinstance(wanted, ByMeaning):
        return {
            "type": "semantic_vad",
            "eagerness": wanted.eagerness,
            "create_response": False,
            "interrupt_response": False,
        }
    return {
        "type": "server_vad",
        "threshold": wanted.threshold,
        "silence_duration_ms": wanted.silence_ms,
        "prefix_padding_ms": wanted.prefix_ms,
        "create_response": False,
        "interrupt_response": False,
    }


def _items(entry: Said | Called) -> list[ConversationItemParam]:
    """An entry of the history as items of a new conversation."""
    if isinstance(entry, Said):
        return [_said("user" if entry.who == "caller" else "assistant", entry.text)]
    return [
        {
            "type": "function_call",
            "call_id": entry.call_id,
            "name": entry.name,
            "arguments": entry.arguments,
        },
        {"type": "function_call_output", "call_id": entry.call_id, "output": entry.output},
    ]


def _said(role: Literal["user", "assistant"], text: str) -> ConversationItemParam:
    if role == "assistant":
        return {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": text}],
        }
    return {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}

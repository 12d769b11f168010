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
from typing import TYPE_CHECKING, Literal

from esl_controller.agents.base import Counters
from esl_controller.agents.openai.connection import Connection
from esl_controller.agents.openai.endpoint import OpenAIEndpoint
from esl_controller.agents.openai.realtime_events import EventReader
from esl_controller.call.agent import Abilities, Called, History, Said
from esl_controller.call.events import AgentEvent, AgentFailed, AgentReady, ResponseDone, Usage
from esl_controller.config.settings import AgentSettings
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

STALL_S = 8.0  # without any event, while a response is due

_APPEND = "input_audio_buffer.append"
_TRANSCRIBER = "gpt-4o-mini-transcribe"


class RealtimeModel(OpenAIEndpoint):
    """A ``Model`` that speaks the Realtime API."""

    abilities = Abilities()

    def __init__(self, settings: AgentSettings) -> None:
        super().__init__(settings, "realtime")

    def agent(self, persona: Persona, history: History, *, g711: bool) -> RealtimeAgent:
        """An agent that has not connected yet."""
        return RealtimeAgent(self, persona, history, self.audio(g711=g711))


class RealtimeAgent:
    """An ``Agent`` over one Realtime session."""

    abilities = RealtimeModel.abilities
    unreported = Usage()  # the API does not say what a response used that was cut off

    def __init__(
        self, model: RealtimeModel, persona: Persona, history: History, audio: Format
    ) -> None:
        self.input = self.output = audio
        self.counters = Counters()
        self._persona = persona
        self._history = history
        self._connection = Connection(model, audio, _APPEND, self.counters)
        self._reader = EventReader(audio, self.counters)
        self._emit: Callable[[AgentEvent], None] = lambda event: None
        self._loop = asyncio.get_running_loop()
        self._due = False  # a response was asked for and is not over
        self._last_event = 0.0
        self._stall: asyncio.TimerHandle | None = None

    # --- what a call asks for ---------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        self._connection.hear(audio)

    def respond(self, instructions: str = "") -> None:
        self._due = True
        self._last_event = self._loop.time()
        if self._stall is None:
            self._stall = self._loop.call_later(STALL_S, self._look_for_stall)
        if instructions:
            said: RealtimeResponseCreateParamsParam = {
                # They replace the session's, which say how to speak and what not to say.
                "instructions": f"{self._persona.instructions}\n\n# Do this now\n{instructions}",
                "tool_choice": "none",
                "tools": [],  # some models call a function even so
            }
            self._ask({"type": "response.create", "response": said})
        else:
            self._ask({"type": "response.create"})

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

    def _ask(self, event: RealtimeClientEventParam) -> None:
        self._connection.ask(event)

    def _look_for_stall(self) -> None:
        self._stall = None
        if not self._due:
            return
        rest = self._last_event + STALL_S - self._loop.time()
        if rest <= 0:
            reason = f"the model said nothing for {STALL_S:g} s though a response was due"
            self._connection.give_up(reason)
        else:
            self._stall = self._loop.call_later(rest, self._look_for_stall)

    # --- the connection ---------------------------------------------------------------------------

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        self._emit = on_event
        try:
            failed = await self._connection.run(
                lambda client, options: client.realtime.connect(
                    model=self._persona.model, websocket_connection_options=options
                ),
                {"type": "session.update", "session": self._session()},
                self._message,
            )
        finally:
            if self._stall is not None:
                self._stall.cancel()
        self._emit(failed)

    def _message(self, message: bytes) -> None:
        self._last_event = self._loop.time()
        for event in self._reader.read(message):
            match event:
                case AgentReady():
                    if not self._connection.confirm(self._past()):
                        continue
                case AgentFailed(reason, permanent):
                    self._connection.give_up(reason, permanent=permanent)
                    continue
                case ResponseDone():
                    self._due = False
            self._emit(event)

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
            "transcription": {
                "model": _TRANSCRIBER,
                "language": persona.language.partition("-")[0],
            },
            "turn_detection": _turn_detection(persona.turn_detection),
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

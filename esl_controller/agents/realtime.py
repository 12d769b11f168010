"""The OpenAI Realtime API (GA), or any endpoint that speaks it, through the ``openai`` package.

Control events go out as the package's typed parameters and are read as plain JSON
(realtime_events.py). Audio takes the short way both ways (a formatted ``append``, ``orjson`` of a
delta), because the typed way costs half of the controller's CPU time (audio.md).

Who speaks when is decided by the call's core, not by the server: ``create_response`` and
``interrupt_response`` are off, so that a cough neither cancels a reply nor calls for one.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import ssl
from collections import deque
from collections.abc import Callable
from typing import Any, Literal, cast
from urllib.parse import urlsplit

from openai import AsyncOpenAI, OpenAIError
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import (
    ConversationItemParam,
    RealtimeClientEventParam,
    RealtimeSessionCreateRequestParam,
)
from openai.types.realtime.realtime_audio_config_input_param import RealtimeAudioConfigInputParam
from openai.types.realtime.realtime_audio_formats_param import RealtimeAudioFormatsParam
from openai.types.realtime.realtime_audio_input_turn_detection_param import (
    RealtimeAudioInputTurnDetectionParam,
)
from openai.types.realtime.realtime_response_create_params_param import (
    RealtimeResponseCreateParamsParam,
)
from openai.types.websocket_connection_options import WebSocketConnectionOptions
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from esl_controller.agents.base import (
    Abilities,
    Called,
    Counters,
    History,
    Persona,
    Said,
    SemanticVad,
    ServerVad,
)
from esl_controller.agents.realtime_events import EventReader
from esl_controller.agents.wire import ModelConnection
from esl_controller.events import AgentEvent, AgentFailed, AgentReady, ResponseDone
from esl_controller.settings import AgentSettings
from media.frame import PCMU, Format, pcm

PCM = pcm(24000)  # the only linear format of the API
BACKLOG_MS = 5000  # of caller's audio, while the model connects or its network hesitates
CONTROL_LIMIT = 256  # control events that wait; more means that the model takes nothing any more
STALL_S = 8.0  # without any event, while a response is due
MAX_MESSAGE = 16 << 20  # bytes; a delta has some kilobytes

_TRANSCRIBER = "gpt-4o-mini-transcribe"

# What the first connection would import: 30 ms, in which the clock of all calls would stand still.
_IMPORTED_LATE = ("openai.lib._websocket", "anyio._backends._asyncio")

_HINTS = {
    401: "the key was refused: check OPENAI_API_KEY",
    403: "the key has no access to this model",
    404: "no such model or endpoint: check [agent] model and base_url",
    429: "too many requests, or the quota is used up",
}


_PERMANENT = (400, 401, 403, 404)


class RealtimeModel:
    """The endpoint that the agents of all calls share: one client, one TLS context."""

    abilities = Abilities()

    def __init__(self, settings: AgentSettings, base_url: str) -> None:
        self.settings = settings
        for name in _IMPORTED_LATE:
            with contextlib.suppress(ImportError):
                importlib.import_module(name)
        # The client insists on a key, also for an endpoint that asks for none.
        key = settings.api_key.get_secret_value() or "none"
        self.client = AsyncOpenAI(api_key=key, base_url=base_url or None, max_retries=0)
        self._options: dict[str, Any] = {
            "max_size": MAX_MESSAGE,
            "compression": None,
            "open_timeout": None,  # the agent has its own limit
            "close_timeout": 0.3,  # the call is over: nobody waits for a goodbye
        }
        if urlsplit(base_url).hostname in ("127.0.0.1", "localhost", "::1"):
            self._options["proxy"] = None  # no proxy leads to this machine
        if not base_url.startswith("http:"):
            self._options["ssl"] = (
                ssl.create_default_context()
            )  # takes 20 ms: once, not for each call

    def options(self, make_wire: Callable[..., ModelConnection]) -> WebSocketConnectionOptions:
        """Options of a connection; ``websockets.connect`` knows more than the package's type."""
        own = {**self._options, "create_connection": make_wire}
        return cast(WebSocketConnectionOptions, own)

    def agent(self, persona: Persona, history: History, *, g711: bool) -> RealtimeAgent:
        """An agent for one call; ``g711``: whether that is the caller's own codec."""
        audio = self.settings.audio
        format_ = PCMU if audio == "pcmu" or (audio == "auto" and g711) else PCM
        return RealtimeAgent(self, persona, history, format_)

    async def close(self) -> None:
        """Free the client."""
        await self.client.close()


class RealtimeAgent:
    """An ``Agent`` over one Realtime session."""

    abilities = RealtimeModel.abilities

    def __init__(
        self, model: RealtimeModel, persona: Persona, history: History, audio: Format
    ) -> None:
        self.input = self.output = audio
        self.counters = Counters()
        self._model = model
        self._persona = persona
        self._history = history
        self._reader = EventReader(self.counters)
        self._control: deque[RealtimeClientEventParam] = deque()
        self._audio: deque[bytes] = deque()
        self._audio_ms = 0.0
        self._ready = False
        self._wire: ModelConnection | None = None
        self._limit: asyncio.Timeout
        self._wake = asyncio.Event()
        self._emit: Callable[[AgentEvent], None] = lambda event: None
        self._failure = ""
        self._permanent = False
        self._loop = asyncio.get_running_loop()
        self._due = False  # a response that was asked for and is not over
        self._last_event = 0.0
        self._stall: asyncio.TimerHandle | None = None

    # --- what a call asks for ---------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        straight = self._ready and not self._audio and not self._control
        if straight and self._wire is not None and self._wire.send_now(_append(audio)):
            self.counters.appends += 1
            return
        self._audio.append(audio)
        self._audio_ms += self.input.ms(len(audio))
        while self._audio_ms > BACKLOG_MS:
            oldest = self.input.ms(len(self._audio.popleft()))
            self._audio_ms -= oldest
            self.counters.dropped_ms += oldest
        self._wake.set()

    def respond(self, instructions: str = "") -> None:
        self._due = True
        self._last_event = self._loop.time()
        if self._stall is None:
            self._stall = self._loop.call_later(STALL_S, self._look_for_stall)
        if instructions:
            said: RealtimeResponseCreateParamsParam = {
                "instructions": instructions,
                "tool_choice": "none",
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

    def tool_result(self, call: Called) -> None:
        for item in _items(call)[call.call_id in self._reader.calls :]:
            self._ask({"type": "conversation.item.create", "item": item})

    def tell(self, text: str) -> None:
        self._ask({"type": "conversation.item.create", "item": _said("user", text)})

    def _ask(self, event: RealtimeClientEventParam) -> None:
        if len(self._control) < CONTROL_LIMIT:
            self._control.append(event)
            self._wake.set()
        else:
            self._give_up("the model takes nothing any more")

    def _give_up(self, reason: str) -> None:
        """Close the connection; ``run`` then ends, and tells ``reason``."""
        self._failure = self._failure or reason
        self._wake.set()

    def _look_for_stall(self) -> None:
        self._stall = None
        if not self._due or not self._ready:
            return
        rest = self._last_event + STALL_S - self._loop.time()
        if rest <= 0:
            self._give_up(f"the model said nothing for {STALL_S:g} s though a response was due")
        else:
            self._stall = self._loop.call_later(rest, self._look_for_stall)

    # --- the connection ---------------------------------------------------------------------------

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        self._emit = on_event
        patience = self._model.settings.connect_timeout_s
        reason = "the model closed the connection"
        try:
            async with asyncio.timeout(patience) as self._limit:
                manager = self._model.client.realtime.connect(
                    model=self._persona.model,
                    websocket_connection_options=self._model.options(self._make_wire),
                )
                async with manager as connection:
                    await self._live(connection)
        except TimeoutError:
            reason = f"the model was not ready within {patience:g} s"
        except InvalidStatus as error:
            status = error.response.status_code
            hint = _HINTS.get(status, "")
            self._permanent = status in _PERMANENT
            reason = f"the model refused the connection: HTTP {status}{hint and '; ' + hint}"
        except ConnectionClosed as error:
            close = error.rcvd
            told = f"{close.code} {close.reason}".strip() if close else "without a word"
            reason = f"the model closed the connection: {told}"
        except (OpenAIError, WebSocketException, OSError, EOFError) as error:
            reason = f"no connection to the model: {error or type(error).__name__}"
        finally:
            self._ready = False
            if self._stall is not None:
                self._stall.cancel()
        self._emit(AgentFailed(self._failure or reason, self._permanent))

    def _make_wire(self, *args: Any, **kwargs: Any) -> ModelConnection:
        self._wire = ModelConnection(*args, **kwargs)
        return self._wire

    async def _live(self, connection: AsyncRealtimeConnection) -> None:
        """Set the session up, then talk until the connection ends, by raising ConnectionClosed."""
        assert self._wire is not None
        self._wire.on_message = self._message
        sender = asyncio.create_task(self._send_all(connection))
        try:
            await connection.send({"type": "session.update", "session": self._session()})
            while True:
                # Only what came before ``on_message`` was set, or in fragments.
                self._message(await connection.recv_bytes())
        finally:
            sender.cancel()
            (outcome,) = await asyncio.gather(sender, return_exceptions=True)
            if isinstance(outcome, Exception):
                raise outcome

    async def _send_all(self, connection: AsyncRealtimeConnection) -> None:
        """Send what could not be sent at once, control before audio, until the connection ends."""
        with contextlib.suppress(ConnectionClosed, OpenAIError):  # the reader sees it too
            while not self._failure:
                await self._wake.wait()
                self._wake.clear()
                while self._ready and self._control:
                    await connection.send(self._control.popleft())
                while self._ready and self._audio:
                    audio = b"".join(self._audio)
                    self._audio.clear()
                    self._audio_ms = 0.0
                    self.counters.appends += 1
                    await connection.send_raw(_append(audio).decode())
            await connection.close()

    def _message(self, message: bytes) -> None:
        self._last_event = self._loop.time()
        for event in self._reader.read(message):
            match event:
                case AgentReady():
                    if not self._get_ready():
                        continue
                case AgentFailed(reason, permanent):
                    self._permanent = permanent
                    self._give_up(reason)
                    continue
                case ResponseDone():
                    self._due = False
            self._emit(event)

    def _get_ready(self) -> bool:
        if self._limit.expired():
            return False
        self._limit.reschedule(None)
        for entry in reversed(self._history):
            for item in reversed(_items(entry)):
                self._control.appendleft({"type": "conversation.item.create", "item": item})
        self._ready = True
        self._wake.set()
        return True

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


def _turn_detection(wanted: ServerVad | SemanticVad) -> RealtimeAudioInputTurnDetectionParam:
    if isinstance(wanted, SemanticVad):
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
    """What was said or done before, as items of a new conversation."""
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


def _append(audio: bytes) -> bytes:
    return b'{"type":"input_audio_buffer.append","audio":"%b"}' % base64.b64encode(audio)

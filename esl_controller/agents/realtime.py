"""The OpenAI Realtime API (GA), or any endpoint that speaks it, through the ``openai`` package.

Control events go out as the package's typed parameters and are read as plain JSON, field by
field: an event that is not as expected is counted and dropped. Audio takes the short way both ways
(a formatted ``append``, ``orjson`` of a delta), because the typed way costs half of the
controller's CPU time (audio.md).
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import importlib
import ssl
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast
from urllib.parse import urlsplit

import orjson
import structlog
from openai import AsyncOpenAI, OpenAIError
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import (
    RealtimeClientEventParam,
    RealtimeSessionCreateRequestParam,
)
from openai.types.realtime.realtime_audio_formats_param import RealtimeAudioFormatsParam
from openai.types.websocket_connection_options import WebSocketConnectionOptions
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from esl_controller.agents.base import Counters
from esl_controller.agents.wire import ModelConnection
from esl_controller.events import (
    AgentAudio,
    AgentAudioDone,
    AgentEvent,
    AgentFailed,
    AgentReady,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    Transcript,
)
from esl_controller.settings import AgentSettings
from media.frame import PCMU, Format, pcm

log = structlog.stdlib.get_logger(__name__)

PCM = pcm(24000)  # the only linear format of the API
BACKLOG_MS = 5000  # of caller's audio, while the model connects or its network hesitates
CONTROL_LIMIT = 256  # control events that wait; more means that the model takes nothing any more
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


class RealtimeModel:
    """The endpoint that the agents of all calls share: one client, one TLS context."""

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

    def agent(self, *, g711: bool) -> RealtimeAgent:
        """An agent for one call; ``g711``: whether that is the caller's own codec."""
        audio = self.settings.audio
        return RealtimeAgent(self, PCMU if audio == "pcmu" or (audio == "auto" and g711) else PCM)

    async def close(self) -> None:
        """Free the client."""
        await self.client.close()


class RealtimeAgent:
    """An ``Agent`` over one Realtime session."""

    def __init__(self, model: RealtimeModel, audio: Format) -> None:
        self.input = self.output = audio
        self.counters = Counters()
        self._model = model
        self._settings = model.settings
        self._control: deque[RealtimeClientEventParam] = deque()
        self._audio: deque[bytes] = deque()
        self._audio_ms = 0.0
        self._ready = False
        self._wire: ModelConnection | None = None
        self._limit: asyncio.Timeout
        self._wake = asyncio.Event()
        self._emit: Callable[[AgentEvent], None] = lambda event: None
        self._failure = ""
        self._items: dict[str, str] = {}  # items that still get audio -> their response
        self._response = ""  # the one in flight
        self._interrupted = ""  # what still comes of it is of no use

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

    def greet(self) -> None:
        greeting = self._settings.spoken_greeting
        say = f"Greet the caller. Say exactly this, and nothing else: {greeting}"
        self._ask({"type": "response.create", "response": {"instructions": say}})

    def truncate(self, item: str, heard_ms: int) -> None:
        self._ask(
            {
                "type": "conversation.item.truncate",
                "item_id": item,
                "content_index": 0,
                "audio_end_ms": heard_ms,
            }
        )

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

    # --- the connection ---------------------------------------------------------------------------

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        self._emit = on_event
        patience = self._settings.connect_timeout_s
        reason = "the model closed the connection"
        try:
            async with asyncio.timeout(patience) as self._limit:
                manager = self._model.client.realtime.connect(
                    model=self._settings.model,
                    websocket_connection_options=self._model.options(self._make_wire),
                )
                async with manager as connection:
                    await self._live(connection)
        except TimeoutError:
            reason = f"the model was not ready within {patience:g} s"
        except InvalidStatus as error:
            status = error.response.status_code
            hint = _HINTS.get(status, "")
            reason = f"the model refused the connection: HTTP {status}{hint and '; ' + hint}"
        except ConnectionClosed as error:
            close = error.rcvd
            told = f"{close.code} {close.reason}".strip() if close else "without a word"
            reason = f"the model closed the connection: {told}"
        except (OpenAIError, WebSocketException, OSError, EOFError) as error:
            reason = f"no connection to the model: {error or type(error).__name__}"
        finally:
            self._ready = False
        self._emit(AgentFailed(self._failure or reason))

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

    def _session(self) -> RealtimeSessionCreateRequestParam:
        form: RealtimeAudioFormatsParam
        if self.input.encoding == "pcm":
            form = {"type": "audio/pcm", "rate": 24000}
        elif self.input.encoding == "pcmu":
            form = {"type": "audio/pcmu"}
        else:
            form = {"type": "audio/pcma"}
        return {
            "type": "realtime",
            "output_modalities": ["audio"],
            "instructions": self._settings.instructions,
            "audio": {
                "input": {
                    "format": form,
                    "transcription": {
                        "model": _TRANSCRIBER,
                        "language": self._settings.language.partition("-")[0],
                    },
                    "turn_detection": {
                        "type": "server_vad",
                        "create_response": True,
                        "interrupt_response": True,
                    },
                },
                "output": {"format": form, "voice": self._settings.voice},
            },
        }

    # --- what the model says ----------------------------------------------------------------------

    def _message(self, message: bytes) -> None:
        """Report one event of the model. What cannot be used is counted; nothing is raised."""
        event: Any = None
        with contextlib.suppress(ValueError, RecursionError):
            event = orjson.loads(message)
        if not isinstance(event, dict):
            self.counters.ignored += 1
            return
        kind = event.get("type")
        read = _READ.get(kind) if isinstance(kind, str) else None
        if read is None:
            return
        try:
            read_events = read(self, event)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            self.counters.ignored += 1
            log.warning("an event of the model cannot be used", type=kind, why=repr(error))
            return
        for told in read_events:
            self._emit(told)

    def _confirmed(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        if self._ready or self._limit.expired():
            return ()
        self._ready = True
        self._limit.reschedule(None)
        self._wake.set()
        return (AgentReady(),)

    def _audio_delta(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        item, response = _string(event, "item_id"), _string(event, "response_id")
        data = base64.b64decode(event["delta"])
        self.counters.deltas += 1
        if response == self._interrupted:
            return ()
        self._items.setdefault(item, response)
        return (AgentAudio(item, data),)

    def _audio_done(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        item = _string(event, "item_id")
        self._items.pop(item, None)
        return (AgentAudioDone(item),)

    def _response_created(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        self._response = _string(event["response"], "id")
        return (ResponseStarted(self._response),)

    def _response_done(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        response = event["response"]
        response_id, status = _string(response, "id"), _string(response, "status")
        details = response.get("status_details")
        reason = ""
        if isinstance(details, dict) and isinstance(details.get("error"), dict):
            reason = str(details["error"].get("message") or details["error"].get("code"))[:500]
        if self._response == response_id:
            self._response = ""
        # A cancelled response does not say that its audio is done.
        open_items = [item for item, of in self._items.items() if of == response_id]
        for item in open_items:
            del self._items[item]
        return [*map(AgentAudioDone, open_items), ResponseDone(response_id, status, reason)]

    def _speech_started(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        started = SpeechStarted(int(event["audio_start_ms"]))
        # The server cancels the response (interrupt_response); its last deltas may be on the way.
        self._interrupted = self._response
        return (started,)

    def _speech_stopped(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (SpeechStopped(int(event["audio_end_ms"])),)

    def _heard(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (Transcript("caller", _string(event, "item_id"), _string(event, "transcript")),)

    def _said(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (Transcript("agent", _string(event, "item_id"), _string(event, "transcript")),)

    def _error(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        error = event["error"]
        told = f"{error.get('code') or error.get('type')}: {error.get('message')}"[:500]
        self.counters.errors += 1
        log.warning("the model reports an error", error=told, param=error.get("param"))
        if not self._ready:
            self._give_up(f"the model refused the session: {told}")
        return ()


def _append(audio: bytes) -> bytes:
    return b'{"type":"input_audio_buffer.append","audio":"%b"}' % base64.b64encode(audio)


def _string(event: Mapping[str, Any], key: str) -> str:
    value = event[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is no string")
    return value


_READ: dict[str, Callable[[RealtimeAgent, Mapping[str, Any]], Sequence[AgentEvent]]] = {
    "session.updated": RealtimeAgent._confirmed,
    "response.output_audio.delta": RealtimeAgent._audio_delta,
    "response.output_audio.done": RealtimeAgent._audio_done,
    "response.created": RealtimeAgent._response_created,
    "response.done": RealtimeAgent._response_done,
    "input_audio_buffer.speech_started": RealtimeAgent._speech_started,
    "input_audio_buffer.speech_stopped": RealtimeAgent._speech_stopped,
    "conversation.item.input_audio_transcription.completed": RealtimeAgent._heard,
    "response.output_audio_transcript.done": RealtimeAgent._said,
    "error": RealtimeAgent._error,
}

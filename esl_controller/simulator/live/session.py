"""One client's session with the stand-in: its events in, the model's events out."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Any, Final

from aiohttp import WSMsgType, web

from esl_controller.simulator.model.behaviour import Behaviour, ModelFaults
from esl_controller.simulator.model.channel import Channel
from esl_controller.simulator.model.listening import InputAudio, decode_append
from esl_controller.simulator.model.response import Utterance
from esl_controller.simulator.model.validation import Event, ProtocolError
from media.frame import Format
from media.speech import VoiceActivity, VoiceStarted

from .backend import Backend
from .config import LiveConfig
from .protocol import APPEND, check_client_event, error_body
from .record import LiveRecord
from .voice import Voice

_SESSION_S: Final = 3600
_USAGE_EVERY_MS: Final = 5000
_WORD_MS: Final = 400  # of the caller's speech
_ANY: Final = Format("pcm", 24_000)


class LiveSession:
    """A session and its record. Made by LiveStandIn; read by tests and benchmarks.

    The caller's audio is its clock: as much as it hears, it speaks, or sends as silence.
    """

    def __init__(
        self,
        ws: web.WebSocketResponse,
        request: web.Request,
        behaviour: Behaviour,
        faults: ModelFaults,
        greeting: Callable[[Format], Utterance],
        *,
        acknowledge: bool,
    ) -> None:
        self._ids = count(1)
        self._suffix = secrets.token_hex(6)
        self.id = self._new_id("live")
        self.faults = faults
        self.record = LiveRecord(full=behaviour.record)
        self.closed = asyncio.Event()
        self.config: LiveConfig | None = None
        self.backend: Backend
        self._behaviour = behaviour
        self._greeting = greeting
        self._acknowledge = acknowledge
        self._ws = ws
        self._channel = Channel(ws, request.transport, faults, self.record, self._new_id)
        self._input: InputAudio
        self._voice: Voice
        self._muted = False
        self._spoken_bytes = 0
        self._spoken_ms = 0.0  # of the utterance
        self._speaking = False  # the caller
        self._turn_ms = 0
        self._word_ms = 0
        self._heard = ""
        self._turn: Utterance | None = None
        self._due: deque[tuple[int, Utterance | None]] = deque()
        """What it is going to react to: when, and with what; None: as it greets."""
        self._script = list(behaviour.script)
        self._handlers: dict[str, Callable[[Event], Awaitable[None]]] = {
            "session.start": self._start,
            "session.close": self._close,
            "session.input_audio.mute": self._mute,
            "session.input_audio.unmute": self._unmute,
            "session.instructions.append": self._append,
            "session.thinking.append": self._append,
            "session.commentary.append": self._append,
            "response.item.create": self._result,
            "response.create": self._go_on,
        }

    @property
    def instructions(self) -> str:
        """What the client wants the model to be; empty before session.start."""
        return str(self.config.body.get("instructions") or "") if self.config else ""

    async def run(self) -> None:
        """Until the client, a fault or the stand-in ends it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                expiry = tasks.create_task(self._expire()) if self.faults.expire_s else None
                async for message in self._ws:
                    if message.type is WSMsgType.TEXT:
                        await self._receive(message.data)
                if expiry is not None:
                    expiry.cancel()
        finally:
            self.closed.set()

    async def close(self, code: int, reason: str) -> None:
        """End the session from the server's side."""
        await self._channel.close(code, reason)

    async def _receive(self, text: str) -> None:
        event_id = None
        try:
            event = _parse(text)
            event_id = event["event_id"] if isinstance(event.get("event_id"), str) else None
            if event.get("type") == APPEND:
                fmt = self.config.format if self.config else _ANY
                data = decode_append(event.get("audio"), fmt)
            else:
                self.record.event(event)
                check_client_event(event)
            if self.config is None and event["type"] != "session.start":
                raise ProtocolError("session_not_started", "Send session.start first.", "type")
        except ProtocolError as error:
            self.record.violations += 1
            await self._channel.emit("error", error=error_body(error, event_id))
            return
        try:
            if event["type"] == APPEND:
                await self._hear(data)
            elif event["type"] in self._handlers:
                await self._handlers[event["type"]](event)
            else:
                raise ProtocolError("not_supported", f"The stand-in has no {event['type']}.")
        except ProtocolError as error:
            self.record.refusals += 1
            await self._channel.emit("error", error=error_body(error, event_id))

    # The session

    async def _start(self, event: Event) -> None:
        if self.config is not None or self.faults.refuse_update:
            raise ProtocolError("invalid_value", "This session cannot be started.", "session")
        expires_at = int(time.time()) + int(self.faults.expire_s or _SESSION_S)
        self.config = LiveConfig(self.id, event["session"], expires_at)
        fmt = self.config.format
        self._input = InputAudio(fmt, VoiceActivity(fmt.rate))
        self._voice = Voice(fmt, self._behaviour.delta_ms)
        self.backend = Backend(self._channel, self.config.backend_model, self._new_id)
        self.record.restart(fmt)
        await self._emit("session.started", event, session=self.config.body)

    async def _close(self, event: Event) -> None:
        await self._end("close_requested", event)

    async def _expire(self) -> None:
        await asyncio.sleep(self.faults.expire_s or 0)
        await self._end("expired", {})

    async def _end(self, reason: str, event: Event) -> None:
        if self.config is not None:
            usage = {"seconds": self._input.end_ms / 1000}
            await self._emit(
                "session.closed", event, reason=reason, session=self.config.body, usage=usage
            )
        await self._channel.close(1000, reason)

    async def _append(self, event: Event) -> None:
        """Context; of commentary, the stand-in speaks: what it always says first."""
        kind = event["type"] + "ed"
        now = self._input.end_ms
        await self._emit(kind, event, start_ms=now, end_ms=now)
        if kind == "session.commentary.appended":
            self._due.append((now + self._behaviour.think_ms, None))

    async def _emit(self, kind: str, cause: Event, **fields: Any) -> None:
        """Send an event that answers the client's."""
        if isinstance(cause.get("event_id"), str):
            fields["client_event_id"] = cause["event_id"]
        await self._channel.emit(kind, **fields)

    # The caller's audio

    async def _mute(self, event: Event) -> None:
        self._muted = True
        await self._emit("session.input_audio.muted", event)

    async def _unmute(self, event: Event) -> None:
        self._muted = False
        await self._emit("session.input_audio.unmuted", event)

    async def _hear(self, data: bytes) -> None:
        self.record.append(data)
        before = self._input.end_ms
        heard = self._input.format.silence(len(data)) if self._muted else data
        for found in self._input.append(heard):
            if isinstance(found, VoiceStarted):
                await self._speech_started(found.at_ms)
            else:
                await self._speech_stopped(found.at_ms)
        if self._speaking and self._input.end_ms - self._word_ms >= _WORD_MS:
            await self._hear_word(" bla", self._input.end_ms)
        if before // _USAGE_EVERY_MS != self._input.end_ms // _USAGE_EVERY_MS:
            await self._channel.emit(
                "session.usage.updated",
                usage={"seconds": self._input.end_ms / 1000},
                context_window={"usage_ratio": 0.01},
            )
        while self._due and self._input.end_ms >= self._due[0][0]:
            _, words = self._due.popleft()
            await self._act(words)
        await self._speak()

    async def _speech_started(self, at_ms: int) -> None:
        self._turn_ms = self._word_ms = at_ms
        self._speaking = True
        self._due.clear()
        self._voice.fall_silent()
        self.record.speech(started=True)
        self._heard = ""
        await self._hear_word("(bla", self._input.end_ms)

    async def _speech_stopped(self, at_ms: int) -> None:
        self._speaking = False
        self.record.speech(started=False)
        self.record.turns += 1
        await self._hear_word(f", {(at_ms - self._turn_ms) / 1000:.1f} s)", at_ms)
        audio = self._input.take(self._turn_ms, at_ms)
        delta_ms = self._behaviour.delta_ms
        self._turn = Utterance.of(audio, self._input.format, self._heard, delta_ms)
        self._due.append((at_ms + self._behaviour.think_ms, self._turn))

    async def _hear_word(self, word: str, end_ms: int) -> None:
        self._heard += word
        start_ms, self._word_ms = self._word_ms, max(self._word_ms, end_ms)
        await self._words("input", word, start_ms, self._word_ms)

    async def _words(self, side: str, words: str, start_ms: int, end_ms: int) -> None:
        await self._channel.emit(
            f"session.{side}_transcript.delta", delta=words, start_ms=start_ms, end_ms=end_ms
        )

    # What it does about it

    async def _act(self, words: Utterance | None) -> None:
        """Call what the script wants now, or speak."""
        due = [scripted for scripted in self._script if scripted.after_turn == self.record.turns]
        self._script = [scripted for scripted in self._script if scripted not in due]
        if due:
            await self.backend.call(due, self._input.end_ms)
        if not due or self._acknowledge:
            await self._say(words)

    async def _say(self, words: Utterance | None) -> None:
        if not await self._channel.disturb(0):
            assert self.config is not None
            self._spoken_ms = 0.0
            said = words or self._greeting(self.config.format)
            self._voice.say(self._new_id("utterance"), said)

    async def _result(self, event: Event) -> None:
        self.backend.take_result(event["item"])

    async def _go_on(self, event: Event) -> None:
        await self.backend.go_on()
        self._due.append((self._input.end_ms + self._behaviour.think_ms, self._turn))

    async def _speak(self) -> None:
        """As many deltas as there was audio of the caller."""
        fmt = self._input.format
        while fmt.ms(self._spoken_bytes + self._voice.delta_bytes) <= self._input.end_ms:
            at_ms = int(fmt.ms(self._spoken_bytes))
            self._spoken_bytes += self._voice.delta_bytes
            chunk = self._voice.next()
            if chunk.words:
                await self._words("output", chunk.words, at_ms, at_ms + self._behaviour.delta_ms)
            delta = base64.b64encode(chunk.audio).decode()
            kind = "session.output_audio.delta"
            await self._channel.emit_formatted(kind, f'{{"type":"{kind}","delta":"{delta}"}}')
            if chunk.utterance:
                self.record.delta(chunk.utterance, fmt, chunk.audio)
                self._spoken_ms += self._behaviour.delta_ms
                if await self._channel.disturb(self._spoken_ms):
                    return

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{self._suffix}{next(self._ids):06}"


def _parse(text: str) -> Event:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("invalid_json", "The event is not valid JSON.") from None
    if not isinstance(event, dict):
        raise ProtocolError("invalid_json", "The event is not a JSON object.")
    return event

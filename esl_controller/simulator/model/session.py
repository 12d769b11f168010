"""One client's session with the stand-in: its events in, the model's events out."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from collections.abc import Awaitable, Callable
from itertools import count
from typing import Final

from aiohttp import WSMsgType, web

from media.frame import Format, decode, encode
from media.resample import convert
from media.speech import VoiceStarted

from .behaviour import Behaviour, ModelFaults, ScriptedCall
from .channel import Channel
from .config import SessionConfig
from .conversation import Conversation
from .listening import InputAudio, decode_append
from .record import Record
from .response import Pacing, Response, Utterance
from .validation import APPEND, Event, ProtocolError, check

_SESSION_S: Final = 3600
_LEAST_COMMIT_MS: Final = 100
_FAILURE: Final = {"type": "server_error", "code": "overloaded", "message": "Try again."}
_NOT_SUPPORTED: Final = ("conversation", "input", "audio", "prompt")


class ModelSession:
    """A session and its record. Made by ModelStandIn; read by tests and benchmarks."""

    def __init__(
        self,
        ws: web.WebSocketResponse,
        request: web.Request,
        behaviour: Behaviour,
        faults: ModelFaults,
        greeting: Callable[[Format], Utterance],
    ) -> None:
        self._ids = count(1)
        self._suffix = secrets.token_hex(6)
        self.id = self._new_id("sess")
        self.faults = faults
        self.record = Record(full=behaviour.record)
        self.closed = asyncio.Event()
        self.config = SessionConfig(
            self.id, request.query["model"], int(time.time()) + int(faults.expire_s or _SESSION_S)
        )
        self.conversation = Conversation(self._new_id)
        self._behaviour = behaviour
        self._greeting = greeting
        self._ws = ws
        self._channel = Channel(ws, request.transport, faults, self.record, self._new_id)
        self._input = InputAudio(self.config.input_format, self.config.voice_activity())
        self._turn: tuple[str, int] | None = None
        self._last_turn: tuple[bytes, Format] | None = None
        self._script = list(behaviour.script)
        self._failures = 0
        self._greeted = False
        self._response: Response | None = None
        self._answering: asyncio.Task[None] | None = None
        self._handlers: dict[str, Callable[[Event], Awaitable[None]]] = {
            "session.update": self._update,
            "input_audio_buffer.commit": self._commit,
            "input_audio_buffer.clear": self._clear,
            "output_audio_buffer.clear": self._clear_output,
            "conversation.item.create": self._create_item,
            "conversation.item.delete": self._delete_item,
            "conversation.item.retrieve": self._retrieve_item,
            "conversation.item.truncate": self._truncate_item,
            "response.create": self._create_response,
            "response.cancel": self._cancel_response,
        }

    @property
    def instructions(self) -> str:
        """What the client wants the model to be."""
        return str(self.config.body["instructions"])

    async def run(self) -> None:
        """From session.created until the client, a fault or the stand-in ends it."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                expiry = tasks.create_task(self._expire()) if self.faults.expire_s else None
                await self._channel.emit("session.created", session=self.config.body)
                await self._read()
                for task in (expiry, self._answering):
                    if task is not None:
                        task.cancel()
        finally:
            self.closed.set()

    async def close(self, code: int, reason: str) -> None:
        """End the session from the server's side."""
        await self._channel.close(code, reason)

    async def _read(self) -> None:
        async for message in self._ws:
            if message.type is WSMsgType.TEXT:
                await self._receive(message.data)
            elif message.type is WSMsgType.BINARY:
                self.record.violations += 1
                await self._error(ProtocolError("invalid_json", "Events are text messages."), None)

    async def _receive(self, text: str) -> None:
        event_id = None
        try:
            event = _parse(text)
            event_id = event["event_id"] if isinstance(event.get("event_id"), str) else None
            if event.get("type") == APPEND:
                data = decode_append(event.get("audio"), self._input.format)
            else:
                self.record.event(event)
                check(event)
        except ProtocolError as error:
            self.record.violations += 1
            await self._error(error, event_id)
            return
        try:
            if event["type"] == APPEND:
                await self._hear(data)
            else:
                await self._handlers[event["type"]](event)
        except ProtocolError as error:
            self.record.refusals += 1
            await self._error(error, event_id)

    async def _error(self, error: ProtocolError, event_id: str | None) -> None:
        await self._channel.emit("error", error=error.body(event_id))

    async def _expire(self) -> None:
        await asyncio.sleep(self.faults.expire_s or 0)
        message = "Your session hit the maximum duration."
        await self._error(ProtocolError("session_expired", message), None)
        await self._channel.close(1001, "session_expired")

    # The session

    async def _update(self, event: Event) -> None:
        if self.faults.refuse_update:
            raise ProtocolError("invalid_value", "This session takes no update.", "session")
        fmt, detection = self.config.input_format, self.config.turn_detection
        self.config.update(event["session"], has_spoken=self._greeted)
        if self.config.input_format != fmt:
            self._input = InputAudio(
                self.config.input_format, self.config.voice_activity(), self._input.end_ms
            )
            self.record.restart(self.config.input_format)
        elif self.config.turn_detection != detection:
            self._input.detect(self.config.voice_activity())
        await self._channel.emit("session.updated", session=self.config.body)

    # The caller's audio

    async def _hear(self, data: bytes) -> None:
        self.record.append(data)
        for found in self._input.append(data):
            if isinstance(found, VoiceStarted):
                await self._speech_started(found.at_ms)
            else:
                await self._speech_stopped(found.at_ms)

    async def _speech_started(self, at_ms: int) -> None:
        self._turn = self._new_id("item"), at_ms
        self.record.speech(started=True)
        await self._channel.emit(
            "input_audio_buffer.speech_started", audio_start_ms=at_ms, item_id=self._turn[0]
        )
        if self._detection("interrupt_response"):
            await self._stop_answer("turn_detected")

    async def _speech_stopped(self, at_ms: int) -> None:
        item_id, start_ms = self._turn or (self._new_id("item"), 0)
        self._turn = None
        self.record.speech(started=False)
        await self._channel.emit(
            "input_audio_buffer.speech_stopped", audio_end_ms=at_ms, item_id=item_id
        )
        await self._end_turn(item_id, self._input.take(start_ms, at_ms))
        if self._detection("create_response"):
            await self._answer(None, calls=self.config.body["tool_choice"] != "none")

    def _detection(self, name: str) -> bool:
        detection = self.config.turn_detection
        return bool(detection and detection[name])

    async def _commit(self, event: Event) -> None:
        if self._input.pending_ms < _LEAST_COMMIT_MS:
            raise ProtocolError(
                "input_audio_buffer_commit_empty",
                "Error committing input audio buffer: buffer too small. Expected at least "
                f"{_LEAST_COMMIT_MS}ms of audio, but buffer only has "
                f"{self._input.pending_ms:.2f}ms of audio.",
            )
        item_id = self._turn[0] if self._turn else self._new_id("item")
        self._turn = None
        await self._end_turn(item_id, self._input.take_all())

    async def _end_turn(self, item_id: str, audio: bytes) -> None:
        fmt = self._input.format
        self._last_turn = audio, fmt
        self.record.turns += 1
        emit = self._channel.emit
        item = self.conversation.new_item(
            "message",
            role="user",
            status="completed",
            content=[{"type": "input_audio", "transcript": None}],
        )
        item.body["id"] = item_id
        item.audio, item.format = audio, fmt
        previous = self.conversation.add(item)
        await emit("input_audio_buffer.committed", item_id=item_id, previous_item_id=previous)
        await emit("conversation.item.added", item=item.body, previous_item_id=previous)
        await emit("conversation.item.done", item=item.body, previous_item_id=previous)
        if self.config.transcribes:
            seconds = fmt.ms(len(audio)) / 1000
            text = item.body["content"][0]["transcript"] = self.transcript(seconds)
            kind = "conversation.item.input_audio_transcription"
            await emit(f"{kind}.delta", item_id=item_id, content_index=0, delta=text)
            await emit(
                f"{kind}.completed",
                item_id=item_id,
                content_index=0,
                transcript=text,
                usage={"type": "duration", "seconds": round(seconds, 3)},
            )

    async def _clear(self, event: Event) -> None:
        self._turn = None
        self._input.take_all()
        await self._channel.emit("input_audio_buffer.cleared")

    async def _clear_output(self, event: Event) -> None:
        raise ProtocolError("invalid_value", "Only for WebRTC and SIP connections.", "type")

    # The conversation

    async def _create_item(self, event: Event) -> None:
        item, previous = self.conversation.create(event["item"], event.get("previous_item_id"))
        for kind in ("conversation.item.added", "conversation.item.done"):
            await self._channel.emit(kind, item=item.body, previous_item_id=previous)

    async def _delete_item(self, event: Event) -> None:
        self.conversation.delete(event["item_id"])
        await self._channel.emit("conversation.item.deleted", item_id=event["item_id"])

    async def _retrieve_item(self, event: Event) -> None:
        item = self.conversation.get(event["item_id"])
        await self._channel.emit("conversation.item.retrieved", item=item.with_audio())

    async def _truncate_item(self, event: Event) -> None:
        where = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
        self.conversation.truncate(**where)
        await self._channel.emit("conversation.item.truncated", **where)

    # Responses

    async def _create_response(self, event: Event) -> None:
        params = event.get("response", {})
        for name in _NOT_SUPPORTED:
            if name in params:
                raise ProtocolError(
                    "not_supported", f"The stand-in does not do '{name}'.", f"response.{name}"
                )
        if params.get("output_modalities", ["audio"]) != ["audio"]:
            raise ProtocolError(
                "not_supported", "The stand-in answers in audio.", "response.output_modalities"
            )
        self._refuse_while_answering()
        choice = params.get("tool_choice", self.config.body["tool_choice"])
        await self._answer(params.get("metadata"), calls=choice != "none")

    async def _cancel_response(self, event: Event) -> None:
        wanted = event.get("response_id")
        active = self._response
        if active and wanted in (None, active.id) and await self._stop_answer("client_cancelled"):
            return
        raise ProtocolError(
            "response_cancel_not_active", "Cancellation failed: no active response found"
        )

    def _refuse_while_answering(self) -> None:
        if self._response is not None and not self._response.finished:
            raise ProtocolError(
                "conversation_already_has_active_response",
                f"Conversation already has an active response in progress: {self._response.id}. "
                "Wait until the response is finished before creating a new one.",
            )

    async def _answer(self, metadata: dict[str, str] | None, *, calls: bool) -> None:
        self._refuse_while_answering()
        if self._answering is not None:
            await asyncio.wait({self._answering})  # the closing events of the one before
        response = await self._begin(metadata)
        if not await self._channel.disturb(0):
            self._answering = self._tasks.create_task(self._think_and_speak(response, calls))

    async def _begin(self, metadata: dict[str, str] | None) -> Response:
        self._response = response = Response(
            self._channel, self.conversation, self.config, self.record, self._new_id, metadata
        )
        await response.begin()
        return response

    async def _think_and_speak(self, response: Response, may_call: bool) -> None:
        while True:
            await asyncio.sleep(self._behaviour.think_ms / 1000)
            if self._failures < self.faults.fail_responses:
                self._failures += 1
                await response.finish("failed", error=_FAILURE)
                return
            calls = self.calls_due() if may_call else []
            for scripted in calls:
                await response.call(scripted)
            if not calls:
                pacing = Pacing(self._behaviour.delta_ms, self._behaviour.pace)
                if not await response.speak(self.utterance(), pacing):
                    return
            await response.finish("completed")
            if not self._behaviour.monologue or self._turn is not None:
                return
            response = await self._begin(None)

    async def _stop_answer(self, reason: str) -> bool:
        """Cancel the response in progress, if there is one."""
        response = self._response
        if response is None or response.finished:
            return False
        if self._answering is not None:
            self._answering.cancel()
            await asyncio.wait({self._answering})
        await response.finish("cancelled", reason=reason)
        return True

    # What it does with its turn; a session of another kind may decide otherwise

    def calls_due(self) -> list[ScriptedCall]:
        """The functions to call instead of speaking."""
        due = [scripted for scripted in self._script if scripted.after_turn == self.record.turns]
        self._script = [scripted for scripted in self._script if scripted not in due]
        return due

    def utterance(self) -> Utterance:
        """What to say."""
        fmt = self.config.output_format
        if self._last_turn is None or not self._greeted or self._behaviour.speech is not None:
            self._greeted = True
            return self._greeting(fmt)
        audio, heard = self._last_turn
        if heard != fmt:
            samples = convert(decode(audio, heard.encoding), heard.rate, fmt.rate)
            audio = encode(samples, fmt.encoding)
        seconds = fmt.ms(len(audio)) / 1000
        return Utterance.of(audio, fmt, self.transcript(seconds), self._behaviour.delta_ms)

    def transcript(self, seconds: float) -> str:
        """The words of so much speech."""
        return f"({seconds:.1f} s of speech)"

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

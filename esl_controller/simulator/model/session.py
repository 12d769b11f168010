"""One client's session with the stand-in: its events in, the model's events out."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Final

from esl_controller.simulator.model.config import SessionConfig
from esl_controller.simulator.model.conversation import ConversationItems
from esl_controller.simulator.model.protocol import CLIENT_EVENTS
from esl_controller.simulator.model.response import Pacing, Response
from esl_controller.simulator.model_base.behaviour import ModelFailure
from esl_controller.simulator.model_base.listening import InputAudio
from esl_controller.simulator.model_base.session import SessionSetup, StandInSession
from esl_controller.simulator.model_base.utterance import ModelUtterance
from esl_controller.simulator.model_base.validation import ClientEvent, ProtocolError
from media.frame import Format, decode, encode
from media.resample import convert

_LEAST_COMMIT_MS: Final = 100
_FAILURE: Final = ModelFailure("server_error", "overloaded", "Try again.")
_NOT_SUPPORTED: Final = ("conversation", "input", "audio", "prompt")


class ModelSession(StandInSession):
    """A session and its record. Made by ModelStandIn; read by tests and benchmarks."""

    client_events = CLIENT_EVENTS
    confirmed_by = "session.updated"
    id_prefix = "sess"
    refuses_binary = True

    def __init__(self, setup: SessionSetup) -> None:
        super().__init__(setup)
        self.config = SessionConfig(self.id, setup.request.query["model"], self.expires_at())
        self.conversation = ConversationItems(self._new_id)
        self._input = InputAudio(self.config.input_format, self.config.voice_activity())
        self._turn: tuple[str, int] | None = None
        self._last_turn: tuple[bytes, Format] | None = None
        self._failures = 0
        self._refused = 0
        self._greeted = False
        self._response: Response | None = None
        self._answering: asyncio.Task[None] | None = None
        self._handlers = {
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

    async def serve(self) -> None:
        await self._sender.emit("session.created", session=self.config.body)
        await self._read()
        if self._answering is not None:
            self._answering.cancel()

    async def expired(self) -> None:
        message = "Your session hit the maximum duration."
        await self._error(ProtocolError("session_expired", message), None)
        await self._sender.close(1001, "session_expired")

    def input_format(self) -> Format:
        return self._input.format

    # The session

    async def _update(self, event: ClientEvent) -> None:
        if self.faults.refuse_update:
            raise ProtocolError("invalid_value", "This session takes no update.", "session")
        fmt, detection = self.config.input_format, self.config.turn_detection
        before = self.config.body
        self.config.update(event["session"], has_spoken=self._greeted)
        if self.faults.refuse_transcription and self.config.transcribes:
            self.config.body = before
            param = "session.audio.input.transcription.model"
            raise ProtocolError("invalid_value", f"Invalid value for '{param}'.", param)
        if self.faults.confirm_audio:
            for side in ("input", "output"):
                self.config.insist(side, self.faults.confirm_audio, self.faults.confirm_rate)
        if self.config.input_format != fmt:
            self._input = InputAudio(
                self.config.input_format, self.config.voice_activity(), self._input.end_ms
            )
            self.record.restart(self.config.input_format)
        elif self.config.turn_detection != detection:
            self._input.detect(self.config.voice_activity())
        await self._sender.emit("session.updated", session=self.config.body)

    # The caller's audio

    async def hear(self, data: bytes) -> None:
        await self._find_speech(data)

    async def speech_started(self, at_ms: int) -> None:
        self._turn = self._new_id("item"), at_ms
        await self._sender.emit(
            "input_audio_buffer.speech_started", audio_start_ms=at_ms, item_id=self._turn[0]
        )
        if self._detection("interrupt_response"):
            await self._stop_answer("turn_detected")

    async def speech_stopped(self, at_ms: int) -> None:
        item_id, start_ms = self._turn or (self._new_id("item"), 0)
        self._turn = None
        await self._sender.emit(
            "input_audio_buffer.speech_stopped", audio_end_ms=at_ms, item_id=item_id
        )
        await self._end_turn(item_id, self._input.take(start_ms, at_ms))
        if self._detection("create_response"):
            await self._answer(None, calls=self.config.body["tool_choice"] != "none")

    def _detection(self, name: str) -> bool:
        detection = self.config.turn_detection
        return bool(detection and detection[name])

    async def _commit(self, event: ClientEvent) -> None:
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
        emit = self._sender.emit
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
            if self.faults.fail_transcripts:
                item.body["content"][0]["transcript"] = None
                error = {"type": "server_error", "message": "Input transcription failed."}
                await emit(f"{kind}.failed", item_id=item_id, content_index=0, error=error)
                return
            await emit(f"{kind}.delta", item_id=item_id, content_index=0, delta=text)
            await emit(
                f"{kind}.completed",
                item_id=item_id,
                content_index=0,
                transcript=text,
                usage={"type": "duration", "seconds": round(seconds, 3)},
            )

    async def _clear(self, event: ClientEvent) -> None:
        self._turn = None
        self._input.take_all()
        await self._sender.emit("input_audio_buffer.cleared")

    async def _clear_output(self, event: ClientEvent) -> None:
        raise ProtocolError("invalid_value", "Only for WebRTC and SIP connections.", "type")

    # The conversation

    async def _create_item(self, event: ClientEvent) -> None:
        item, previous = self.conversation.create(event["item"], event.get("previous_item_id"))
        for kind in ("conversation.item.added", "conversation.item.done"):
            await self._sender.emit(kind, item=item.body, previous_item_id=previous)

    async def _delete_item(self, event: ClientEvent) -> None:
        self.conversation.delete(event["item_id"])
        await self._sender.emit("conversation.item.deleted", item_id=event["item_id"])

    async def _retrieve_item(self, event: ClientEvent) -> None:
        item = self.conversation.get(event["item_id"])
        await self._sender.emit("conversation.item.retrieved", item=item.with_audio())

    async def _truncate_item(self, event: ClientEvent) -> None:
        where = {key: event[key] for key in ("item_id", "content_index", "audio_end_ms")}
        self.conversation.truncate(**where)
        await self._sender.emit("conversation.item.truncated", **where)

    # Responses

    async def _create_response(self, event: ClientEvent) -> None:
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
        if self._refused < self.faults.refuse_requests:
            self._refused += 1
            failure = self.faults.failure or _FAILURE
            raise ProtocolError(failure.code, failure.message, kind=failure.type)
        self._refuse_while_answering()
        choice = params.get("tool_choice", self.config.body["tool_choice"])
        await self._answer(params.get("metadata"), calls=choice != "none")

    async def _cancel_response(self, event: ClientEvent) -> None:
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
        if not await self._sender.disturb(0):
            self._answering = self._tasks.create_task(self._think_and_speak(response, calls))

    async def _begin(self, metadata: dict[str, str] | None) -> Response:
        self._response = response = Response(
            self._sender, self.conversation, self.config, self.record, self._new_id, metadata
        )
        await response.begin()
        return response

    async def _think_and_speak(self, response: Response, may_call: bool) -> None:
        while True:
            await asyncio.sleep(self._behaviour.think_ms / 1000)
            if self._failures < self.faults.fail_responses:
                self._failures += 1
                error = asdict(self.faults.failure or _FAILURE)
                await response.finish("failed", error=error)
                return
            calls = self.calls_due() if may_call else []
            for scripted in calls:
                await response.call(scripted)
            if not calls:
                pacing = Pacing(self._behaviour.delta_ms, self._behaviour.pace)
                if not await response.speak(self.utterance(), pacing):
                    return
            await response.finish("completed")
            if self.faults.freeze:
                self._sender.freeze()
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

    # What it does with its turn; subclasses may decide otherwise

    def utterance(self) -> ModelUtterance:
        """What to say."""
        fmt = self.config.output_format
        if self._last_turn is None or not self._greeted or self._behaviour.speech is not None:
            self._greeted = True
            said = self._greeting(fmt)
            if not self.faults.odd_deltas:
                return said
            audio = b"".join(said.chunks)
            delta_ms = self._behaviour.delta_ms
            return ModelUtterance.of(audio, fmt, said.transcript, delta_ms, odd=True)
        audio, heard = self._last_turn
        if heard != fmt:
            samples = convert(decode(audio, heard.encoding), heard.rate, fmt.rate)
            audio = encode(samples, fmt.encoding)
        seconds = fmt.ms(len(audio)) / 1000
        return ModelUtterance.of(audio, fmt, self.transcript(seconds), self._behaviour.delta_ms)

    def transcript(self, seconds: float) -> str:
        """A transcript for this much of the caller's speech."""
        return f"({seconds:.1f} s of speech)"

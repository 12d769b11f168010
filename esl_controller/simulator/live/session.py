"""One client's session with the stand-in: its events in, the model's events out."""

from __future__ import annotations

import base64
from collections import deque
from typing import Any, Final

from esl_controller.simulator.live.backend import Backend
from esl_controller.simulator.live.config import LiveConfig
from esl_controller.simulator.live.protocol import CLIENT_EVENTS
from esl_controller.simulator.live.voice import ModelVoice
from esl_controller.simulator.model_base.listening import InputAudio
from esl_controller.simulator.model_base.session import SessionSetup, StandInSession
from esl_controller.simulator.model_base.utterance import ModelUtterance
from esl_controller.simulator.model_base.validation import ClientEvent, ProtocolError
from media.frame import Format
from media.voice_activity import VoiceActivity

_USAGE_EVERY_MS: Final = 5000
_WORD_MS: Final = 400  # of the caller's speech
_ANY: Final = Format("pcm", 24_000)


class LiveSession(StandInSession):
    """A session and its record. Made by LiveStandIn; read by tests and benchmarks.

    The caller's audio is its clock: it sends as much audio as it hears, speech or silence.
    """

    client_events = CLIENT_EVENTS
    confirmed_by = "session.started"
    id_prefix = "live"
    refuses_binary = False

    def __init__(self, setup: SessionSetup, *, acknowledge: bool) -> None:
        super().__init__(setup)
        self.config: LiveConfig | None = None
        self.backend: Backend
        self._acknowledge = acknowledge
        self._refused = 0
        self._voice: ModelVoice
        self._muted = False
        self._spoken_bytes = 0
        self._spoken_ms = 0.0  # of the utterance
        self._speaking = False  # the caller
        self._turn_ms = 0
        self._word_ms = 0
        self._heard = ""
        self._turn: ModelUtterance | None = None
        self._due: deque[tuple[int, ModelUtterance | None]] = deque()
        """What it will say: when, in ms of the caller's audio, and what; None is the greeting."""
        self._handlers = {
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

    def input_format(self) -> Format:
        return self.config.format if self.config else _ANY

    def admit(self, event: ClientEvent) -> None:
        if self.config is None and event["type"] != "session.start":
            raise ProtocolError("session_not_started", "Send session.start first.", "type")

    async def expired(self) -> None:
        await self._end("expired", {})

    # The session

    async def _start(self, event: ClientEvent) -> None:
        if self.config is not None or self.faults.refuse_update:
            raise ProtocolError("invalid_value", "This session cannot be started.", "session")
        self.config = LiveConfig(self.id, event["session"], self.expires_at())
        fmt = self.config.format
        self._input = InputAudio(fmt, VoiceActivity(fmt.rate))
        self._voice = ModelVoice(fmt, self._behaviour.delta_ms)
        self.backend = Backend(self._sender, self.config.backend_model, self._new_id)
        self.record.restart(fmt)
        await self._emit("session.started", event, session=self.config.body)

    async def _close(self, event: ClientEvent) -> None:
        await self._end("close_requested", event)

    async def _end(self, reason: str, event: ClientEvent) -> None:
        if self.config is not None:
            usage = {"seconds": self._input.end_ms / 1000}
            await self._emit(
                "session.closed", event, reason=reason, session=self.config.body, usage=usage
            )
        await self._sender.close(1000, reason)

    async def _append(self, event: ClientEvent) -> None:
        """Take context. Commentary makes the stand-in speak its greeting."""
        commentary = event["type"] == "session.commentary.append"
        if commentary and self._refused < self.faults.refuse_requests:
            self._refused += 1
            raise ProtocolError("overloaded", "Try again.", kind="server_error")
        kind = event["type"] + "ed"
        now = self._input.end_ms
        await self._emit(kind, event, start_ms=now, end_ms=now)
        if commentary:
            self._due.append((now + self._behaviour.think_ms, None))

    async def _emit(self, kind: str, cause: ClientEvent, **fields: Any) -> None:
        """Send an event that answers the client's."""
        if isinstance(cause.get("event_id"), str):
            fields["client_event_id"] = cause["event_id"]
        await self._sender.emit(kind, **fields)

    # The caller's audio

    async def _mute(self, event: ClientEvent) -> None:
        self._muted = True
        await self._emit("session.input_audio.muted", event)

    async def _unmute(self, event: ClientEvent) -> None:
        self._muted = False
        await self._emit("session.input_audio.unmuted", event)

    async def hear(self, data: bytes) -> None:
        before = self._input.end_ms
        heard = self._input.format.silence(len(data)) if self._muted else data
        await self._find_speech(heard)
        if self._speaking and self._input.end_ms - self._word_ms >= _WORD_MS:
            await self._hear_word(" bla", self._input.end_ms)
        if before // _USAGE_EVERY_MS != self._input.end_ms // _USAGE_EVERY_MS:
            await self._sender.emit(
                "session.usage.updated",
                usage={"seconds": self._input.end_ms / 1000},
                context_window={"usage_ratio": 0.01},
            )
        while self._due and self._input.end_ms >= self._due[0][0]:
            _, words = self._due.popleft()
            await self._act(words)
        await self._speak()

    async def speech_started(self, at_ms: int) -> None:
        self._turn_ms = self._word_ms = at_ms
        self._speaking = True
        self._due.clear()
        self._voice.fall_silent()
        self._heard = ""
        await self._hear_word("(bla", self._input.end_ms)

    async def speech_stopped(self, at_ms: int) -> None:
        self._speaking = False
        self.record.turns += 1
        await self._hear_word(f", {(at_ms - self._turn_ms) / 1000:.1f} s)", at_ms)
        audio = self._input.take(self._turn_ms, at_ms)
        delta_ms = self._behaviour.delta_ms
        self._turn = ModelUtterance.of(audio, self._input.format, self._heard, delta_ms)
        if self.record.turns > self.faults.unanswered_turns:
            self._due.append((at_ms + self._behaviour.think_ms, self._turn))

    async def _hear_word(self, word: str, end_ms: int) -> None:
        self._heard += word
        start_ms, self._word_ms = self._word_ms, max(self._word_ms, end_ms)
        await self._words("input", word, start_ms, self._word_ms)

    async def _words(self, side: str, words: str, start_ms: int, end_ms: int) -> None:
        await self._sender.emit(
            f"session.{side}_transcript.delta", delta=words, start_ms=start_ms, end_ms=end_ms
        )

    # What it does about it

    async def _act(self, words: ModelUtterance | None) -> None:
        """Call what the script wants now, or speak."""
        due = self.calls_due()
        if due:
            await self.backend.call(due, self._input.end_ms)
        if not due or self._acknowledge:
            await self._say(words)

    async def _say(self, words: ModelUtterance | None) -> None:
        if not await self._sender.disturb(0):
            assert self.config is not None
            self._spoken_ms = 0.0
            said = words or self._greeting(self.config.format)
            self._voice.say(self._new_id("utterance"), said)

    async def _result(self, event: ClientEvent) -> None:
        self.backend.take_result(event["item"])

    async def _go_on(self, event: ClientEvent) -> None:
        await self.backend.go_on()
        self._due.append((self._input.end_ms + self._behaviour.think_ms, self._turn))

    async def _speak(self) -> None:
        """Send as much audio as the caller has sent."""
        fmt = self._input.format
        while fmt.ms(self._spoken_bytes + self._voice.delta_bytes) <= self._input.end_ms:
            at_ms = int(fmt.ms(self._spoken_bytes))
            self._spoken_bytes += self._voice.delta_bytes
            chunk = self._voice.next()
            if chunk.words:
                await self._words("output", chunk.words, at_ms, at_ms + self._behaviour.delta_ms)
            delta = base64.b64encode(chunk.audio).decode()
            kind = "session.output_audio.delta"
            await self._sender.emit_formatted(kind, f'{{"type":"{kind}","delta":"{delta}"}}')
            if chunk.utterance:
                self.record.delta(chunk.utterance, fmt, chunk.audio)
                self._spoken_ms += self._behaviour.delta_ms
                if await self._sender.disturb(self._spoken_ms):
                    return

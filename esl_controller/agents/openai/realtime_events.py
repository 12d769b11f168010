"""The events of the OpenAI Realtime API, and what they mean for a call. [core]"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pybase64
import structlog

from esl_controller.agents.base import Counters
from esl_controller.agents.messages import Reader, read, text, told
from esl_controller.call.events import (
    AgentAudio,
    AgentAudioDone,
    AgentEvent,
    AgentFailed,
    AgentReady,
    AgentText,
    CallerTranscript,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Usage,
)
from media.frame import Format

log = structlog.stdlib.get_logger(__name__)

# Errors without consequence: what we asked for had become pointless when it arrived.
_OVERTAKEN = ("response_cancel_not_active",)


class EventReader:
    """Turns messages into events. ``read`` never raises for what the model sends."""

    def __init__(self, audio: Format, counters: Counters) -> None:
        self.response = ""  # in flight
        self.calls: set[str] = set()  # tool calls that this connection made
        self._audio = audio
        self._counters = counters
        self._confirmed = False
        self._items: dict[str, str] = {}  # items that still get audio -> their response
        self._cancelled = ""  # a response whose audio and text are no longer wanted
        self._readers: Mapping[str, Reader] = {
            "session.updated": self._session_updated,
            "response.output_audio.delta": self._audio_delta,
            "response.output_audio.done": self._audio_done,
            "response.output_audio_transcript.delta": self._text_delta,
            "response.created": self._response_created,
            "response.done": self._response_done,
            "input_audio_buffer.speech_started": self._speech_started,
            "input_audio_buffer.speech_stopped": self._speech_stopped,
            "conversation.item.input_audio_transcription.completed": self._heard,
            "error": self._error,
        }

    def cancel(self) -> None:
        """Drop the audio and text that still come of the response in flight."""
        self._cancelled = self.response

    def read(self, message: bytes) -> Sequence[AgentEvent]:
        """The events in one text message, in order."""
        return read(message, self._readers, self._counters)

    def _session_updated(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        if self._confirmed:
            return ()
        self._confirmed = True
        return (AgentReady(),)

    def _audio_delta(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        item, response = text(event, "item_id"), text(event, "response_id")
        data = pybase64.b64decode(event["delta"])
        if len(data) % self._audio.sample_bytes:
            raise ValueError("half a sample")
        self._counters.deltas += 1
        if response == self._cancelled:
            return ()
        self._items.setdefault(item, response)
        return (AgentAudio(item, data),)

    def _audio_done(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        item = text(event, "item_id")
        self._items.pop(item, None)
        return (AgentAudioDone(item),)

    def _text_delta(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        if text(event, "response_id") == self._cancelled:
            return ()
        return (AgentText(text(event, "item_id"), text(event, "delta")),)

    def _response_created(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        self.response = text(event["response"], "id")
        return (ResponseStarted(self.response),)

    def _response_done(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        response = event["response"]
        response_id, status = text(response, "id"), text(response, "status")
        calls = tuple(_calls(response.get("output") or ()))
        done = ResponseDone(
            response_id, status, _reason(response), calls, _usage(response.get("usage"))
        )
        if self.response == response_id:
            self.response = ""
        self.calls.update(call.call_id for call in calls)
        # The API sends no audio.done for a cancelled response.
        open_items = [item for item, of in self._items.items() if of == response_id]
        for item in open_items:
            del self._items[item]
        return [*map(AgentAudioDone, open_items), done]

    def _speech_started(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (SpeechStarted(int(event["audio_start_ms"]), text(event, "item_id")),)

    def _speech_stopped(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (SpeechStopped(int(event["audio_end_ms"]), text(event, "item_id")),)

    def _heard(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (CallerTranscript(text(event, "item_id"), text(event, "transcript")),)

    def _error(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        error = event["error"]
        if error.get("code") in _OVERTAKEN:
            return ()
        self._counters.errors += 1
        log.warning("the model reports an error", error=told(error), param=error.get("param"))
        if self._confirmed:
            return ()
        return (AgentFailed(f"the model refused the session: {told(error)}", permanent=True),)


def _calls(output: Sequence[Mapping[str, Any]]) -> Sequence[ToolCall]:
    return [
        ToolCall(text(item, "call_id"), text(item, "name"), text(item, "arguments"))
        for item in output
        if item.get("type") == "function_call"
    ]


def _reason(response: Mapping[str, Any]) -> str:
    details = response.get("status_details")
    if isinstance(details, dict) and isinstance(details.get("error"), dict):
        error = details["error"]
        return told(error)
    return ""


def _usage(usage: object) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    into, out = usage.get("input_token_details") or {}, usage.get("output_token_details") or {}
    return Usage(
        input_text=int(into.get("text_tokens") or 0),
        input_audio=int(into.get("audio_tokens") or 0),
        cached=int(into.get("cached_tokens") or 0),
        output_text=int(out.get("text_tokens") or 0),
        output_audio=int(out.get("audio_tokens") or 0),
    )

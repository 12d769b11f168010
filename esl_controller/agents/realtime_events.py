"""The events of the OpenAI Realtime API, read field by field. [core]

An event that is not as expected is counted and dropped; an event of an unknown type is ignored.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson
import structlog

from esl_controller.agents.base import Counters
from esl_controller.events import (
    AgentAudio,
    AgentAudioDone,
    AgentEvent,
    AgentFailed,
    AgentReady,
    AgentText,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    ToolCall,
    Transcript,
    Usage,
)

log = structlog.stdlib.get_logger(__name__)

TEXT_LIMIT = 500  # characters of the model's own words in a log or a reason

# What answers a request of ours that was overtaken by what the model did meanwhile.
_OVERTAKEN = ("response_cancel_not_active",)


class EventReader:
    """Turns messages into events. ``read`` never raises for what the model sends."""

    def __init__(self, counters: Counters) -> None:
        self.response = ""  # the one in flight
        self.calls: set[str] = set()  # function calls that this connection knows
        self._counters = counters
        self._confirmed = False
        self._items: dict[str, str] = {}  # items that still get audio -> their response
        self._cancelled = ""  # what still comes of it is of no use

    def cancel(self) -> None:
        """Nothing more of the response in flight is of use."""
        self._cancelled = self.response

    def read(self, message: bytes) -> Sequence[AgentEvent]:
        """The events in one text message, in order."""
        try:
            event = orjson.loads(message)
        except (ValueError, RecursionError):
            event = None
        if not isinstance(event, dict):
            self._counters.ignored += 1
            return ()
        kind = event.get("type")
        read = _READ.get(kind) if isinstance(kind, str) else None
        if read is None:
            return ()
        try:
            return read(self, event)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            self._counters.ignored += 1
            log.warning("an event of the model cannot be used", type=kind, why=repr(error))
            return ()

    def _session_updated(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        if self._confirmed:
            return ()
        self._confirmed = True
        return (AgentReady(),)

    def _audio_delta(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        item, response = _string(event, "item_id"), _string(event, "response_id")
        data = base64.b64decode(event["delta"])
        self._counters.deltas += 1
        if response == self._cancelled:
            return ()
        self._items.setdefault(item, response)
        return (AgentAudio(item, data),)

    def _audio_done(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        item = _string(event, "item_id")
        self._items.pop(item, None)
        return (AgentAudioDone(item),)

    def _text_delta(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        if _string(event, "response_id") == self._cancelled:
            return ()
        return (AgentText(_string(event, "item_id"), _string(event, "delta")),)

    def _response_created(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        self.response = _string(event["response"], "id")
        return (ResponseStarted(self.response),)

    def _response_done(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        response = event["response"]
        response_id, status = _string(response, "id"), _string(response, "status")
        if self.response == response_id:
            self.response = ""
        # A cancelled response does not say that its audio is done.
        open_items = [item for item, of in self._items.items() if of == response_id]
        for item in open_items:
            del self._items[item]
        calls = tuple(_calls(response.get("output") or ()))
        self.calls.update(call.call_id for call in calls)
        done = ResponseDone(
            response_id, status, _reason(response), calls, _usage(response.get("usage"))
        )
        return [*map(AgentAudioDone, open_items), done]

    def _speech_started(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (SpeechStarted(int(event["audio_start_ms"]), _string(event, "item_id")),)

    def _speech_stopped(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (SpeechStopped(int(event["audio_end_ms"]), _string(event, "item_id")),)

    def _heard(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (Transcript(_string(event, "item_id"), _string(event, "transcript")),)

    def _error(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        error = event["error"]
        code = error.get("code") or error.get("type")
        if code in _OVERTAKEN:
            return ()
        told = f"{code}: {error.get('message')}"[:TEXT_LIMIT]
        self._counters.errors += 1
        log.warning("the model reports an error", error=told, param=error.get("param"))
        if self._confirmed:
            return ()
        return (AgentFailed(f"the model refused the session: {told}", permanent=True),)


def _string(event: Mapping[str, Any], key: str) -> str:
    value = event[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is no string")
    return value


def _calls(output: Sequence[Mapping[str, Any]]) -> Sequence[ToolCall]:
    return [
        ToolCall(_string(item, "call_id"), _string(item, "name"), _string(item, "arguments"))
        for item in output
        if item.get("type") == "function_call"
    ]


def _reason(response: Mapping[str, Any]) -> str:
    details = response.get("status_details")
    if isinstance(details, dict) and isinstance(details.get("error"), dict):
        error = details["error"]
        return str(error.get("message") or error.get("code"))[:TEXT_LIMIT]
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


_READ: dict[str, Callable[[EventReader, Mapping[str, Any]], Sequence[AgentEvent]]] = {
    "session.updated": EventReader._session_updated,
    "response.output_audio.delta": EventReader._audio_delta,
    "response.output_audio.done": EventReader._audio_done,
    "response.output_audio_transcript.delta": EventReader._text_delta,
    "response.created": EventReader._response_created,
    "response.done": EventReader._response_done,
    "input_audio_buffer.speech_started": EventReader._speech_started,
    "input_audio_buffer.speech_stopped": EventReader._speech_stopped,
    "conversation.item.input_audio_transcription.completed": EventReader._heard,
    "error": EventReader._error,
}

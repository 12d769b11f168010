"""The events of the OpenAI Realtime API, and what they mean for a call. [core]"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import pybase64
import structlog

from esl_controller.agents.base import Counters
from esl_controller.agents.messages import Reader, count, read, text, told
from esl_controller.agents.openai.endpoint import DIFFERENT, confirmed
from esl_controller.agents.openai.errors import LOGGED, ModelError, of_event, refused_session
from esl_controller.call.agent import Recovery, ToolCall, Usage
from esl_controller.call.agent_events import (
    AgentAudio,
    AgentAudioDone,
    AgentEvent,
    AgentFailed,
    AgentReady,
    AgentText,
    CallerTranscript,
    ReplyRefused,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
    TranscriptMissing,
)
from media.frame import Format
from media.resample import Converter

log = structlog.stdlib.get_logger(__name__)

CALLS_LIMIT = 64  # of one response; with more, the model is in a loop
ITEMS_LIMIT = 64  # that get audio at once; a reply has one or two

# Errors without consequence: what we asked for had become pointless when it arrived.
_OVERTAKEN = ("response_cancel_not_active",)
_TRANSCRIPTION = "conversation.item.input_audio_transcription"


class EventReader:
    """Turns messages into events. ``read`` never raises for what the model sends.

    ``audio``: the format that was asked for, in which the audio is reported. ``hears``: the one in
    which the model takes it. ``request``: the event id of a ``response.create`` that is not
    answered yet, or "". ``progress`` counts what has come of responses. ``transcriber``: the model
    that only writes down what the caller says: an error that names it costs no more than that.
    """

    def __init__(self, audio: Format, counters: Counters, transcriber: str = "") -> None:
        self.response = ""  # in flight
        self.calls: set[str] = set()  # tool calls that this connection made
        self.hears = audio
        self.request = ""
        self.progress = 0
        self._audio = audio
        self._speaks = audio  # the format in which the model's audio comes
        self._counters = counters
        self._transcriber = _as_word(transcriber)
        self._confirmed = False
        self._items: dict[str, Converter] = {}  # of the response in flight, if they get audio
        self._silenced = False  # the response in flight was cancelled
        self._readers: Mapping[str, Reader] = {
            "session.updated": self._session_updated,
            "response.output_audio.delta": self._audio_delta,
            "response.output_audio.done": self._audio_done,
            "response.output_audio_transcript.delta": self._text_delta,
            "response.created": self._response_created,
            "response.done": self._response_done,
            "input_audio_buffer.speech_started": self._speech_started,
            "input_audio_buffer.speech_stopped": self._speech_stopped,
            f"{_TRANSCRIPTION}.completed": self._heard,
            f"{_TRANSCRIPTION}.failed": self._not_transcribed,
            "response.output_item.added": self._sign_of_life,
            "response.function_call_arguments.delta": self._sign_of_life,
            "error": self._error,
        }

    def cancel(self) -> None:
        """Drop the audio and text that still come of the response in flight."""
        self._silenced = True

    def read(self, message: bytes) -> Sequence[AgentEvent]:
        """The events in one text message, in order."""
        return read(message, self._readers, self._counters)

    def _session_updated(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        if self._confirmed:
            return ()
        audio = (event.get("session") or {}).get("audio") or {}
        try:
            self.hears = confirmed((audio.get("input") or {}).get("format"), self._audio)
            self._speaks = confirmed((audio.get("output") or {}).get("format"), self._audio)
        except ValueError as error:
            return (AgentFailed(f"the model confirmed {error}", Recovery.NEXT_MODEL),)
        if (self.hears, self._speaks) != (self._audio, self._audio):
            asked, hears, speaks = str(self._audio), str(self.hears), str(self._speaks)
            log.warning(DIFFERENT, asked=asked, hears=hears, speaks=speaks)
        self._confirmed = True
        return (AgentReady(),)

    def _wanted(self, event: Mapping[str, Any]) -> bool:
        """Whether this belongs to the response in flight, and that was not cancelled. A response
        that is over or was cancelled is dead, whatever still comes of it."""
        return text(event, "response_id") == self.response and not self._silenced

    def _sign_of_life(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        self.progress += text(event, "response_id") == self.response
        return ()

    def _audio_delta(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        item = text(event, "item_id")
        data = pybase64.b64decode(event["delta"])
        self._counters.deltas += 1
        if not self._wanted(event):
            return ()
        self.progress += 1
        converter = self._items.get(item)
        if converter is None:
            if len(self._items) == ITEMS_LIMIT:
                self._counters.ignored += 1
                return ()
            converter = self._items[item] = Converter(self._speaks, self._audio)
        data = converter.feed(data)
        return (AgentAudio(item, data),) if data else ()

    def _audio_done(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return self._finish(text(event, "item_id"))

    def _finish(self, item: str) -> Sequence[AgentEvent]:
        converter = self._items.pop(item, None)
        if converter is None:
            return ()
        rest = converter.finish()
        audio = [AgentAudio(item, rest)] if rest and not self._silenced else []
        return [*audio, AgentAudioDone(item)]

    def _text_delta(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        if not self._wanted(event):
            return ()
        self.progress += 1
        return (AgentText(text(event, "item_id"), text(event, "delta")),)

    def _response_created(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        response = text(event["response"], "id")
        open_items = self._finish_all()
        self.response, self.request, self._silenced = response, "", False
        self.progress += 1
        return [*open_items, ResponseStarted(response)]

    def _response_done(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        response = event["response"]
        response_id, status = text(response, "id"), text(response, "status")
        calls = tuple(_calls(response.get("output")))
        error = _failure(response)
        done = ResponseDone(
            response_id,
            status,
            error.told,
            calls,
            _usage(response.get("usage")),
            error.recovery,
            error.after_s,
        )
        self.calls.update(call.call_id for call in calls)
        if self.response != response_id:
            return (done,)
        # The API sends no audio.done for a cancelled response.
        open_items = self._finish_all()
        self.response = ""
        return [*open_items, done]

    def _finish_all(self) -> list[AgentEvent]:
        return [event for item in tuple(self._items) for event in self._finish(item)]

    def _speech_started(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (SpeechStarted(count(event.get("audio_start_ms")), text(event, "item_id")),)

    def _speech_stopped(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (SpeechStopped(count(event.get("audio_end_ms")), text(event, "item_id")),)

    def _heard(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (CallerTranscript(text(event, "item_id"), text(event, "transcript")),)

    def _not_transcribed(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        return (TranscriptMissing(text(event, "item_id"), told(event["error"])),)

    def _error(self, event: Mapping[str, Any]) -> Sequence[AgentEvent]:
        given = event["error"]
        if given.get("code") in _OVERTAKEN:
            return ()
        error = of_event(given)
        self._counters.errors += 1
        if self._counters.errors <= LOGGED:
            log.warning("the model reports an error", error=error.told, param=given.get("param"))
        if self._about_transcripts(f"{given.get('param')} {error.told}"):
            return (TranscriptMissing("", error.told),)
        if not self._confirmed:
            return (refused_session(error),)
        if error.recovery in (Recovery.NEXT_MODEL, Recovery.RECONNECT):
            return (AgentFailed(f"the model: {error.told}", error.recovery, error.after_s),)
        return self._refused_reply(given, error)

    def _about_transcripts(self, told: str) -> bool:
        return "transcri" in told or self._transcriber.search(told) is not None

    def _refused_reply(self, given: Mapping[str, Any], error: ModelError) -> Sequence[AgentEvent]:
        """An error answers the ``response.create`` that waits if it names its id. One without an id
        (many servers never give one) does if it is about a response or may pass by itself."""
        answered = given.get("event_id")
        about = str(given.get("param")).startswith("response.")
        probably = about or error.recovery is Recovery.ASK_AGAIN
        if not self.request or not (answered == self.request if answered else probably):
            return ()
        self.request = ""
        return (ReplyRefused(error.told, after_s=error.after_s),)


def _as_word(name: str) -> re.Pattern[str]:
    """Finds the name of a model where it is no part of a longer one. An empty one is nowhere."""
    return re.compile(rf"(?<![\w./-]){re.escape(name)}(?![\w/-]|[.:]\w)" if name else r"(?!)")


def _calls(output: object) -> Sequence[ToolCall]:
    wanted = ("call_id", "name", "arguments")
    calls = (
        ToolCall(*(item[key] for key in wanted))
        for item in (output if isinstance(output, list) else ())
        if isinstance(item, dict)
        and item.get("type") == "function_call"
        and all(isinstance(item.get(key), str) for key in wanted)
    )
    return list(islice(calls, CALLS_LIMIT))


def _failure(response: Mapping[str, Any]) -> ModelError:
    """Why a response failed; nothing is told of one that did not."""
    details = response.get("status_details")
    if isinstance(details, dict) and isinstance(details.get("error"), dict):
        return of_event(details["error"])
    return ModelError("", Recovery.ASK_AGAIN)


def _usage(usage: object) -> Usage:
    if not isinstance(usage, dict):
        return Usage()
    into, out = usage.get("input_token_details"), usage.get("output_token_details")
    into, out = into if isinstance(into, dict) else {}, out if isinstance(out, dict) else {}
    return Usage(
        input_text=count(into.get("text_tokens")),
        input_audio=count(into.get("audio_tokens")),
        cached=count(into.get("cached_tokens")),
        output_text=count(out.get("text_tokens")),
        output_audio=count(out.get("audio_tokens")),
    )

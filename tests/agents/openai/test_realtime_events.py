"""What the model's events mean: read from the package's own types, and from nonsense."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import pytest
from openai.types import realtime
from pydantic import TypeAdapter

from esl_controller.agents.base import Counters
from esl_controller.agents.openai.realtime_events import EventReader
from esl_controller.call import events as ev
from media.frame import PCMU, pcm
from tests.agents.openai.rig import nonsense

PCM = pcm(24000)
SERVER_EVENT: TypeAdapter[Any] = TypeAdapter(realtime.RealtimeServerEvent)
SOUND = bytes(range(200)) * 2
USAGE = {
    "total_tokens": 60,
    "input_tokens": 30,
    "output_tokens": 30,
    "input_token_details": {"text_tokens": 10, "audio_tokens": 20, "cached_tokens": 5},
    "output_token_details": {"text_tokens": 4, "audio_tokens": 26},
}
CALL = {"type": "function_call", "id": "i9", "call_id": "c1", "name": "look_up", "arguments": "{}"}
MESSAGE = {"type": "message", "role": "assistant", "content": []}


@pytest.fixture
def reader() -> EventReader:
    return EventReader(PCM, Counters())


def read(reader: EventReader, kind: str, **fields: Any) -> list[ev.AgentEvent]:
    """The events in one of the model's, which is as the package types it."""
    event = {"type": kind, "event_id": "e", **fields}
    SERVER_EVENT.validate_python(event, strict=True)
    return list(reader.read(json.dumps(event).encode()))


def delta(reader: EventReader, item: str, response: str, data: bytes = SOUND) -> Sequence[Any]:
    return read(
        reader,
        "response.output_audio.delta",
        item_id=item,
        response_id=response,
        output_index=0,
        content_index=0,
        delta=base64.b64encode(data).decode(),
    )


def words(reader: EventReader, item: str, response: str) -> Sequence[Any]:
    at = {"item_id": item, "response_id": response, "output_index": 0, "content_index": 0}
    return read(reader, "response.output_audio_transcript.delta", **at, delta="Hello")


def created(reader: EventReader, response: str) -> Sequence[Any]:
    return read(reader, "response.created", response={"id": response, "status": "in_progress"})


def done(reader: EventReader, response: str, status: str = "completed", **more: Any) -> Any:
    return read(reader, "response.done", response={"id": response, "status": status, **more})


def test_a_session_is_confirmed_once(reader: EventReader) -> None:
    updated = {"session": {"type": "realtime"}}
    assert read(reader, "session.updated", **updated) == [ev.AgentReady()]
    assert read(reader, "session.updated", **updated) == []


def test_a_response_from_its_beginning_to_its_end(reader: EventReader) -> None:
    assert created(reader, "r1") == [ev.ResponseStarted("r1")]
    assert reader.response == "r1"
    assert delta(reader, "i1", "r1") == [ev.AgentAudio("i1", SOUND)]
    assert words(reader, "i1", "r1") == [ev.AgentText("i1", "Hello")]
    at = {"item_id": "i1", "response_id": "r1", "output_index": 0, "content_index": 0}
    assert read(reader, "response.output_audio.done", **at) == [ev.AgentAudioDone("i1")]
    assert done(reader, "r1") == [ev.ResponseDone("r1", "completed")]
    assert reader.response == ""


def test_what_a_response_called_and_cost(reader: EventReader) -> None:
    (event,) = done(reader, "r1", output=[MESSAGE, CALL], usage=USAGE)
    assert event.calls == (ev.ToolCall("c1", "look_up", "{}"),)
    assert event.usage == ev.Usage(
        input_text=10, input_audio=20, cached=5, output_text=4, output_audio=26
    )
    assert reader.calls == {"c1"}


def test_a_failed_response_says_why(reader: EventReader) -> None:
    details = {"type": "failed", "error": {"type": "server_error", "code": "overloaded"}}
    (event,) = done(reader, "r1", "failed", status_details=details)
    assert (event.status, event.reason) == ("failed", "overloaded")
    details = {"type": "cancelled", "reason": "turn_detected"}
    (event,) = done(reader, "r1", "cancelled", status_details=details)
    assert (event.status, event.reason) == ("cancelled", "")


def test_nothing_more_comes_of_a_cancelled_response(reader: EventReader) -> None:
    created(reader, "r1")
    delta(reader, "i1", "r1")
    reader.cancel()
    assert delta(reader, "i1", "r1") == delta(reader, "i2", "r1") == []
    assert words(reader, "i1", "r1") == []
    # It does not say that its audio is done.
    ended = [ev.AgentAudioDone("i1"), ev.ResponseDone("r1", "cancelled")]
    assert done(reader, "r1", "cancelled") == ended
    assert delta(reader, "i1", "r1") == []
    created(reader, "r2")
    assert delta(reader, "i3", "r2") == [ev.AgentAudio("i3", SOUND)]


def test_the_caller_speaks(reader: EventReader) -> None:
    started = read(
        reader, "input_audio_buffer.speech_started", audio_start_ms=1200, item_id="item_1"
    )
    assert started == [ev.SpeechStarted(1200, "item_1")]
    stopped = read(reader, "input_audio_buffer.speech_stopped", audio_end_ms=2200, item_id="item_1")
    assert stopped == [ev.SpeechStopped(2200, "item_1")]
    heard = read(
        reader,
        "conversation.item.input_audio_transcription.completed",
        item_id="item_1",
        content_index=0,
        transcript="Good morning.",
        usage={"type": "duration", "seconds": 1.0},
    )
    assert heard == [ev.CallerTranscript("item_1", "Good morning.")]


def _error(reader: EventReader, code: str) -> list[ev.AgentEvent]:
    error = {"type": "invalid_request_error", "code": code, "message": "No.\nReally."}
    return read(reader, "error", error=error)


def test_an_error_before_the_session_is_confirmed_refuses_it_for_good(reader: EventReader) -> None:
    (failed,) = _error(reader, "invalid_value")
    assert isinstance(failed, ev.AgentFailed)
    assert failed.permanent
    assert failed.reason.startswith("the model refused the session: invalid_value: No.")


def test_a_later_error_is_counted(reader: EventReader) -> None:
    read(reader, "session.updated", session={"type": "realtime"})
    assert _error(reader, "invalid_value") == []
    assert reader._counters.errors == 1
    assert _error(reader, "response_cancel_not_active") == []
    assert reader._counters.errors == 1  # it only came too late


@pytest.mark.parametrize(("encoding", "usable"), [(PCM, False), (PCMU, True)])
def test_half_a_sample_is_dropped(encoding: Any, usable: bool) -> None:
    counters = Counters()
    reader = EventReader(encoding, counters)
    assert bool(delta(reader, "i1", "r1", b"\1\2\3")) is usable
    assert counters.ignored == (not usable)


def test_what_cannot_be_used_leaves_everything_as_it_was(reader: EventReader) -> None:
    created(reader, "r1")
    delta(reader, "i1", "r1")
    for broken in (
        {"output": [{"type": "function_call"}]},
        {"output": 7},
        {"usage": USAGE | {"input_token_details": 7}},
    ):
        event = {"type": "response.done", "response": {"id": "r1", "status": "completed", **broken}}
        assert reader.read(json.dumps(event).encode()) == ()
    assert reader.response == "r1"
    assert done(reader, "r1") == [ev.AgentAudioDone("i1"), ev.ResponseDone("r1", "completed")]
    assert done(reader, "r1") == [ev.ResponseDone("r1", "completed")]


def test_a_thousand_fuzzed_events_raise_nothing() -> None:
    counters = Counters()
    reader = EventReader(PCM, counters)
    response = [{"id": "r", "status": "failed", name: value} for name, value in _PARTS]
    kinds = [*reader._readers, "no.such.event"]
    plain = ("item_id", "delta", "response_id", "transcript", "error", "audio_start_ms", "type")
    fields: dict[str, Sequence[Any]] = {**dict.fromkeys(plain, ()), "response": response}
    for message in nonsense(kinds, fields, 11):
        data = message if isinstance(message, bytes) else _bytes(message)
        for event in reader.read(data):
            assert isinstance(event, ev.AgentEvent)
    assert counters.ignored > 300


_PARTS: list[tuple[str, Any]] = [
    ("output", [7]),
    ("output", [CALL]),
    ("output", {"a": 1}),
    ("usage", {"input_token_details": {"text_tokens": "x"}}),
    ("usage", {"output_token_details": []}),
    ("status_details", {"error": {"message": {}}}),
    ("status_details", {"error": 7}),
]


def _bytes(message: Any) -> bytes:
    text = message if isinstance(message, str) else json.dumps(message)
    return text.encode(errors="surrogatepass")

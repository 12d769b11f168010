"""What the model's events mean: read from the package's own types, and from nonsense."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from openai.types import realtime
from pydantic import TypeAdapter
from structlog.testing import capture_logs

from esl_controller.agents.base import Counters
from esl_controller.agents.messages import COUNT_LIMIT
from esl_controller.agents.openai.endpoint import DIFFERENT
from esl_controller.agents.openai.errors import LOGGED
from esl_controller.agents.openai.realtime_events import CALLS_LIMIT, EventReader
from esl_controller.call import agent_events as ev
from esl_controller.call.agent import Recovery, ToolCall, Usage
from media.frame import PCMA, PCMU, decode, encode, pcm
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
    assert event.calls == (ToolCall("c1", "look_up", "{}"),)
    assert event.usage == Usage(
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
    assert failed.recovery is Recovery.NEXT_MODEL
    assert failed.reason.startswith("the model refused the session: invalid_value: No.")


def test_a_later_error_is_counted(reader: EventReader) -> None:
    read(reader, "session.updated", session={"type": "realtime"})
    assert _error(reader, "invalid_value") == []
    assert reader._counters.errors == 1
    assert _error(reader, "response_cancel_not_active") == []
    assert reader._counters.errors == 1  # it only came too late


def heard(events: Sequence[Any]) -> bytes:
    return b"".join(event.data for event in events if isinstance(event, ev.AgentAudio))


@pytest.mark.parametrize("sizes", [(1, 1, 1), (3, 5), (2, 7, 1)])
def test_a_sample_in_two_pieces_is_whole_again(reader: EventReader, sizes: tuple[int]) -> None:
    created(reader, "r1")
    data = bytes(range(1, 31))
    events: list[Any] = []
    for size in sizes:
        events += delta(reader, "i1", "r1", data[:size])
        data = data[size:]
    events += delta(reader, "i1", "r1", data)
    assert heard(events) == bytes(range(1, 31))
    assert all(len(event.data) % 2 == 0 for event in events)


def test_half_a_sample_of_one_item_is_no_part_of_the_next(reader: EventReader) -> None:
    created(reader, "r1")
    delta(reader, "i1", "r1", b"\1\2\3")
    assert heard(delta(reader, "i2", "r1", b"\4\5")) == b"\4\5"


def session(**formats: str) -> dict[str, Any]:
    audio = {side: {"format": {"type": kind}} for side, kind in formats.items()}
    return {"session": {"type": "realtime", "audio": audio}}


def test_audio_in_another_format_than_asked_for_is_converted_and_told() -> None:
    reader = EventReader(PCM, Counters())
    with capture_logs() as logs:
        answer = read(reader, "session.updated", **session(input="audio/pcma", output="audio/pcmu"))
    assert answer == [ev.AgentReady()]
    assert [line["event"] for line in logs] == [DIFFERENT]
    assert (logs[0]["hears"], logs[0]["speaks"]) == ("pcma/8000", "pcmu/8000")
    assert reader.hears == PCMA
    created(reader, "r1")
    loud = np.repeat(np.array([8000, -8000], np.int16), 4)[np.arange(800) % 8]
    events = delta(reader, "i1", "r1", encode(loud, "pcmu"))
    at = {"item_id": "i1", "response_id": "r1", "output_index": 0, "content_index": 0}
    events = [*events, *read(reader, "response.output_audio.done", **at)]
    said = decode(heard(events), "pcm")
    assert said.size == 2400
    assert 6000 < np.abs(said).mean() < 9000
    assert events[-1] == ev.AgentAudioDone("i1")


def test_audio_that_we_do_not_have_ends_the_session() -> None:
    reader = EventReader(PCM, Counters())
    event = {"type": "session.updated", **session(output="audio/opus")}
    (failed,) = reader.read(json.dumps(event).encode())
    assert isinstance(failed, ev.AgentFailed)
    assert failed.recovery is Recovery.NEXT_MODEL
    assert "audio/opus" in failed.reason


def test_a_rate_that_we_cannot_convert_ends_the_session() -> None:
    reader = EventReader(PCM, Counters())
    audio = {"input": {"format": {"type": "audio/pcm", "rate": 16001}}}
    event = {"type": "session.updated", "session": {"type": "realtime", "audio": audio}}
    (failed,) = reader.read(json.dumps(event).encode())
    assert isinstance(failed, ev.AgentFailed)
    assert failed.recovery is Recovery.NEXT_MODEL
    assert "audio/pcm at 16001 Hz" in failed.reason


def test_the_format_asked_for_needs_no_line() -> None:
    reader = EventReader(PCMU, Counters())
    with capture_logs() as logs:
        read(reader, "session.updated", **session(input="audio/pcmu", output="audio/pcmu"))
    assert not logs


def test_nothing_comes_of_any_response_that_is_over(reader: EventReader) -> None:
    for response in ("r1", "r2"):
        created(reader, response)
        delta(reader, "i1", response)
        reader.cancel()
        done(reader, response, "cancelled")
    created(reader, "r3")
    for response in ("r1", "r2"):
        assert delta(reader, "late", response) == words(reader, "late", response) == []
    assert delta(reader, "i3", "r3") == [ev.AgentAudio("i3", SOUND)]


def test_a_response_that_never_ends_leaves_no_item_open(reader: EventReader) -> None:
    created(reader, "r1")
    delta(reader, "i1", "r1")
    assert created(reader, "r2") == [ev.AgentAudioDone("i1"), ev.ResponseStarted("r2")]


# --- errors ---------------------------------------------------------------------------------------


def confirmed(reader: EventReader) -> EventReader:
    read(reader, "session.updated", session={"type": "realtime"})
    return reader


def failing(reader: EventReader, **error: Any) -> list[ev.AgentEvent]:
    return read(reader, "error", error={"type": "invalid_request_error", "message": "No.", **error})


BUSY = "conversation_already_has_active_response"


@pytest.mark.parametrize(
    "error",
    [
        {"code": BUSY, "event_id": "e7"},
        {"code": BUSY},
        {"message": "Conversation already has an active response"},
        {"code": "invalid_value", "param": "response.instructions"},
        {"code": "no_such_code", "event_id": "e7"},
        {"type": "server_error", "code": None},
    ],
)
def test_an_error_that_answers_the_request_refuses_it(
    reader: EventReader, error: dict[str, Any]
) -> None:
    confirmed(reader).request = "e7"
    (refused,) = failing(reader, **error)
    assert isinstance(refused, ev.ReplyRefused)
    assert reader.request == ""
    assert failing(reader, **error) == []


@pytest.mark.parametrize(
    "error",
    [
        {"code": BUSY, "event_id": "e6"},
        {"code": "invalid_value", "message": "Audio content of 1ms is already shorter than 2ms"},
        {"code": "item_delete_invalid_item_id", "param": "item_id"},
    ],
)
def test_an_error_that_answers_something_else_leaves_the_request(
    reader: EventReader, error: dict[str, Any]
) -> None:
    confirmed(reader).request = "e7"
    assert failing(reader, **error) == []
    assert reader.request == "e7"


def test_a_refusal_tells_how_long_to_wait(reader: EventReader) -> None:
    confirmed(reader).request = "e7"
    error = {"type": "rate_limit_error", "code": "rate_limit_exceeded"}
    (refused,) = failing(reader, **error, message="Please try again in 1.5 s.")
    assert isinstance(refused, ev.ReplyRefused)
    assert refused.after_s == 1.5


@pytest.mark.parametrize(
    ("error", "recovery"),
    [
        ({"type": "insufficient_quota", "code": "insufficient_quota"}, Recovery.NEXT_MODEL),
        ({"code": "invalid_api_key"}, Recovery.NEXT_MODEL),
        ({"code": "session_expired"}, Recovery.RECONNECT),
    ],
)
def test_an_error_that_ends_a_session(
    reader: EventReader, error: dict[str, Any], recovery: Recovery
) -> None:
    (failed,) = failing(confirmed(reader), **error)
    assert isinstance(failed, ev.AgentFailed)
    assert failed.recovery is recovery


def test_of_many_errors_some_are_logged_and_all_are_counted(reader: EventReader) -> None:
    confirmed(reader)
    with capture_logs() as logs:
        for _ in range(1000):
            failing(reader, code="invalid_value")
    assert len(logs) == LOGGED
    assert reader._counters.errors == 1000


def test_a_failed_response_says_what_helps(reader: EventReader) -> None:
    error = {
        "type": "tokens",
        "code": "rate_limit_exceeded",
        "message": "Rate limit reached. Please try again in 1.5s.",
    }
    (event,) = done(reader, "r1", "failed", status_details={"type": "failed", "error": error})
    assert (event.recovery, event.after_s) == (Recovery.ASK_AGAIN, 1.5)
    error = {"type": "insufficient_quota", "code": "insufficient_quota"}
    (event,) = done(reader, "r1", "failed", status_details={"type": "failed", "error": error})
    assert event.recovery is Recovery.NEXT_MODEL


@pytest.mark.parametrize("is_confirmed", [False, True])
def test_a_transcription_that_is_refused_costs_the_transcript(
    reader: EventReader, is_confirmed: bool
) -> None:
    if is_confirmed:
        confirmed(reader)
    param = "session.audio.input.transcription.model"
    (missing,) = failing(reader, code="invalid_model", param=param)
    assert isinstance(missing, ev.TranscriptMissing)
    assert missing.item == ""


@pytest.mark.parametrize("is_confirmed", [False, True])
@pytest.mark.parametrize(
    ("message", "costs"),
    [
        ("The model 'whisper-1' does not exist or you do not have access to it.", "transcript"),
        ("Model not found: whisper-1.", "transcript"),
        ("whisper-1", "transcript"),
        ("whisper-1: no such model", "transcript"),
        ("The model 'whisper-1:large' does not exist.", "session"),
        ("The model 'whisper-1-large' does not exist.", "session"),
        ("The model 'my-whisper-1' does not exist.", "session"),
        ("The model 'org/whisper-1' does not exist.", "session"),
        ("The model 'gpt-realtime' does not exist.", "session"),
        ("", "session"),
    ],
)
def test_a_transcription_model_that_is_not_there_is_known_by_its_name(
    is_confirmed: bool, message: str, costs: str
) -> None:
    reader = EventReader(PCM, Counters(), "whisper-1")
    if is_confirmed:
        confirmed(reader)
    (event,) = failing(reader, code="model_not_found", message=message)
    assert isinstance(event, ev.TranscriptMissing if costs == "transcript" else ev.AgentFailed)


def test_without_a_transcription_model_an_error_is_about_none(reader: EventReader) -> None:
    (event,) = failing(reader, code="model_not_found", message="No model ''.")
    assert isinstance(event, ev.AgentFailed)


def test_a_transcription_that_fails_costs_the_transcript(reader: EventReader) -> None:
    error = {"type": "server_error", "message": "Input transcription failed for item 'i1'."}
    kind = "conversation.item.input_audio_transcription.failed"
    assert read(reader, kind, item_id="i1", content_index=0, error=error) == [
        ev.TranscriptMissing("i1", "server_error: Input transcription failed for item 'i1'.")
    ]


TEXT_DETAILS = {"text_tokens": 10, "audio_tokens": -1, "cached_tokens": 2**80}


@pytest.mark.parametrize(
    ("broken", "calls", "usage"),
    [
        ({"output": [{"type": "function_call"}, 7, CALL]}, 1, Usage()),
        ({"output": 7}, 0, Usage()),
        (
            {"usage": USAGE | {"input_token_details": 7}},
            0,
            Usage(output_text=4, output_audio=26),
        ),
        ({"usage": {"input_token_details": TEXT_DETAILS}}, 0, Usage(10, 0, COUNT_LIMIT)),
        (
            {"usage": {"output_token_details": {"text_tokens": "x", "audio_tokens": 1e300}}},
            0,
            Usage(output_audio=COUNT_LIMIT),
        ),
        (
            {"output": [CALL | {"call_id": f"c{each}"} for each in range(99)]},
            CALLS_LIMIT,
            Usage(),
        ),
    ],
)
def test_one_bad_value_costs_itself_only(
    reader: EventReader, broken: dict[str, Any], calls: int, usage: Usage
) -> None:
    created(reader, "r1")
    delta(reader, "i1", "r1")
    event = {"type": "response.done", "response": {"id": "r1", "status": "completed", **broken}}
    complete, over = reader.read(json.dumps(event).encode())
    assert complete == ev.AgentAudioDone("i1")
    assert isinstance(over, ev.ResponseDone)
    assert (len(over.calls), over.usage) == (calls, usage)
    assert reader.response == ""


def test_speech_is_speech_whatever_the_model_counted(reader: EventReader) -> None:
    for bad in (1e300, -1, "x", None):
        event = {"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": bad}
        (started,) = reader.read(json.dumps(event).encode())
        assert isinstance(started, ev.SpeechStarted)
        assert 0 <= started.at_ms <= COUNT_LIMIT


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

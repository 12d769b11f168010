"""What a model says, right: the events of both APIs, as the ``openai`` package types them."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

_SOUND: Final = base64.b64encode(bytes(range(200)) * 2).decode()
_CALL: Final = {
    "type": "function_call",
    "id": "i9",
    "call_id": "c1",
    "name": "hold",
    "arguments": '{"seconds": 5}',
}
_USAGE: Final = {
    "total_tokens": 60,
    "input_tokens": 30,
    "output_tokens": 30,
    "input_token_details": {"text_tokens": 10, "audio_tokens": 20, "cached_tokens": 5},
    "output_token_details": {"text_tokens": 4, "audio_tokens": 26},
}
_AT: Final = {"item_id": "i1", "response_id": "r1", "output_index": 0, "content_index": 0}
_FORMAT: Final = {"format": {"type": "audio/pcm", "rate": 24000}}
_ERROR: Final = {
    "type": "error",
    "event_id": "e",
    "error": {
        "type": "invalid_request_error",
        "code": "conversation_already_has_active_response",
        "message": "No. Please try again in 1.5s.",
        "param": "response",
        "event_id": "e1",
    },
}


def _event(kind: str, **fields: Any) -> bytes:
    return json.dumps({"type": kind, "event_id": "e", **fields}).encode()


REALTIME: Final = (
    _event(
        "session.updated",
        session={"type": "realtime", "audio": {"input": _FORMAT, "output": _FORMAT}},
    ),
    _event("response.created", response={"id": "r1", "status": "in_progress"}),
    _event("response.output_audio.delta", delta=_SOUND, **_AT),
    _event("response.output_audio_transcript.delta", delta="Hello", **_AT),
    _event("response.output_audio.done", **_AT),
    _event(
        "response.done",
        response={"id": "r1", "status": "completed", "output": [_CALL], "usage": _USAGE},
    ),
    _event(
        "response.done",
        response={
            "id": "r1",
            "status": "failed",
            "status_details": {"type": "failed", "error": {"type": "t", "code": "rate_limit"}},
        },
    ),
    _event("input_audio_buffer.speech_started", audio_start_ms=1200, item_id="i2"),
    _event("input_audio_buffer.speech_stopped", audio_end_ms=2200, item_id="i2"),
    _event(
        "conversation.item.input_audio_transcription.completed",
        item_id="i2",
        content_index=0,
        transcript="Good morning.",
        usage={"type": "duration", "seconds": 1.0},
    ),
    _event(
        "conversation.item.input_audio_transcription.failed",
        item_id="i2",
        content_index=0,
        error={"type": "t", "code": "c", "message": "m"},
    ),
    json.dumps(_ERROR).encode(),
)

_RESPONSE: Final = {"id": "r1", "status": "completed", "output": [_CALL]}
LIVE: Final = (
    _event("session.started", session={"id": "s", "audio": _FORMAT}),
    _event("session.output_audio.delta", delta=_SOUND),
    _event("session.output_transcript.delta", delta="Good", start_ms=0, end_ms=200),
    _event("session.input_transcript.delta", delta="Hello", start_ms=0, end_ms=200),
    _event("response.event", response_id="r1", event={"type": "response.created"}),
    _event(
        "response.event",
        response_id="r1",
        event={"type": "response.completed", "response": _RESPONSE},
    ),
    _event(
        "response.event",
        response_id="r1",
        event={"type": "response.output_item.done", "item": _CALL},
    ),
    _event("session.usage.updated", usage={"seconds": 15.0}),
    _event("session.closed", reason="expired", usage={"seconds": 16.5}),
    json.dumps(_ERROR).encode(),
)

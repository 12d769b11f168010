"""The model stand-in and clients that make mistakes: error events, and sessions that go on."""

from __future__ import annotations

import asyncio
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, get_args

import pytest
from openai.types.realtime import RealtimeClientEvent
from websockets.exceptions import ConnectionClosed

from esl_controller.simulator.model import ModelStandIn
from esl_controller.simulator.model.protocol import CLIENT_EVENTS
from esl_controller.simulator.model_base.validation import ProtocolError
from tests.simulator.model.client import Client, connected, silence, words
from tests.simulator.model_base.client import KEY


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with (
        ModelStandIn(key=KEY, pace=0, think_ms=0) as stand_in,
        connected(stand_in) as one,
    ):
        yield one


def update(**fields: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"type": "realtime", **fields}}


def audio_input(**fields: Any) -> dict[str, Any]:
    return update(audio={"input": fields})


MESSAGE: dict[str, Any] = {"type": "message", "role": "user", "content": []}
WRONG: list[tuple[dict[str, Any], str, str | None]] = [
    ({}, "missing_required_parameter", "type"),
    ({"type": "response.begin"}, "invalid_value", "type"),
    ({"type": ["session.update"]}, "invalid_value", "type"),
    ({"type": "session.update"}, "missing_required_parameter", "session"),
    ({"type": "session.update", "session": {}}, "missing_required_parameter", "session.type"),
    ({"type": "session.update", "session": "x"}, "invalid_type", "session"),
    (update(voice="marin"), "unknown_parameter", "session.voice"),
    (update(modalities=["audio"]), "unknown_parameter", "session.modalities"),
    (update(instructions=7), "invalid_type", "session.instructions"),
    (audio_input(sample_rate=8000), "unknown_parameter", "session.audio.input.sample_rate"),
    (
        audio_input(format={"type": "audio/pcm", "rate": 16000}),
        "invalid_value",
        "session.audio.input.format.rate",
    ),
    (
        audio_input(format={"type": "audio/pcmu", "rate": 8000}),
        "unknown_parameter",
        "session.audio.input.format.rate",
    ),
    (
        audio_input(turn_detection={"type": "server_vad", "threshold": "high"}),
        "invalid_type",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        audio_input(turn_detection={"type": "server_vad", "threshold": 7}),
        "invalid_value",
        "session.audio.input.turn_detection.threshold",
    ),
    (
        audio_input(turn_detection={"type": "server_vad", "silence_duration_ms": -1}),
        "integer_below_min_value",
        "session.audio.input.turn_detection.silence_duration_ms",
    ),
    (
        update(tools=[{"type": "function", "name": 3}]),
        "invalid_type",
        "session.tools[0].name",
    ),
    (update(model="gpt-other"), "invalid_value", "session.model"),
    (update(output_modalities=["text"]), "not_supported", "session.output_modalities"),
    (
        {"type": "session.update", "session": {"type": "transcription"}},
        "not_supported",
        "session.type",
    ),
    (
        {
            "type": "conversation.item.create",
            "item": {**MESSAGE, "content": [{"type": "input_text", "text": 3}]},
        },
        "invalid_type",
        "item.content[0].text",
    ),
    (
        {"type": "conversation.item.create", "item": {**MESSAGE, "role": "caller"}},
        "invalid_value",
        "item.role",
    ),
    (
        {"type": "conversation.item.create", "item": MESSAGE, "previous_item_id": "item_none"},
        "item_create_invalid_previous_item_id",
        None,
    ),
    (
        {
            "type": "conversation.item.create",
            "item": {"type": "function_call_output", "call_id": "call_none", "output": ""},
        },
        "invalid_tool_call_id",
        "item.call_id",
    ),
    (
        {"type": "conversation.item.delete", "item_id": "item_none"},
        "item_delete_invalid_item_id",
        None,
    ),
    (
        {"type": "conversation.item.retrieve", "item_id": "item_none"},
        "item_retrieve_invalid_item_id",
        None,
    ),
    (
        {
            "type": "conversation.item.truncate",
            "item_id": "item_none",
            "content_index": 0,
            "audio_end_ms": 0,
        },
        "item_truncate_invalid_item_id",
        None,
    ),
    (
        {
            "type": "conversation.item.truncate",
            "item_id": "i",
            "content_index": 0,
            "audio_end_ms": 9.5,
        },
        "invalid_type",
        "audio_end_ms",
    ),
    ({"type": "input_audio_buffer.append"}, "invalid_type", "audio"),
    ({"type": "input_audio_buffer.append", "audio": "AAA!"}, "invalid_value", "audio"),
    ({"type": "input_audio_buffer.append", "audio": "AAAA"}, "invalid_value", "audio"),
    ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty", None),
    ({"type": "output_audio_buffer.clear"}, "invalid_value", "type"),
    ({"type": "response.cancel"}, "response_cancel_not_active", None),
    (
        {"type": "response.create", "response": {"voice": "x"}},
        "unknown_parameter",
        "response.voice",
    ),
    (
        {"type": "response.create", "response": {"conversation": "none"}},
        "not_supported",
        "response.conversation",
    ),
]


CODES = {code for _, code, _ in WRONG}


@pytest.mark.parametrize(("event", "code", "param"), WRONG, ids=lambda v: str(v)[:60])
async def test_an_error_names_what_is_wrong(
    client: Client, event: dict[str, Any], code: str, param: str | None
) -> None:
    before = client.session.config.body
    await client.send(**event, event_id="mine")
    error = (await client.until("error"))["error"]
    assert error == {
        "type": "invalid_request_error",
        "code": code,
        "param": param,
        "message": error["message"],
        "event_id": "mine",
    }
    assert client.session.config.body == before
    record = client.session.record
    assert record.violations + record.refusals == 1
    await client.update()


async def test_messages_that_are_no_events(client: Client) -> None:
    for message in ("", "{", "[]", "7", "[" * 100_000, b"{}"):
        await client.connection.send_raw(message)
        assert (await client.until("error"))["error"]["code"] == "invalid_json"
    assert client.session.record.violations == 6


async def test_errors_about_responses_and_their_audio(client: Client) -> None:
    connection = client.connection
    await connection.response.create()
    done = await client.until("response.done")
    (item,) = done["response"]["output"]
    for content_index, end_ms, code in (
        (0, 4795, "invalid_value"),
        (1, 10, "invalid_value"),
        (0, -1, "integer_below_min_value"),
    ):
        await connection.conversation.item.truncate(
            item_id=item["id"], content_index=content_index, audio_end_ms=end_ms
        )
        assert (await client.until("error"))["error"]["code"] == code
    await connection.conversation.item.truncate(
        item_id=item["id"], content_index=0, audio_end_ms=4794
    )
    await client.until("conversation.item.truncated")
    await connection.session.update(
        session={"type": "realtime", "audio": {"output": {"voice": "cedar"}}}
    )
    assert (await client.until("error"))["error"]["code"] == "cannot_update_voice"
    await connection.session.update(
        session={"type": "realtime", "audio": {"output": {"voice": "marin"}}}
    )
    await client.until("session.updated")


async def test_a_user_message_cannot_be_truncated(client: Client) -> None:
    await client.say(words())
    committed = await client.until("input_audio_buffer.committed")
    await client.connection.conversation.item.truncate(
        item_id=committed["item_id"], content_index=0, audio_end_ms=0
    )
    error = (await client.until("error"))["error"]
    assert error["message"] == "Only model output audio messages can be truncated"


async def test_one_response_at_a_time() -> None:
    async with ModelStandIn(pace=1.0, think_ms=0) as stand_in, connected(stand_in) as client:
        await client.connection.response.create()
        created = await client.until("response.created")
        await client.connection.response.create(event_id="second")
        error = (await client.until("error"))["error"]
        assert error["code"] == "conversation_already_has_active_response"
        assert created["response"]["id"] in error["message"]
        assert error["event_id"] == "second"
        await client.connection.response.cancel(response_id="resp_other")
        assert (await client.until("error"))["error"]["code"] == "response_cancel_not_active"
        await client.connection.response.cancel()
        done = await client.until("response.done")
        assert done["response"]["status"] == "cancelled"


def test_every_client_event_of_the_package_is_known() -> None:
    (union, *_) = get_args(RealtimeClientEvent)
    kinds = {get_args(kind.model_fields["type"].annotation)[0] for kind in get_args(union)}
    assert kinds == set(CLIENT_EVENTS.names)


def mutated(value: Any, chance: random.Random) -> Any:
    """`value` with something in it replaced, removed or added."""
    junk: list[Any] = [None, True, -1, 1e308, float("nan"), "", "\ud800", [], {}, [[]], 10**30]
    if chance.random() < 0.2:
        return chance.choice(junk)
    if isinstance(value, dict) and value:
        copy = dict(value)
        key = chance.choice(list(copy))
        if chance.random() < 0.2:
            del copy[key]
        else:
            copy[key if chance.random() < 0.8 else "extra"] = mutated(copy[key], chance)
        return copy
    if isinstance(value, list) and value:
        return [mutated(member, chance) for member in value]
    return chance.choice(junk)


def sample_events() -> list[dict[str, Any]]:
    right = [
        audio_input(format={"type": "audio/pcmu"}, transcription={"model": "m"}),
        audio_input(turn_detection={"type": "semantic_vad", "eagerness": "high"}),
        update(tools=[{"type": "function", "name": "f", "parameters": {}}], instructions="x"),
        {"type": "response.create", "response": {"metadata": {"a": "b"}}},
        {"type": "conversation.item.create", "item": MESSAGE, "previous_item_id": "root"},
        {"type": "input_audio_buffer.append", "audio": "AAAAAAAA"},
    ]
    return right + [event for event, _, _ in WRONG if event]


async def test_a_thousand_wrong_events_end_no_session(client: Client) -> None:
    chance = random.Random(20)
    events = sample_events()
    for _ in range(20):
        for _ in range(50):
            await client.send(**as_event(mutated(chance.choice(events), chance)))
        await client.send(type="input_audio_buffer.clear")
        while (await client.next())["type"] != "input_audio_buffer.cleared":
            pass
    assert not client.session.closed.is_set()
    # A client that does not read does not see the closing handshake either.
    closing = asyncio.create_task(client.connection.close())
    with pytest.raises(ConnectionClosed):
        await client.until("nothing that ever comes")
    await closing


def as_event(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {"type": value}


def test_the_check_is_free_of_other_errors() -> None:
    chance = random.Random(21)
    events = sample_events()
    codes: Counter[str] = Counter()
    for _ in range(1000):
        event = json.loads(json.dumps(as_event(mutated(chance.choice(events), chance))))
        try:
            CLIENT_EVENTS.check(event)
        except ProtocolError as error:
            codes[error.code] += 1
    assert codes.total() > 500
    assert set(codes) <= set(CODES)


async def test_audio_goes_on_after_errors(client: Client) -> None:
    await client.say(silence(100))
    await client.send(type="nonsense")
    await client.until("error")
    await client.say(silence(100))
    await client.update()
    assert client.session.record.append_bytes == 200 * 48

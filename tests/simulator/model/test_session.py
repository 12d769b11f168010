"""The realtime-model stand-in, driven by the SDK; every event held against the SDK's types."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Any

import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed

from esl_controller.simulator.model import ModelStandIn, ScriptedCall
from media import sounds
from media.frame import PCMA, PCMU, Format, decode, encode
from media.resample import convert
from tests.simulator.model.client import (
    CLOSING,
    Client,
    check_server_event,
    connected,
    silence,
    words,
)
from tests.simulator.model_base.client import KEY

GREETING, RATE = sounds.load("greeting")
SPOKEN = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
    "response.output_audio_transcript.delta",
    "response.output_audio.delta",
]


@pytest.fixture
async def stand_in() -> AsyncIterator[ModelStandIn]:
    async with ModelStandIn(key=KEY, pace=0, think_ms=0) as running:
        yield running


@pytest.fixture
async def client(stand_in: ModelStandIn) -> AsyncIterator[Client]:
    async with connected(stand_in) as one:
        yield one


async def greet(client: Client) -> dict[str, Any]:
    await client.connection.response.create()
    return await client.until("rate_limits.updated")


@pytest.mark.parametrize(
    ("event", "complaint"),
    [
        ({"type": "input_audio_buffer.cleared"}, "event_id"),
        ({"type": "input_audio_buffer.cleared", "event_id": "e", "extra": 1}, "extra"),
        (
            {
                "type": "response.done",
                "event_id": "e",
                "response": {"usage": {"input_token_details": {"sound_tokens": 1}}},
            },
            "sound_tokens",
        ),
        ({"type": "session.created", "event_id": "e", "session": {"type": "realtime"}}, "object"),
    ],
)
def test_the_check_of_these_tests_sees_missing_and_undeclared_fields(
    event: dict[str, Any], complaint: str
) -> None:
    with pytest.raises((ValueError, AssertionError), match=complaint):
        check_server_event(event)


async def test_an_update_is_confirmed_with_the_whole_session(client: Client) -> None:
    updated = await client.update(
        transcription={"model": "gpt-4o-transcribe"},
        turn_detection={"type": "server_vad", "silence_duration_ms": 300},
        noise_reduction=None,
    )
    given = updated["session"]["audio"]["input"]
    assert given["format"] == {"type": "audio/pcm", "rate": 24000}
    assert given["transcription"] == {"model": "gpt-4o-transcribe"}
    assert given["turn_detection"] == {
        "type": "server_vad",
        "threshold": 0.5,
        "prefix_padding_ms": 300,
        "silence_duration_ms": 300,
        "idle_timeout_ms": None,
        "create_response": True,
        "interrupt_response": True,
    }
    assert updated["session"]["audio"]["output"]["voice"] == "marin"


async def test_greeting(client: Client) -> None:
    await client.connection.response.create(response={"metadata": {"why": "greeting"}})
    created = await client.until("response.created")
    assert created["response"]["status"] == "in_progress"
    assert created["response"]["metadata"] == {"why": "greeting"}
    done = await client.until("response.done")
    await client.until("rate_limits.updated")
    assert [k for k in client.seen if k not in SPOKEN[4:]] == SPOKEN[:4] + CLOSING
    response = done["response"]
    assert response["status"] == "completed"
    (item,) = response["output"]
    assert item["content"] == [
        {"type": "output_audio", "transcript": sounds.transcript("greeting")}
    ]
    assert bytes(client.audio[item["id"]]) == GREETING.tobytes()
    assert response["usage"]["output_token_details"]["audio_tokens"] == 4794 // 50
    spoken = client.session.record.spoken[item["id"]]
    assert np.array_equal(spoken.samples, GREETING)


async def test_a_turn_is_heard_and_repeated(client: Client) -> None:
    await client.update(transcription={"model": "whisper-1"})
    await greet(client)
    client.seen.clear()
    said = words("caller")
    await client.say(said, chunk=777)
    started = await client.until("input_audio_buffer.speech_started")
    stopped = await client.until("input_audio_buffer.speech_stopped")
    assert started["item_id"] == stopped["item_id"]
    transcribed = await client.until("conversation.item.input_audio_transcription.completed")
    assert transcribed["transcript"] == f"({transcribed['usage']['seconds']:.1f} s of speech)"
    done = await client.until("response.done")
    await client.until("rate_limits.updated")
    turn = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "conversation.item.input_audio_transcription.delta",
        "conversation.item.input_audio_transcription.completed",
    ]
    assert [k for k in client.seen if k not in SPOKEN[4:]] == turn + SPOKEN[:4] + CLOSING
    repeated = bytes(client.audio[done["response"]["output"][0]["id"]])
    start, stop = started["audio_start_ms"] * 24, stopped["audio_end_ms"] * 24
    assert repeated == said[start:stop].tobytes()
    # It holds the words, from their first to their last 20 ms.
    assert start < 24 * 250 < stop - 24 * 4000


async def test_all_that_was_said_is_recorded_in_order(client: Client) -> None:
    ramp = np.arange(48_000, dtype=np.int16)
    await client.say(ramp, chunk=641)
    await client.say(silence(20))
    await client.update()
    heard, rate = client.session.record.heard()
    assert rate == RATE
    assert np.array_equal(heard, np.concatenate((ramp, silence(20))))
    record = client.session.record
    assert record.append_count == len(record.appends) == -(-48_000 // 641) + 1
    assert record.append_bytes == sum(a.size for a in record.appends) == heard.size * 2
    assert record.early_appends == record.append_count
    assert all(a.at <= b.at for a, b in zip(record.appends, record.appends[1:], strict=False))


async def test_barge_in_cancels_and_truncates() -> None:
    async with (
        ModelStandIn(pace=1.0, delta_ms=20, think_ms=0) as stand_in,
        connected(stand_in) as client,
    ):
        await client.connection.response.create()
        await client.until("response.output_audio.delta")
        await client.say(words()[: 24 * 1000])
        await client.until("input_audio_buffer.speech_started")
        client.seen.clear()
        done = await client.until("response.done")
        assert client.seen == CLOSING[:-1]
        response = done["response"]
        assert response["status"] == "cancelled"
        assert response["status_details"] == {"type": "cancelled", "reason": "turn_detected"}
        (item,) = response["output"]
        assert item["status"] == "incomplete"
        sent_ms = len(client.audio[item["id"]]) // 48
        assert 20 <= sent_ms < 4000
        await client.connection.conversation.item.truncate(
            item_id=item["id"], content_index=0, audio_end_ms=sent_ms - 10
        )
        truncated = await client.until("conversation.item.truncated")
        assert truncated["audio_end_ms"] == sent_ms - 10
        await client.connection.conversation.item.retrieve(item_id=item["id"])
        (part,) = (await client.until("conversation.item.retrieved"))["item"]["content"]
        kept = base64.b64decode(part["audio"])
        assert kept == bytes(client.audio[item["id"]])[: (sent_ms - 10) * 48]
        assert "transcript" not in part


async def test_cancel_while_thinking_leaves_no_item() -> None:
    async with ModelStandIn(think_ms=60_000) as stand_in, connected(stand_in) as client:
        await client.connection.response.create()
        created = await client.until("response.created")
        await client.connection.response.cancel(response_id=created["response"]["id"])
        done = await client.until("response.done")
        assert done["response"]["output"] == []
        assert done["response"]["status_details"]["reason"] == "client_cancelled"
        assert client.seen == ["response.created", "response.done"]


async def test_function_call_and_its_output() -> None:
    script = (
        ScriptedCall(0, "lookup", '{"name": "Ana", "when": "next Tuesday"}'),
        ScriptedCall(0, "now"),
    )
    async with (
        ModelStandIn(pace=0, think_ms=0, script=script) as stand_in,
        connected(stand_in) as client,
    ):
        await client.connection.response.create()
        arguments = ""
        while (event := await client.next())["type"] != "response.function_call_arguments.done":
            if event["type"] == "response.function_call_arguments.delta":
                arguments += event["delta"]
        assert arguments == event["arguments"] == script[0].arguments
        assert event["name"] == "lookup"
        done = await client.until("response.done")
        calls = done["response"]["output"]
        assert [(c["type"], c["name"], c["status"]) for c in calls] == [
            ("function_call", "lookup", "completed"),
            ("function_call", "now", "completed"),
        ]
        await client.until("rate_limits.updated")
        for call in calls:
            await client.connection.conversation.item.create(
                item={"type": "function_call_output", "call_id": call["call_id"], "output": "ok"}
            )
            await client.until("conversation.item.done")
        await greet(client)
        assert bytes(*client.audio.values()) == GREETING.tobytes()


async def test_a_response_that_may_call_nothing_leaves_the_call_to_the_next() -> None:
    async with (
        ModelStandIn(pace=0, think_ms=0, script=(ScriptedCall(0, "now"),)) as stand_in,
        connected(stand_in) as client,
    ):
        kinds = []
        for choice in ("none", "auto", "auto"):
            await client.connection.response.create(response={"tool_choice": choice})
            done = await client.until("response.done")
            kinds += [item["type"] for item in done["response"]["output"]]
            await client.until("rate_limits.updated")
        assert kinds == ["message", "function_call", "message"]


@pytest.mark.parametrize(("name", "fmt"), [("audio/pcmu", PCMU), ("audio/pcma", PCMA)])
async def test_g711_both_ways(name: str, fmt: Format, client: Client) -> None:
    both: Any = {"input": {"format": {"type": name}}, "output": {"format": {"type": name}}}
    await client.connection.session.update(session={"type": "realtime", "audio": both})
    updated = await client.until("session.updated")
    assert updated["session"]["audio"]["input"]["format"] == {"type": name}
    await greet(client)
    (greeting,) = client.audio.values()
    assert bytes(greeting) == encode(convert(GREETING, RATE, 8000), fmt.encoding)
    said = encode(convert(words(), RATE, 8000), fmt.encoding)
    for at in range(0, len(said), 160):
        await client.append(said[at : at + 160])
    started = await client.until("input_audio_buffer.speech_started")
    stopped = await client.until("input_audio_buffer.speech_stopped")
    done = await client.until("response.done")
    repeated = bytes(client.audio[done["response"]["output"][0]["id"]])
    assert repeated == said[started["audio_start_ms"] * 8 : stopped["audio_end_ms"] * 8]
    heard, rate = client.session.record.heard()
    assert rate == 8000
    assert np.array_equal(heard, decode(said, fmt.encoding))


async def test_what_was_heard_in_one_format_is_repeated_in_the_other(client: Client) -> None:
    await client.update(format={"type": "audio/pcmu"})
    await greet(client)
    said = encode(convert(words(), RATE, 8000), "pcmu")
    await client.append(said)
    done = await client.until("response.done")
    (item,) = done["response"]["output"]
    started_ms = client.session.conversation.items[-2].audio_ms
    assert abs(len(client.audio[item["id"]]) / 48 - started_ms) <= 1


async def test_the_client_ends_turns_itself(client: Client) -> None:
    await client.update(turn_detection=None)
    await greet(client)
    client.seen.clear()
    await client.say(words())
    await client.connection.input_audio_buffer.commit()
    await client.until("conversation.item.done")
    assert client.seen == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    await client.connection.response.create()
    done = await client.until("response.done")
    assert bytes(client.audio[done["response"]["output"][0]["id"]]) == words().tobytes()


async def test_turn_detection_that_neither_interrupts_nor_answers() -> None:
    async with (
        ModelStandIn(pace=2.0, delta_ms=50, think_ms=0) as stand_in,
        connected(stand_in) as client,
    ):
        quiet = {"type": "server_vad", "interrupt_response": False, "create_response": False}
        await client.update(turn_detection=quiet)
        await client.connection.response.create()
        await client.until("response.output_audio.delta")
        await client.say(words())
        await client.until("input_audio_buffer.committed")
        await client.connection.response.cancel()
        done = await client.until("response.done")
        assert done["response"]["status_details"]["reason"] == "client_cancelled"
        await client.update(turn_detection={**quiet, "create_response": True})
        await client.connection.response.create()
        await client.until("response.output_audio.delta")
        await client.say(words())
        error = (await client.until("error"))["error"]
        assert error["code"] == "conversation_already_has_active_response"


async def test_clear_forgets_what_was_said(client: Client) -> None:
    await client.say(words()[: 24 * 1200])
    await client.until("input_audio_buffer.speech_started")
    await client.connection.input_audio_buffer.clear()
    await client.until("input_audio_buffer.cleared")
    await client.say(silence(1500))
    await client.update()
    assert client.seen[-2:] == ["input_audio_buffer.cleared", "session.updated"]
    assert client.session.record.turns == 0


async def test_items_are_created_where_asked_and_deleted(client: Client) -> None:
    item = client.connection.conversation.item
    for text, after in (("two", None), ("one", "root"), ("three", None)):
        content: Any = [{"type": "input_text", "text": text}]
        message: Any = {"type": "message", "role": "user", "content": content}
        if after:
            await item.create(item=message, previous_item_id=after)
        else:
            await item.create(item=message)
        added = await client.until("conversation.item.added")
        await client.until("conversation.item.done")
        assert added["item"]["content"] == content
    texts = [i.body["content"][0]["text"] for i in client.session.conversation.items]
    assert texts == ["one", "two", "three"]
    await item.delete(item_id=client.session.conversation.items[1].id)
    await client.until("conversation.item.deleted")
    texts = [i.body["content"][0]["text"] for i in client.session.conversation.items]
    assert texts == ["one", "three"]


async def test_deltas_are_never_early_and_not_late() -> None:
    async with (
        ModelStandIn(pace=10.0, delta_ms=100, think_ms=50) as stand_in,
        connected(stand_in) as client,
    ):
        loop = asyncio.get_running_loop()
        await client.connection.response.create()
        await client.until("response.created")
        created = loop.time()
        await client.until("response.output_audio.delta")
        assert loop.time() - created >= 0.045
        await client.until("response.done")
        (spoken,) = client.session.record.spoken.values()
    times = np.array([delta.at for delta in spoken.deltas])
    assert [delta.ms for delta in spoken.deltas[:-1]] == [100.0] * (len(times) - 1)
    late = times - times[0] - np.arange(len(times)) * 0.010
    assert late.min() > -0.002
    assert np.median(late) < 0.010


async def test_many_sessions_do_not_mix() -> None:
    async with ModelStandIn(pace=0, think_ms=0) as stand_in:

        async def one(number: int) -> None:
            async with connected(stand_in) as client:
                await greet(client)
                said = np.concatenate((words(), np.full(480, number, np.int16)))
                await client.say(said, chunk=4800)
                await client.until("response.done")
                assert np.array_equal(client.session.record.heard()[0], said)

        async with asyncio.TaskGroup() as tasks:
            for number in range(10):
                tasks.create_task(one(number))
        assert len(stand_in.sessions) == 10
        assert all(session.record.turns == 1 for session in stand_in.sessions)


async def test_nothing_is_left_behind() -> None:
    before = asyncio.all_tasks()
    async with ModelStandIn(pace=1.0, record=False) as stand_in:
        async with connected(stand_in) as client:
            await client.connection.response.create()
            await client.until("response.output_audio.delta")
            assert client.session.record.appends == []
        await client.session.closed.wait()
    assert stand_in.sessions == []
    assert asyncio.all_tasks() == before


async def test_leaving_ends_the_sessions_that_live() -> None:
    async with AsyncExitStack() as outer:
        async with ModelStandIn(pace=1.0) as stand_in:
            client = await outer.enter_async_context(connected(stand_in))
            await client.connection.response.create()
            await client.until("response.output_audio.delta")
        assert client.session.closed.is_set()
        with pytest.raises(ConnectionClosed, match="1001"):
            await client.until("response.done")

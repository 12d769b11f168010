"""What a model sends holds nobody else up: no turn of the event loop takes as long as a frame."""

from __future__ import annotations

import asyncio
import base64
import json

import pytest

from tests.calls.hostile import event, hostile
from tests.calls.rig import rig
from tests.lateness import LoopWatch
from tests.waiting import until

MANY = 20_000
SILENT = base64.b64encode(bytes(960)).decode()  # 20 ms
STARTED = event("response.created", response={"id": "r", "status": "in_progress", "output": []})


def done(*output: dict[str, object]) -> str:
    return event("response.done", response={"id": "r", "status": "completed", "output": output})


def audio(item: str, delta: str = SILENT) -> str:
    return event("response.output_audio.delta", item_id=item, response_id="r", delta=delta)


def called(arguments: str, number: int = 0) -> dict[str, object]:
    name = "take_message"
    return {"type": "function_call", "call_id": f"c{number}", "name": name, "arguments": arguments}


HOSTILE = {
    "20,000 items": [STARTED, *(audio(f"item {each}") for each in range(MANY)), done()],
    "20,000 items that are complete": [
        STARTED,
        *(
            message
            for each in range(MANY // 2)
            for message in (
                audio(f"item {each}", ""),
                event("response.output_audio.done", item_id=f"item {each}"),
            )
        ),
        done(),
    ],
    "words of 20,000 items": [
        STARTED,
        *(
            event(
                "response.output_audio_transcript.delta",
                item_id=f"item {each}",
                response_id="r",
                delta="word ",
            )
            for each in range(MANY)
        ),
    ],
    "a text without an end": [
        STARTED,
        *[
            event(
                "response.output_audio_transcript.delta",
                item_id="item",
                response_id="r",
                delta="word " * 2000,
            )
        ]
        * 500,
    ],
    "20,000 turns": [
        event(f"input_audio_buffer.speech_{what}", item_id=f"u{each}", **{f"audio_{at}_ms": each})
        for each in range(MANY // 2)
        for what, at in (("started", "start"), ("stopped", "end"))
    ],
    "20,000 errors": [event("error", error={"code": "no", "message": "x" * 100})] * MANY,
    "20,000 unusable events": [event("response.created", response=None)] * MANY,
    "1,000 calls": [STARTED, done(*(called("{}", each) for each in range(1000)))],
    "calls with long arguments": [
        STARTED,
        done(*(called(json.dumps({"a": [{}] * 3500}), each) for each in range(14))),
    ],
    "arguments of 200 kB": [STARTED, done(called(json.dumps({"text": "x" * 200_000})))],
    "objects within a message": ['{"type":"error","a":[' + '{"a":1},' * 32_000 + "1]}"],
    "4 s of speech at once": [STARTED, audio("i", base64.b64encode(bytes(190_000)).decode())],
    "a message of 10 MB": [event("error", error={"message": "x" * 10_000_000})],
    "texts that are no JSON": ["[" * 100_000, "", "\\ud800", "{", '{"type": []}'] * 200,
}


def voice(samples: bytes) -> str:
    return event("session.output_audio.delta", delta=base64.b64encode(samples).decode())


def heard(words: str, start_ms: int, end_ms: int) -> str:
    times = {"start_ms": start_ms, "end_ms": end_ms}
    return event("session.input_transcript.delta", delta=words, **times)


def delegated(kind: str, delegation: str = "d", **inner: object) -> str:
    return event("response.event", delegation_id=delegation, event={"type": kind, **inner})


def delegate(*calls: dict[str, object]) -> list[str]:
    done = [delegated("response.output_item.done", item=call) for call in calls]
    return [
        delegated("response.created"),
        *done,
        delegated("response.completed", response={"id": "r"}),
    ]


LOUD = bytes((0, 64)) * 480  # 20 ms
HOSTILE_LIVE = {
    "20,000 utterances": [voice(LOUD), voice(bytes(40 * 960))] * 1000 + [voice(LOUD)] * MANY,
    "4 s of speech at once": [voice(LOUD * 200)],
    "a text without an end": [event("session.output_transcript.delta", delta="word " * 2000)] * 500,
    "a turn without an end": [heard("word " * 2000, each, each + 1) for each in range(500)],
    "20,000 turns": [heard("word", each * 2000, each * 2000 + 1) for each in range(MANY)],
    "20,000 delegations": [delegated("response.created", f"d{each}") for each in range(MANY)],
    "1,000 calls": delegate(*(called("{}", each) for each in range(1000))),
    "1,000 delegations with a call": [
        message for each in range(1000) for message in delegate(called("{}", each))
    ],
    "calls with long arguments": delegate(
        *(called(json.dumps({"a": [{}] * 3500}), each) for each in range(14))
    ),
    "arguments of 200 kB": delegate(called(json.dumps({"text": "x" * 200_000}))),
    "20,000 counts": [event("session.usage.updated", usage={"seconds": 1e300})] * MANY,
    "20,000 errors": [event("error", error={"code": "no", "message": "x" * 100})] * MANY,
    "20,000 unusable events": [event("response.event", event=None)] * MANY,
}


@pytest.mark.parametrize("messages", HOSTILE_LIVE.values(), ids=HOSTILE_LIVE)
async def test_nothing_that_gpt_live_sends_holds_the_loop(
    messages: list[str], watched_loop: LoopWatch
) -> None:
    await _send(messages, watched_loop, AGENT_KIND="live")


@pytest.mark.parametrize("messages", HOSTILE.values(), ids=HOSTILE)
async def test_nothing_that_a_model_sends_holds_the_loop(
    messages: list[str], watched_loop: LoopWatch
) -> None:
    end = event("conversation.item.input_audio_transcription.completed", item_id="z", transcript="")
    await _send([*messages, end], watched_loop)


async def _send(messages: list[str], watched_loop: LoopWatch, **settings: str) -> None:
    """Have a model send these in a call."""
    with hostile(messages) as model:
        async with rig(settings={"AGENT_BASE_URL": model.base_url, **settings}) as of:
            call = await of.switch.call()
            await call.lane_open()
            async with watched_loop, asyncio.timeout(60):
                await until(model.sent.is_set, 60)
                await asyncio.sleep(0.5)
            assert watched_loop.held_ms < 20
            assert call.cause == ""
            call.hangup()
            await call.ended()
            await of.no_calls(10)

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


@pytest.mark.parametrize("messages", HOSTILE.values(), ids=HOSTILE)
async def test_nothing_that_a_model_sends_holds_the_loop(
    messages: list[str], watched_loop: LoopWatch
) -> None:
    end = event("conversation.item.input_audio_transcription.completed", item_id="z", transcript="")
    with hostile([*messages, end]) as model:
        async with rig(settings={"AGENT_BASE_URL": model.base_url}) as of:
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

"""A controller that dies: the call stays on the switch, and comes to the next one."""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np

from esl_controller.call.instructions import CONTINUE
from esl_controller.simulator.model import ModelStandIn
from esl_controller.store import reading
from tests.calls.rig import words_of
from tests.live.audio import as_played, match
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.processes import Serving, serving
from tests.live.rig import dialled, environment, until_async


async def hearing(controller: Serving, uuid: str) -> str:
    """The way in which the one call's caller is heard."""
    (call,) = (await controller.get("/calls"))["calls"]
    assert call["call_uuid"] == uuid
    return str(call["hearing"])


async def begins(store: str) -> None:
    """Wait until a call's first words are written down."""
    async with reading(store) as reader:

        async def begun() -> bool:
            stored = [await reader.call(call.call_uuid) for call in await reader.recent(1)]
            return any(call and any(turn.heard_text for turn in call.turns) for call in stored)

        await until_async(begun, 15.0)


async def test_a_killed_controller_gets_its_call_back(
    switch: FreeSwitch, figures: Figures, tmp_path: Path
) -> None:
    async with ModelStandIn() as model:
        store = f"sqlite:///{tmp_path}/calls.db"
        settings = environment(switch, model.base_url, STORE_URL=store)
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(serving(settings))
            phone = await stack.enter_async_context(dialled(switch))
            await begins(store)
            await asyncio.sleep(1.0)  # in the middle of the greeting
            (call,) = (await first.get("/calls"))["calls"]
            first.kill()
            killed = time.monotonic()
            await first.process.wait()
            second = await stack.enter_async_context(serving(settings))
            ready = time.monotonic()
            again = await phone.hears_speech(15)
            await phone.hears_model(model, 1)
            await phone.hears_silence()
            figures["killed to a new controller's ready, ms"].append((ready - killed) * 1000)
            figures["killed to heard again, ms"].append((again - killed) * 1000)
            spoken = next(iter(model.sessions[1].record.spoken.values()))
            sent = as_played(bytes(spoken.audio), spoken.format, phone.leg.rate)
            assert match(phone.heard(killed), sent).correlation >= 0.95
            # The sptmru builds are mute after a refused connection: then the lane has to do.
            assert await hearing(second, call["call_uuid"]) in ("stream", "lane")
            await phone.says("caller")
            await phone.hears_speech()
            await phone.hears_silence()
            assert not phone.leg.ended.done()
    ((who, words),) = history(model, 1)
    assert who == "assistant"
    assert words_of("greeting").startswith(words)
    assert asked(model, 1)[0] == CONTINUE, "no second greeting"


async def test_a_stopped_controller_hands_its_call_over(
    switch: FreeSwitch, figures: Figures, tmp_path: Path
) -> None:
    """SIGTERM while nobody speaks, the next controller being up: nothing is said, nothing lost."""
    async with ModelStandIn() as model:
        store = f"sqlite:///{tmp_path}/calls.db"
        settings = environment(switch, model.base_url, ESL_SHARE="true", STORE_URL=store)
        async with AsyncExitStack() as stack:
            async with AsyncExitStack() as earlier:
                await earlier.enter_async_context(serving(settings))
                phone = await stack.enter_async_context(dialled(switch))
                await phone.hears_speech()
                await phone.hears_silence()
                second = await stack.enter_async_context(serving(settings))
                stopped = time.monotonic()
            await phone.says("caller")
            await phone.hears_speech()
            await phone.hears_silence()
            times = np.array([at for at in phone.leg.times if at > stopped])
            figures["stopped, the next one up: longest time between two frames, ms"].append(
                float(np.diff(times).max() * 1000)
            )
            assert not phone.leg.ended.done()
            (call,) = (await second.get("/calls"))["calls"]
            assert await hearing(second, call["call_uuid"]) == "stream"
            assert [line for line in second.lines if line["level"] != "info"] == []
    assert history(model, 1) == [("assistant", words_of("greeting"))]
    assert asked(model, 1) == [""], "only the caller's words were answered"


def history(model: ModelStandIn, session: int) -> list[tuple[str, str]]:
    """What a session was told of what had been said: by whom, and the words."""
    events = model.sessions[session].record.client_events
    items = [e["item"] for e in events if e["type"] == "conversation.item.create"]
    return [(item["role"], item["content"][0]["text"]) for item in items]


def asked(model: ModelStandIn, session: int) -> list[str]:
    """What a session was asked to say, without the session's own instructions before it."""
    events = model.sessions[session].record.client_events
    replies = [e.get("response", {}) for e in events if e["type"] == "response.create"]
    told = [reply.get("instructions", "") for reply in replies]
    return [each.rpartition("# Do this now\n")[2] for each in told]

"""A controller that dies: the call stays on the switch, and comes to the next one."""

from __future__ import annotations

import time
from contextlib import AsyncExitStack

from esl_controller.simulator.model import ModelStandIn
from tests.live.audio import as_played, match
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.processes import Serving, serving
from tests.live.rig import dialled, environment


async def hearing(controller: Serving, uuid: str) -> str:
    """The way in which the one call's caller is heard."""
    (call,) = (await controller.get("/calls"))["calls"]
    assert call["call_uuid"] == uuid
    return str(call["hearing"])


async def test_a_killed_controller_gets_its_call_back(switch: FreeSwitch, figures: Figures) -> None:
    async with ModelStandIn() as model:
        settings = environment(switch, model.base_url)
        async with AsyncExitStack() as stack:
            first = await stack.enter_async_context(serving(settings))
            phone = await stack.enter_async_context(dialled(switch))
            await phone.hears_speech()
            (call,) = (await first.get("/calls"))["calls"]
            first.kill()
            killed = time.monotonic()
            await first.process.wait()
            second = await stack.enter_async_context(serving(settings))
            ready = time.monotonic()
            again = await phone.hears_speech(15)
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


async def test_a_stopped_controller_hands_its_call_over(
    switch: FreeSwitch, figures: Figures
) -> None:
    """SIGTERM during the greeting: the next controller greets again, and hears by the stream."""
    async with ModelStandIn() as model:
        settings = environment(switch, model.base_url)
        async with AsyncExitStack() as stack:
            async with serving(settings) as first:
                phone = await stack.enter_async_context(dialled(switch))
                await phone.hears_speech()
                (call,) = (await first.get("/calls"))["calls"]
            stopped = time.monotonic()
            second = await stack.enter_async_context(serving(settings))
            again = await phone.hears_speech(15)
            await phone.hears_silence()
            figures["stopped to heard again, ms"].append((again - stopped) * 1000)
            assert await hearing(second, call["call_uuid"]) == "stream"
            await phone.says("caller")
            await phone.hears_speech()
            await phone.hears_silence()
            assert not phone.leg.ended.done()
            assert [line for line in second.lines if line["level"] != "info"] == []

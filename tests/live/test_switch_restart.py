"""FreeSWITCH dies or hangs with calls up: the controller lets go of them, and goes on."""

from __future__ import annotations

import asyncio
import time

from esl_controller.call.states import State
from esl_controller.freeswitch.channel_commands import COMMAND_S
from esl_controller.freeswitch.connection import PING_S
from esl_controller.freeswitch.rescue import LANE_CLOSED_S
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.rig import Live, dial_string, live, until

CALLS = 3


async def calls_up(of: Live) -> None:
    """Callers that are as alive as their switch is."""
    originate = f"originate {{absolute_codec_string=PCMU}}{dial_string(of.switch)} &park()"
    for _ in range(CALLS):
        assert "+OK" in await asyncio.to_thread(of.switch.api, originate)
    calls = of.controller.calls.calls
    await until(lambda: [one.call.state for one in calls.values()] == [State.TALKING] * CALLS, 15)


async def let_go(of: Live, timeout: float) -> None:
    """No call, no lane, no media WebSocket is left; new calls are welcome."""
    controller = of.controller
    await until(lambda: not controller.calls.calls, timeout)
    await until(lambda: not controller.ports.taken and not controller.clock.lanes)
    await until(lambda: not controller.streams._open)
    assert controller.calls.ready
    for number in range(CALLS):
        assert (await of.stored(number)).outcome == "interrupted"


async def a_call_works(of: Live) -> None:
    async with of.phone() as phone:
        await phone.hears_speech()
        await phone.hears_silence()
        await phone.says("caller")
        await phone.hears_speech()


async def test_a_killed_switch_comes_back_and_calls_work(
    any_switch: FreeSwitch, figures: Figures
) -> None:
    async with live(any_switch) as of:
        await calls_up(of)
        killed = time.monotonic()
        await asyncio.to_thread(any_switch.kill)
        try:
            await let_go(of, 2)
            figures["FreeSWITCH killed to its calls let go, ms"].append(
                (time.monotonic() - killed) * 1000
            )
        finally:
            await asyncio.to_thread(any_switch.start)
        for number in range(CALLS):
            assert "connection was lost" in (await of.stored(number)).cause
        await a_call_works(of)


async def test_a_switch_that_hangs_is_noticed_and_its_call_goes_on(
    any_switch: FreeSwitch, figures: Figures
) -> None:
    async with live(any_switch) as of, of.phone() as phone:
        await phone.hears_speech()
        await phone.hears_silence()
        with any_switch.frozen():
            hangs = time.monotonic()
            await until(lambda: not of.controller.calls.calls, PING_S + COMMAND_S + 1)
            figures["FreeSWITCH hangs to its call let go, ms"].append(
                (time.monotonic() - hangs) * 1000
            )
            await until(lambda: not of.controller.ports.taken)
            assert of.controller.calls.ready
            assert "the switch no longer answers" in (await of.stored()).cause
        woke = time.monotonic()
        await until(lambda: of.controller.calls.taken == 2, LANE_CLOSED_S + 2)
        figures["FreeSWITCH wakes to its call back, s"].append(time.monotonic() - woke)
        (session,) = of.controller.calls.calls.values()
        await until(lambda: session.call.state is State.TALKING)
        await phone.hears_silence()
        await phone.says("caller")
        await phone.hears_speech()
        stored = await of.stored()
        assert (session.epoch, stored.outcome) == (1, "")

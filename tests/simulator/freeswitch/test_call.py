"""The caller: what it waits for and what it hears."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np
import pytest

from esl_controller.simulator.freeswitch import CallStandIn, SwitchStandIn
from esl_controller.simulator.freeswitch.causes import cause_of
from tests.simulator.freeswitch.rig import (
    Controller,
    ControllerServer,
    LaneEnd,
    free_udp_port,
)

LOUD, QUIET = np.full(160, 3000, np.int16).tobytes(), bytes(320)


@asynccontextmanager
async def rig() -> AsyncIterator[tuple[CallStandIn, Controller, LaneEnd, int]]:
    lane = LaneEnd()
    async with ControllerServer().run() as server, SwitchStandIn(server.target) as switch:
        call = await switch.call(variables={"domain_uuid": "d-1", "own": "é x"})
        controller = await server.next()
        yield call, controller, lane, free_udp_port()
    lane.close()


async def test_a_call_from_its_first_ring_to_its_end() -> None:
    async with rig() as (call, controller, lane, port):
        data = await controller.ask("connect")
        assert data.get("variable_domain_uuid") == "d-1"
        assert data.get("variable_own") == "é x"
        assert data.get("Caller-Caller-ID-Number") == "+551199990000"
        assert not call.is_answered
        with pytest.raises(TimeoutError):
            await call.answered(timeout=0.05)
        await controller.execute("answer")
        await call.answered()
        assert not call.lane_is_open
        await controller.unicast(port, lane.port)
        await lane.receive()
        assert call.lane_is_open
        lane.send(QUIET, port)
        await call.lane_open()
        sound = asyncio.create_task(call.wait_heard())
        await asyncio.sleep(0.02)
        lane.send(LOUD, port)
        at = await sound
        assert at == call.heard[-1][0]
        assert call.longest_gap() == pytest.approx(call.heard[1][0] - call.heard[0][0])
        await controller.hangup("user_busy")
        assert await call.ended() == call.cause == "USER_BUSY"


async def test_waiting_for_silence() -> None:
    async with rig() as (call, controller, lane, port):
        await controller.open_call()
        await controller.unicast(port, lane.port)
        await lane.receive()
        loop = asyncio.get_running_loop()

        async def speak() -> float:
            for _ in range(6):
                lane.send(LOUD, port)
                await asyncio.sleep(0.02)
            last = loop.time()
            for _ in range(6):
                lane.send(QUIET, port)
                await asyncio.sleep(0.02)
            return last

        speaker = asyncio.create_task(speak())
        began = await call.wait_silence(0.1)
        assert began == pytest.approx(await speaker, abs=0.03)
        heard = call.heard_pcm(16000)
        assert (np.abs(heard) > 2000).sum() == pytest.approx(6 * 320, abs=200)


async def test_falling_silent() -> None:
    async with rig() as (call, *_):
        call.speak(np.ones(80000, np.int16), 8000)
        assert call.speaking_for == 10.0
        call.stop_speaking()
        assert call.speaking_for == 0.0


async def test_dtmf_ends_a_playback_by_star_alone() -> None:
    async with rig() as (call, controller, *_):
        await controller.open_call()
        await controller.execute("playback", "silence_stream://-1")
        await controller.event("PLAYBACK_START")
        call.dtmf("5")
        assert (await controller.event("DTMF")).get("DTMF-Digit") == "5"
        call.dtmf("*")
        assert (await controller.event("PLAYBACK_STOP")).get("Playback-Status") == "break"


async def test_ended_calls_are_kept_until_dropped() -> None:
    async with ControllerServer().run() as server, SwitchStandIn(server.target) as switch:
        call = await switch.call()
        call.hangup()
        await call.ended()
        assert switch.calls == {call.uuid: call}
        switch.drop_ended()
        assert switch.calls == {}
        with pytest.raises(ValueError, match="unsupported rate"):
            await switch.call(rate=11025)


@pytest.mark.parametrize(
    ("text", "cause"),
    [("", "NORMAL_CLEARING"), ("nonsense", "NORMAL_CLEARING"), ("17", "USER_BUSY"), ("9", "NONE")],
)
def test_causes(text: str, cause: str) -> None:
    assert cause_of(text) == cause


async def test_a_number_without_an_extension() -> None:
    async with ControllerServer().run() as server, SwitchStandIn(server.target) as switch:
        lost = await switch.call("9999")
        assert await lost.ended() == "NO_ROUTE_DESTINATION"
        assert not lost.is_answered
        call = await switch.call()
        await (await server.next()).open_call()
        await switch.api("uuid_transfer", f"{call.uuid} 9999 XML default")
        assert await call.ended() == "NO_ROUTE_DESTINATION"


async def test_a_dialplan_of_one_line() -> None:
    async with ControllerServer().run() as server, SwitchStandIn(server.target) as switch:
        call = await switch.call()
        await (await server.next()).open_call()
        line = "m:^:set:a=1, 2^set:b=${destination_number}^hangup:USER_BUSY"
        assert await switch.api("uuid_transfer", f"{call.uuid} '{line}' inline") == "+OK\n"
        assert await call.ended() == "USER_BUSY"
        assert (call.variables["a"], call.variables["b"]) == ("1, 2", "8000")


async def test_a_hangup_that_was_put_off_can_be_called_off() -> None:
    async with ControllerServer().run() as server, SwitchStandIn(server.target) as switch:
        call = await switch.call()
        await (await server.next()).open_call()
        for _ in range(2):
            await switch.api("sched_hangup", f"+0 {call.uuid}")
        assert await switch.api("sched_del", call.uuid) == "+OK Deleted: 2\n"
        await asyncio.sleep(0.05)
        assert call.cause == ""
        assert await switch.api("sched_del", call.uuid) == "+OK Deleted: 0\n"


async def test_a_command_that_the_dialplan_puts_off_has_a_group_of_its_own() -> None:
    line = "m:^:set:task=${sched_api(+0 ${uuid}.x uuid_kill ${uuid} USER_BUSY&)}^sleep:5000"
    async with ControllerServer().run() as server, SwitchStandIn(server.target) as switch:
        call = await switch.call()
        await (await server.next()).open_call()
        assert await switch.api("sched_api", f"+1 {call.uuid}.x") == (
            "-ERR Invalid syntax. USAGE: [+@]<time> <group_name> <command_string>[&]\n"
        )
        await switch.api("sched_api", f"+9 {call.uuid}.y uuid_kill {call.uuid}")
        await switch.api("uuid_transfer", f"{call.uuid} '{line}' inline")
        assert await call.ended() == "USER_BUSY"
        assert call.variables["task"].startswith("+OK Added: ")
        assert await switch.api("sched_del", f"{call.uuid}.y") == "+OK Deleted: 1\n"

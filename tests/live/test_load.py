"""Twenty calls at once for a minute (LIVE_SECONDS), the controller a process as in operation."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass

import numpy as np

from esl_controller import sounds
from media.frame import Samples
from media.resample import convert
from tests.live.audio import match, through_telephone
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.processes import model_process, serving
from tests.live.rig import Phone, dialled, environment, until_async

CALLS = 20
SECONDS = float(os.environ.get("LIVE_SECONDS", "60"))


@dataclass
class Call:
    """One caller's part: when it waited for each reply, and all that it heard."""

    phone: Phone
    turns: list[float]


async def converse(switch: FreeSwitch, everybody: asyncio.Barrier) -> Call:
    """One call, until all have talked for SECONDS."""
    async with dialled(switch) as phone:
        await everybody.wait()
        until = time.monotonic() + SECONDS
        await phone.hears_silence()
        turns = []
        while time.monotonic() < until:
            turns.append(await phone.says("caller"))
            await phone.hears_speech()
            await phone.hears_silence()
        await everybody.wait()  # so that all 20 are there all the time
        return Call(phone, turns)


def telephone(name: str) -> Samples:
    values, rate = sounds.load(name)
    return through_telephone(convert(values, rate, 8000), "PCMU")


async def test_twenty_calls_at_once(switch: FreeSwitch, figures: Figures) -> None:
    name = f"{switch.build.name} {CALLS} calls"
    async with (
        model_process() as base_url,
        serving(environment(switch, base_url)) as controller,
        asyncio.timeout(SECONDS + 60),
    ):
        everybody = asyncio.Barrier(CALLS)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(converse(switch, everybody)) for _ in range(CALLS)]
            await asyncio.sleep(SECONDS / 2)
            assert len((await controller.get("/calls"))["calls"]) == CALLS
        told = await controller.get("/calls")

        async def no_calls() -> bool:
            return not (await controller.get("/calls"))["calls"]

        await until_async(no_calls)
    assert [line for line in controller.lines if line["level"] not in ("info", "debug")] == []
    greeting, words = telephone("greeting"), telephone("caller")
    for call in (task.result() for task in tasks):
        phone, said = call.phone, call.turns
        heard = phone.heard()
        found = match(heard, greeting)
        assert found.correlation >= 0.95
        assert found.worst < 0.02, "a run of the greeting was dropped, doubled or shifted"
        assert said, "nobody was answered to"
        for at in said:
            reply = match(phone.heard(at), words)
            figures[f"{name}: reply held against the words, correlation"].append(reply.correlation)
            assert reply.correlation >= 0.95
        gap = float(np.diff(phone.leg.times).max()) * 1000
        figures[f"{name}: longest time between two frames heard, ms"].append(gap)
        assert gap <= 40
    clock = told["clock"]
    figures[f"{name}: the controller's ticks"].append(clock["ticks"])
    figures[f"{name}: of them late, more than 5 ms"].append(clock["late"])
    figures[f"{name}: the latest, ms"].append(clock["worst_late_ms"])
    for line in controller.lines:
        if line["event"] == "call over":
            figures[f"{name}: connect to stream and lane, ms"].append(
                1000 * max(line["stream_s"], line["lane_s"])
            )

"""Twenty calls at once for a minute (LIVE_SECONDS), the controller a process as in operation."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import AsyncExitStack

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


async def talk(phone: Phone, until: float) -> list[float]:
    """Converse until a moment; when each reply began to be waited for."""
    await phone.hears_silence()
    turns = []
    while time.monotonic() < until:
        turns.append(await phone.says("caller"))
        await phone.hears_speech()
        await phone.hears_silence()
    return turns


def telephone(name: str) -> Samples:
    values, rate = sounds.load(name)
    return through_telephone(convert(values, rate, 8000), "PCMU")


async def test_twenty_calls_at_once(switch: FreeSwitch, figures: Figures) -> None:
    name = f"{switch.build.name} {CALLS} calls"
    async with AsyncExitStack() as stack:
        base_url = await stack.enter_async_context(model_process())
        controller = await stack.enter_async_context(serving(environment(switch, base_url)))
        async with AsyncExitStack() as callers:
            phones = await asyncio.gather(
                *(callers.enter_async_context(dialled(switch)) for _ in range(CALLS))
            )
            until = time.monotonic() + SECONDS
            turns = await asyncio.gather(*(talk(phone, until) for phone in phones))
            told = await controller.get("/calls")
            assert len(told["calls"]) == CALLS

        async def no_calls() -> bool:
            return not (await controller.get("/calls"))["calls"]

        await until_async(no_calls)
    assert [line for line in controller.lines if line["level"] not in ("info", "debug")] == []
    greeting, words = telephone("greeting"), telephone("caller")
    for phone, said in zip(phones, turns, strict=True):
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

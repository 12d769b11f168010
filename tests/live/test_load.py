"""Twenty calls at once for a minute (LIVE_SECONDS), the controller a process as in operation."""

from __future__ import annotations

import asyncio
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from media.frame import Samples
from media.lane import Clock
from tests.live.audio import LOUD, match, rms, through_telephone
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.processes import Serving, model_process, serving
from tests.live.rig import Phone, dialled, environment, until_async, words

CALLS = 20
BETWEEN_S = 0.25  # calls dialled
SETTLED_S = 1.0  # the phones are answered all at once, and their jitter buffers fill
BETWEEN_TURNS_S = 1.0  # of silence at least; the words have shorter pauses
LATE = 0.005  # of the controller's ticks, on a machine that all processes of the test share
REPLY_S = 6.5  # the stand-in's thinking, and all that it repeats
SECONDS = float(os.environ.get("LIVE_SECONDS", "60"))


@dataclass
class Call:
    """One caller's part: when it waited for each reply, and all that it heard."""

    phone: Phone
    turns: list[float]


async def converse(switch: FreeSwitch, everybody: asyncio.Barrier, clock: Clock) -> Call:
    """One call, until all have talked for SECONDS."""
    async with dialled(switch, clock=clock) as phone:
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


def speech_of(heard: Samples) -> Samples:
    """From the first to the last loud frame."""
    loud = loud_frames(heard)
    return heard[loud[0] * 160 : (loud[-1] + 1) * 160]


def turns_of(at_model: Samples) -> list[Samples]:
    """What the model heard, cut in the middle of each long silence. The same words are said in each
    turn, and heard a little differently."""
    loud = loud_frames(at_model)
    pauses = np.flatnonzero(np.diff(loud) > BETWEEN_TURNS_S * 50)
    return np.split(at_model, 80 * (loud[pauses] + loud[pauses + 1]))


def loud_frames(heard: Samples) -> npt.NDArray[np.intp]:
    """The numbers of its frames that are speech."""
    frames = heard[: heard.size // 160 * 160].reshape(-1, 160)
    return np.flatnonzero([rms(frame) > LOUD for frame in frames])


async def converse_all(
    switch: FreeSwitch, controller: Serving, clock: Clock
) -> tuple[list[Call], dict[str, Any]]:
    """All calls, and what the controller says of itself at their end."""
    everybody = asyncio.Barrier(CALLS)
    async with asyncio.timeout(SECONDS + 60), asyncio.TaskGroup() as group:
        tasks = []
        for _ in range(CALLS):
            tasks.append(group.create_task(converse(switch, everybody, clock)))
            # Set-up is not what is measured here, and all processes share the processors.
            await asyncio.sleep(BETWEEN_S)
        await asyncio.sleep(SECONDS / 2)
        assert len((await controller.get("/calls"))["calls"]) == CALLS
    return [task.result() for task in tasks], await controller.get("/calls")


async def test_twenty_calls_at_once(switch: FreeSwitch, figures: Figures, tmp_path: Path) -> None:
    name, clock = f"{switch.build.name} {CALLS} calls", Clock()
    async with (
        model_process(tmp_path) as model,
        serving(environment(switch, model.base_url)) as controller,
    ):
        calls, told = await converse_all(switch, controller, clock)

        async def no_calls() -> bool:
            return not (await controller.get("/calls"))["calls"]

        await until_async(no_calls)
    assert [line for line in controller.lines if line["level"] not in ("info", "debug")] == []
    greeting = through_telephone(words("greeting", 8000), "PCMU")
    said = through_telephone(words("caller", 8000), "PCMU")
    # The calls came one after the other, and so did the model's sessions.
    for call, at_model in zip(calls, model.heard, strict=True):
        found = match(call.phone.heard(), greeting)
        assert found.correlation >= 0.95
        assert found.worst < 0.02, "a run of the greeting was dropped, doubled or shifted"
        assert call.turns, "nobody was answered to"
        for at, turn in zip(call.turns, turns_of(at_model), strict=True):
            reply = call.phone.heard(at, at + REPLY_S)
            # The model repeats what it heard: all of that, and nothing else, must be heard.
            repeated = match(turn, speech_of(reply))
            assert repeated.worst < 0.02, "a run of the reply was dropped, doubled or shifted"
            words_kept = match(reply, said).correlation
            figures[f"{name}: caller's words at the model, correlation"].append(words_kept)
        times = np.array(call.phone.leg.times)
        gaps = np.diff(times[times > times[0] + SETTLED_S]) * 1000
        figures[f"{name}: longest time between two frames heard, ms"].append(float(gaps.max()))
        # What this process itself was late for is no gap on the line.
        assert gaps.max() <= 40 + clock.worst_late_ms
    ticks = told["clock"]
    assert ticks["late"] < LATE * ticks["ticks"]
    figures[f"{name}: the callers' own latest tick, ms"].append(clock.worst_late_ms)
    figures[f"{name}: the controller's ticks"].append(ticks["ticks"])
    figures[f"{name}: of them late, more than 5 ms"].append(ticks["late"])
    figures[f"{name}: the latest, ms"].append(ticks["worst_late_ms"])
    for line in controller.lines:
        if line["event"] == "call over":
            figures[f"{name}: connect to stream and lane, ms"].append(
                1000 * max(line["stream_s"], line["lane_s"])
            )

"""One SIP call that outlives many controllers: nothing grows, here and on the switch."""

from __future__ import annotations

import os
import signal
from contextlib import AsyncExitStack
from itertools import cycle, islice
from pathlib import Path

import numpy as np

from benchmarks.processes import Footprint
from esl_controller.simulator.model import ModelStandIn
from esl_controller.store import reading
from tests.calls.rig import words_of
from tests.live.audio import as_played, match
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.processes import serving
from tests.live.rig import Phone, dialled, environment, until
from tests.live.test_restart import history

RESTARTS = int(os.environ.get("RESTARTS", "20"))
WAYS = (signal.SIGKILL, signal.SIGTERM)
AT_REST_FRAMES = 50
MORE_MB = 6.0
MORE = 2  # open files, threads
SWITCH_FILES = 8  # for a restart
SWITCH_MB = 3.0
FREED_S = 15.0


async def goes_on(model: ModelStandIn, phone: Phone, sessions: int) -> None:
    """Wait until somebody has the call again, and it has been at rest for a while."""
    await until(lambda: len(model.sessions) == sessions, 20)
    frames = len(phone.leg.times) + AT_REST_FRAMES
    await phone.until(lambda: len(phone.leg.times) >= frames, 15)


async def test_a_call_outlives_its_controllers_and_nothing_grows(
    switch: FreeSwitch, figures: Figures, tmp_path: Path
) -> None:
    footprints: dict[str, list[Footprint]] = {"controller": [], "FreeSWITCH": []}
    store = f"sqlite:///{tmp_path}/calls.db"
    async with ModelStandIn(greeting="caller_interrupts") as model, AsyncExitStack() as stack:
        settings = environment(switch, model.base_url, STORE_URL=store)
        controller = await stack.enter_async_context(serving(settings))
        phone = await stack.enter_async_context(dialled(switch))
        await phone.hears_speech()
        await phone.hears_silence()
        before = Footprint.of(switch.pid)
        for number, how in enumerate(islice(cycle(WAYS), RESTARTS)):
            heard = len(phone.leg.times)
            controller.process.send_signal(how)
            await controller.process.wait()
            controller = await stack.enter_async_context(serving(settings))
            await goes_on(model, phone, number + 2)
            footprints["controller"].append(Footprint.of(controller.process.pid))
            footprints["FreeSWITCH"].append(Footprint.of(switch.pid))
            pause_ms = float(np.diff(phone.leg.times[heard - 1 :]).max() * 1000)
            figures["restarts: longest time between two frames, ms"].append(pause_ms)
        spoken_at = await phone.says("caller")
        await phone.hears_speech()
        await phone.hears_silence()
        answer = list(model.sessions[-1].record.spoken.values())[-1]
        sent = as_played(bytes(answer.audio), answer.format, phone.leg.rate)
        assert match(phone.heard(spoken_at), sent).correlation >= 0.95
        assert not phone.leg.ended.done()
        (call,) = (await controller.get("/calls"))["calls"]
    assert history(model, RESTARTS) == [("assistant", words_of("caller_interrupts"))]
    async with reading(store) as reader:
        stored = await reader.call(call["call_uuid"])
    assert stored is not None
    assert [turn.who for turn in stored.turns] == ["agent", "caller", "agent"]
    # An sptmru build has more to tell: it is mute once a connection was refused.
    lost = [note for note in stored.notes if note.text.startswith("a controller was lost")]
    assert len(lost) == RESTARTS
    for name, those in footprints.items():
        figures[f"restarts: memory of the {name}, MB"] += [one.memory_mb for one in those]
        figures[f"restarts: open files of the {name}"] += [float(one.files) for one in those]
        figures[f"restarts: threads of the {name}"] += [float(one.threads) for one in those]
    first, last = footprints["controller"][0], footprints["controller"][-1]
    assert last.memory_mb < first.memory_mb + MORE_MB
    assert last.files <= first.files + MORE
    assert last.threads <= first.threads + MORE
    # What FreeSWITCH opens for a connection, a lane or a stream it keeps until the call ends.
    last = footprints["FreeSWITCH"][-1]
    assert last.files <= before.files + SWITCH_FILES * RESTARTS
    assert last.memory_mb < before.memory_mb + SWITCH_MB * RESTARTS
    assert last.threads <= before.threads + MORE
    await until(lambda: Footprint.of(switch.pid).files <= before.files + MORE, FREED_S)

"""Calls that come and go for a long time, and what is left of them: `make soak MINUTES=60`.

`python -m benchmarks.soak`: the controller as an operator runs it, the switch and the model as
stand-ins in this process. Callers listen, speak, interrupt, hang up in mid-word; the model dies in
mid-word, stalls, refuses, and calls a webhook. Nothing of that may stay in the controller.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import sqlite3
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, get_args

import structlog
import uvloop
from aiohttp import web

from benchmarks.processes import READY_S, Footprint, fetch, logged, started
from benchmarks.report import Figure, table
from esl_controller.simulator.freeswitch import CallStandIn, SwitchStandIn
from esl_controller.simulator.freeswitch.events import CodecName
from esl_controller.simulator.model import ModelFaults, ModelStandIn, ScriptedCall
from media import sounds

CODECS: Final = get_args(CodecName)
FAULTS_S: Final = 3.0  # for so long each new connection to the model meets the same faults
SAMPLE_S: Final = 5.0
REST_S: Final = 8.0  # after the last call: deliveries are made, connections closed
WARM: Final = 1 / 6  # of the time: until then memory may still grow
LONG_MIN: Final = 20.0  # from so many minutes on, memory is flat within 2 %; else within 6
FAULTS: Final = (
    *[ModelFaults()] * 6,
    ModelFaults(close_after_ms=800, close_how="abrupt"),
    ModelFaults(close_after_ms=1500),
    ModelFaults(stall_after_ms=500),
    ModelFaults(too_many=True),
    ModelFaults(fail_responses=1),
    ModelFaults(sprinkle_every=5),
)
SECRETARY: Final = """
language = "en"
[events]
call_ended_url = "URL/ended"
[[tools.webhooks]]
name = "look_up"
description = "Look it up."
url = "URL/look_up"
"""


NOTHING: Final = Footprint(0.0, 0, 0)


@dataclass
class Soak:
    """What was seen. ``samples``: when, in seconds since the first call, and what it took then."""

    before: Footprint = NOTHING
    calls: int = 0
    hooks: int = 0
    ended: int = 0  # of the calls, as the operator's server was told
    samples: list[tuple[float, Footprint]] = field(default_factory=list)
    after: Footprint = NOTHING
    live: int = 0
    unfinished: int = 0
    undelivered: int = 0
    errors: list[str] = field(default_factory=list)

    def growth(self, seconds: float) -> float:
        """By how much the mean of the last sixth's memory is above that after the first, in %."""
        part = seconds * WARM
        warm = [f.memory_mb for at, f in self.samples if part <= at < 2 * part]
        late = [f.memory_mb for at, f in self.samples if at >= seconds - part]
        if not warm or not late:
            return 0.0
        return (sum(late) / len(late) / (sum(warm) / len(warm)) - 1) * 100

    def figures(self, minutes: float) -> list[Figure]:
        """The table's lines."""
        flat = 2.0 if minutes >= LONG_MIN else 6.0
        return [
            Figure("calls", self.calls, ""),
            Figure("  webhook functions asked", self.hooks, ""),
            Figure("memory after the first call", self.before.memory_mb, "MB"),
            Figure("  after the last", self.after.memory_mb, "MB"),
            Figure("  its growth once warm", self.growth(minutes * 60), "%", flat),
            Figure("files left", self.after.files - self.before.files, "", 2),
            Figure("threads left", self.after.threads - self.before.threads, "", 2),
            Figure("calls left", self.live, "", 0),
            Figure("calls without an end in the record", self.unfinished, "", 0),
            Figure("ended calls that the server was not told of", self.calls - self.ended, "", 0),
            Figure("deliveries left", self.undelivered, "", 0),
            Figure("errors in the log", len(self.errors), "", 0),
        ]


@contextlib.asynccontextmanager
async def _operator(of: Soak) -> AsyncIterator[str]:
    """The operator's server; its URL."""

    async def look_up(request: web.Request) -> web.Response:
        of.hooks += 1
        await asyncio.sleep(random.uniform(0, 0.5))
        return web.json_response({"found": "it"})

    async def ended(request: web.Request) -> web.Response:
        of.ended += 1
        return web.Response()

    app = web.Application()
    app.add_routes([web.post("/look_up", look_up), web.post("/ended", ended)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def _live(call: CallStandIn, chance: random.Random) -> None:
    """One caller's call."""
    said, rate = sounds.load("caller", "en")
    with contextlib.suppress(TimeoutError):
        await call.wait_heard(timeout=15)
        match chance.choice(("interrupts", "asks", "asks", "listens", "leaves")):
            case "interrupts":
                call.speak(said, rate)
                await asyncio.sleep(call.speaking_for + chance.uniform(0, 2))
            case "asks":
                for _ in range(2):
                    await call.wait_silence(0.7, timeout=15)
                    call.speak(said, rate)
                    await asyncio.sleep(call.speaking_for)
                    await call.wait_heard(timeout=10)
            case "listens":
                await call.wait_silence(0.7, timeout=15)
            case "leaves":
                await asyncio.sleep(chance.uniform(0, 0.5))
    call.hangup()
    with contextlib.suppress(TimeoutError):
        await call.ended()


async def _callers(of: Soak, switch: SwitchStandIn, until: float, seed: int) -> None:
    """One call after the other."""
    chance = random.Random(seed)
    while time.monotonic() < until:
        await asyncio.sleep(chance.uniform(0, 1))
        of.calls += 1
        await _live(await switch.call(codec=chance.choice(CODECS)), chance)


async def _faults(model: ModelStandIn) -> None:
    chance = random.Random(1)
    while True:
        model.faults = chance.choice(FAULTS)
        await asyncio.sleep(FAULTS_S)


async def _samples(of: Soak, process: Process, began: float) -> None:
    while True:
        await asyncio.sleep(SAMPLE_S)
        of.samples.append((time.monotonic() - began, Footprint.of(process.pid)))
        if len(of.samples) % 12 == 0:
            last = of.samples[-1][1]
            minutes = len(of.samples) * SAMPLE_S / 60
            told = f"{minutes:.0f} min, {of.calls} calls, {last.memory_mb:.1f} MB"
            print(told, file=sys.stderr, flush=True)


async def run(minutes: float, callers: int) -> Soak:
    """Let so many callers call for so long."""
    of = Soak()
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = await stack.enter_async_context(_operator(of))
        (folder / "default.toml").write_text(SECRETARY.replace("URL", url))
        script = (ScriptedCall(1, "look_up"),)
        model = await stack.enter_async_context(ModelStandIn(script=script, record=False))
        environment = {
            "OPENAI_API_KEY": "sk-soak",
            "ESL_CONTROLLER_AGENT_BASE_URL": model.base_url,
            "ESL_CONTROLLER_STORE_URL": f"sqlite:///{folder}/calls.db",
            "ESL_CONTROLLER_SECRETARIES_FOLDER": str(folder),
            "ESL_CONTROLLER_WEBHOOK_ALLOW": "127.0.0.0/8",
            "ESL_CONTROLLER_LOG_FORMAT": "json",
            "ESL_CONTROLLER_ESL_MAX_LOAD": "0",
            **{f"ESL_CONTROLLER_{part}_PORT": "0" for part in ("ESL", "MEDIA", "WEB")},
        }
        log = folder / "controller.log"
        process = await stack.enter_async_context(
            started("esl_controller", "serve", environment=environment, log=log)
        )
        async with asyncio.timeout(READY_S):
            at = await logged("ready", process, log)
            await logged("settled", process, log)
        switch = await stack.enter_async_context(SwitchStandIn(at["esl"]))
        # What the first call opens stays: the record's connections, for one.
        of.calls += 1
        await _live(await switch.call(), random.Random(0))
        of.before, began = Footprint.of(process.pid), time.monotonic()
        background = [
            asyncio.create_task(_faults(model)),
            asyncio.create_task(_samples(of, process, began)),
        ]
        async with asyncio.TaskGroup() as group:
            for seed in range(callers):
                group.create_task(_callers(of, switch, began + minutes * 60, seed))
        model.faults = ModelFaults()
        await asyncio.sleep(REST_S)
        for task in background:
            task.cancel()
        await asyncio.gather(*background, return_exceptions=True)
        of.after = Footprint.of(process.pid)
        of.live = len((await asyncio.to_thread(fetch, f"{at['web']}/calls"))["calls"])
        _look_at_record(of, folder / "calls.db")
        lines = [json.loads(line) for line in log.read_text().splitlines() if line[:1] == "{"]
        of.errors = [line["event"] for line in lines if line["level"] in ("error", "critical")]
    return of


def _look_at_record(of: Soak, path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as there:
        (of.unfinished,) = there.execute(
            "SELECT count(*) FROM calls WHERE ended_at IS NULL"
        ).fetchone()
        (of.undelivered,) = there.execute("SELECT count(*) FROM deliveries").fetchone()


def main() -> int:
    """Run; 0, or 1 if something is left."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--callers", type=int, default=10, help="at the same time")
    args = parser.parse_args()
    of = uvloop.run(run(args.minutes, args.callers))
    print(table(figures := of.figures(args.minutes)))
    for event in of.errors[:10]:
        print(f"  error: {event}")
    return int(not all(figure.ok for figure in figures))


if __name__ == "__main__":
    sys.exit(main())

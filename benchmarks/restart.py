"""What callers notice of a controller that is killed or stopped while they talk.

The controllers are processes, as in operation; all calls go over the stand-ins:
`python -m benchmarks.restart`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
import tempfile
import time
import wave
from asyncio.subprocess import Process
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias

import numpy as np
import structlog
import uvloop

from benchmarks.processes import READY_S, logged, ready, stop
from benchmarks.report import Figure, table
from esl_controller.freeswitch.dialplan import WAITS_MS
from esl_controller.simulator.freeswitch import CallStandIn, Ladder, SwitchStandIn
from esl_controller.simulator.model import ModelStandIn
from media import sounds

EVERY_S: Final = 0.1  # between two calls dialled
PATIENCE_S: Final = 30.0
LOADED_S: Final = 2.0  # the model's client, else they hear "one moment" first
WRITTEN_S: Final = 2.0  # after that what was said is written down, also on a busy machine
LADDER: Final = Ladder(waits_ms=WAITS_MS)  # what operators have


@dataclass
class Result:
    """What was seen in one kind of restart; times in seconds, one for each call."""

    name: str
    limit_ms: float
    calls: int = 0
    lost: int = 0
    forgotten: int = 0
    """Calls that began anew."""
    silent: list[float] = field(default_factory=list)

    def figures(self) -> list[Figure]:
        """The table's lines."""
        p95 = float(np.percentile(self.silent, 95)) * 1000 if self.silent else np.nan
        half = float(np.median(self.silent)) * 1000 if self.silent else np.nan
        return [
            Figure(f"{self.name}: calls lost, of {self.calls}", self.lost, "", 0),
            Figure("  that forgot what was said", self.forgotten, "", 0),
            Figure("  without us, p50", half, "ms"),
            Figure("  without us, p95", p95, "ms", self.limit_ms),
        ]


class Stage:
    """Switch, model, and controllers that listen beside each other."""

    def __init__(self, folder: Path, stack: contextlib.AsyncExitStack, **model: Any) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.folder = folder
        self.model = ModelStandIn(think_ms=20, **model)
        self.switch = SwitchStandIn(f"127.0.0.1:{port}", ladder=LADDER)
        self.processes: list[Process] = []
        self._stack = stack
        self._settings = {
            "ESL_PORT": str(port),
            "ESL_SHARE": "true",
            "MEDIA_PORT": "0",
            "WEB_PORT": "0",
            "STORE_URL": f"sqlite:///{folder}/calls.db",
            "LOG_FORMAT": "json",
        }

    async def open(self) -> None:
        """Start switch and model."""
        await self._stack.enter_async_context(self.model)
        await self._stack.enter_async_context(self.switch)
        self._stack.push_async_callback(self._stop_all)

    async def start(self, *arguments: str) -> tuple[Process, Path]:
        """Start a controller, and do not wait for it."""
        log = self.folder / f"controller-{len(self.processes)}.log"
        environment = {
            "OPENAI_API_KEY": "sk-bench",
            "PATH": "/usr/bin:/bin",
            "ESL_CONTROLLER_AGENT_BASE_URL": self.model.base_url,
            **{f"ESL_CONTROLLER_{name}": value for name, value in self._settings.items()},
        }
        with log.open("wb") as errors:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "esl_controller", "serve", *arguments),
                env=environment,
                stderr=errors,
            )
        self.processes.append(process)
        return process, log

    async def controller(self) -> Process:
        """One that is ready."""
        process, log = await self.start()
        await ready(process, log)
        return process

    async def supervised(self) -> int:
        """A supervisor with one worker and a spare; the PID of the worker."""
        process, log = await self.start("--workers", "1")
        worker = await logged("ready", process, log)
        async with asyncio.timeout(READY_S):
            await logged("a spare is ready", process, log)
        return _child(process.pid, str(worker["worker"]))

    async def dial(self, count: int) -> list[CallStandIn]:
        """So many calls, all of which hear the model."""
        await asyncio.sleep(LOADED_S)
        calls = []
        for _ in range(count):
            calls.append(await self.switch.call())
            await asyncio.sleep(EVERY_S)
        await asyncio.gather(*(call.wait_heard(timeout=PATIENCE_S) for call in calls))
        return calls

    async def _stop_all(self) -> None:
        await asyncio.gather(*(stop(process) for process in self.processes))


@contextlib.asynccontextmanager
async def stage(**model: Any) -> AsyncIterator[Stage]:
    """All of it, for one kind of restart."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        of = Stage(folder, stack, **model)
        await of.open()
        yield of


def _child(pid: int, last: str) -> int:
    """The child of a process whose last argument is this."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    words = {c: Path(f"/proc/{c}/cmdline").read_text().rstrip("\0").split("\0") for c in children}
    return next(int(child) for child in children if words[child][-1] == last)


After: TypeAlias = Literal["started again", "stands by", "spare"]
"""Who is there after a kill: one that is started then, one that listens already, or a spare of the
same supervisor."""


async def killed(count: int, result: Result, after: After) -> None:
    """SIGKILL while the model speaks to everybody."""
    with tempfile.NamedTemporaryFile(suffix=".wav") as long:
        _write_long_speech(Path(long.name))
        await _killed(count, result, Path(long.name), after)


def _write_long_speech(path: Path) -> None:
    """So long that nobody is killed between two sentences: then there would be nothing to hear.

    And no longer: what was heard of it is told by its words, which are few for such a long speech.
    """
    words, rate = sounds.load("greeting", "en")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(np.tile(words, 3).tobytes())


async def _killed(count: int, result: Result, speech: Path, after: After) -> None:
    async with stage(speech=speech) as of:
        first = await of.supervised() if after == "spare" else (await of.controller()).pid
        calls = await of.dial(count)
        if after == "stands by":
            await of.controller()
        await asyncio.sleep(WRITTEN_S)
        lost_at = time.monotonic()
        for call in calls:
            of.switch.sessions[call.uuid].channel.variables["controller_lost_at"] = str(
                round(time.time() * 1e6)
            )
        os.kill(first, signal.SIGKILL)
        if after == "started again":
            await of.processes[0].wait()
            await of.start()  # as systemd does
        await _heard_again(calls, lambda at, frame: at > lost_at + 0.06 and any(frame))
        with contextlib.suppress(TimeoutError):
            # Who has waited for long hears us before the model is there.
            await _until(lambda: sum(map(_history, of.model.sessions[count:])) >= count)
        _judge(of, calls, result, lambda at, frame: at > lost_at + 0.06 and any(frame), lost_at)


async def stopped(count: int, result: Result) -> None:
    """SIGTERM while nobody speaks, the next one being up."""
    async with stage(greeting="caller_interrupts") as of:
        first = await of.controller()
        calls = await of.dial(count)
        await asyncio.gather(*(call.wait_silence(0.5, timeout=PATIENCE_S) for call in calls))
        await of.controller()
        await asyncio.sleep(1.0)
        order_at = time.monotonic()
        first.send_signal(signal.SIGTERM)
        await first.wait()
        await _until(lambda: len(of.model.sessions) >= 2 * count)
        await asyncio.sleep(1.0)
        result.calls += count
        result.lost += sum(bool(call.cause) for call in calls)
        for call in calls:
            times = np.array([at for at, _ in call.heard if at > order_at - 0.1])
            result.silent.append(float(np.diff(times).max()))
        result.forgotten += sum(not _history(session) for session in of.model.sessions[count:])


async def _heard_again(calls: list[CallStandIn], speech: Callable[[float, bytes], bool]) -> None:
    def all_heard() -> bool:
        return all(call.cause or any(speech(*each) for each in call.heard[-50:]) for call in calls)

    with contextlib.suppress(TimeoutError):
        await _until(all_heard)


async def _until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


def _judge(
    of: Stage,
    calls: list[CallStandIn],
    result: Result,
    speech: Callable[[float, bytes], bool],
    lost_at: float,
) -> None:
    result.calls += len(calls)
    for call in calls:
        again = next((at for at, frame in call.heard if speech(at, frame)), None)
        if call.cause or again is None:
            result.lost += 1
        else:
            result.silent.append(again - lost_at)
    later = of.model.sessions[len(calls) :]
    result.forgotten += len(calls) - sum(_history(session) for session in later)


def _history(session: Any) -> bool:
    """Whether a session was told what had been said."""
    events = session.record.client_events
    return any(event["type"] == "conversation.item.create" for event in events)


async def run(count: int) -> list[Result]:
    """All kinds."""
    results = [
        Result("killed and started again", 3000),
        Result("killed, another one stands by", 700),
        Result("a worker killed, its spare begins", 800),
        Result("stopped, the next one is up", 400),
    ]
    kinds: list[Awaitable[None]] = [
        killed(count, results[0], "started again"),
        killed(count, results[1], "stands by"),
        killed(count, results[2], "spare"),
        stopped(count, results[3]),
    ]
    for kind, result in zip(kinds, results, strict=True):
        print(f"{result.name} ...", file=sys.stderr, flush=True)
        await kind
    return results


def main() -> int:
    """Run; 0, or 1 if a limit is missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restart", description=__doc__)
    parser.add_argument("--calls", type=int, default=30)
    results = uvloop.run(run(parser.parse_args().calls))
    figures = [figure for result in results for figure in result.figures()]
    print(table(figures))
    return int(not all(figure.ok for figure in figures))


if __name__ == "__main__":
    sys.exit(main())

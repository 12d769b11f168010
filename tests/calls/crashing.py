"""Controllers that are killed at any await: each a process, which starts at once because a fork
server has imported everything before."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Coroutine, Iterable, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any

import uvloop

from esl_controller.config.loading import load
from esl_controller.config.settings import Settings
from esl_controller.server import logs
from esl_controller.server.app import running
from esl_controller.server.shutdown import Shutdown
from tests.paths import ROOT

OURS = tuple(str(ROOT / package) for package in ("esl_controller", "media"))
READY = "ready"
START_S = 20.0
STOP_S = 15.0
_SERVER = multiprocessing.get_context("forkserver")
_SERVER.set_forkserver_preload([__name__, "pytest"])


@dataclass(frozen=True)
class Fate:
    """When a controller is killed: ``calm_s`` after its start, and then before the ``steps``-th
    step, 0 for never, or before, at the ``visit``-th step of the coroutine ``aim``, by its
    qualified name.

    A step is what a task does from one await to the next. Of those at one place in the code the
    first, second, fourth, eighth ... count: so what happens once a call weighs as much as what
    happens with every frame.
    """

    calm_s: float = 0.0
    steps: int = 0
    aim: str = ""
    visit: int = 1


@dataclass(frozen=True)
class Death:
    """A controller was killed: when, in monotonic seconds, and before which step."""

    at: float
    place: str


@dataclass(frozen=True)
class Left:
    """What a controller that was stopped still had: to be nothing."""

    calls: int
    lanes: int
    ports: int


class Controllers:
    """One controller after the other. ``log`` is the file that they write to.

    ``ready``: when each that came so far was, in monotonic seconds.
    """

    def __init__(self, environment: Mapping[str, str], log: Path) -> None:
        self.deaths: list[Death] = []
        self.ready: list[float] = []
        self.left: Left | None = None
        self._environment = dict(environment)
        self._log = log

    async def run(self, fates: Iterable[Fate], over: asyncio.Event) -> None:
        """Start one for each of these fates, and after them one that lives until it is ``over``.
        Whichever lives then is stopped."""
        for fate in (*fates, Fate()):
            report, process = await asyncio.to_thread(self._start, fate)
            try:
                found = await self._report(report)
                if found == READY:
                    self.ready.append(time.monotonic())
                    await _ended_or(process, over)
                    if over.is_set():
                        process.terminate()
                    async with asyncio.timeout(STOP_S if over.is_set() else None):
                        found = await self._report(report)
            finally:
                process.kill()
                process.join()
            if isinstance(found, Left):
                self.left = found
                return
            self.deaths.append(found)

    async def _report(self, report: Connection[Any, Any]) -> Any:
        try:
            return await asyncio.to_thread(report.recv)
        except EOFError:
            raise AssertionError(self._log.read_text()[-2000:]) from None

    def _start(self, fate: Fate) -> tuple[Connection[Any, Any], ForkServerProcess]:
        report, theirs = _SERVER.Pipe(duplex=False)
        process = _SERVER.Process(target=_live, args=(self._environment, self._log, fate, theirs))
        process.start()
        theirs.close()
        return report, process


def warm_up() -> None:
    """Start the fork server: that takes as long as it takes to import everything."""
    process = _SERVER.Process(target=int)
    process.start()
    process.join(START_S)


async def _ended_or(process: ForkServerProcess, event: asyncio.Event) -> None:
    """Wait until the process has ended, or for ``event``."""
    loop, ended = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(process.sentinel, ended.set)
    waits = [asyncio.ensure_future(one.wait()) for one in (ended, event)]
    try:
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        loop.remove_reader(process.sentinel)
        for wait in waits:
            wait.cancel()
        await asyncio.gather(*waits, return_exceptions=True)


# --- in the controller's process ------------------------------------------------------------------


def _live(
    environment: Mapping[str, str], log: Path, fate: Fate, report: Connection[Any, Any]
) -> None:
    with log.open("ab", buffering=0) as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    settings = load(None, environment).settings
    logs.configure(settings.log.format, settings.log.level)
    uvloop.run(_counted(settings, _Countdown(fate, report), report))


async def _counted(settings: Settings, countdown: _Countdown, report: Connection[Any, Any]) -> None:
    loop, shutdown = asyncio.get_running_loop(), Shutdown()

    def stop() -> None:
        countdown.over = True
        shutdown.stop()

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.set_task_factory(countdown.task)
    report.send(await loop.create_task(_serve(settings, shutdown, report)))


async def _serve(settings: Settings, shutdown: Shutdown, report: Connection[Any, Any]) -> Left:
    async with running(settings, shutdown) as controller:
        report.send(READY)
        await shutdown.carry_out(controller.calls)
    return Left(
        len(controller.calls.calls), len(controller.clock.lanes), len(controller.ports.taken)
    )


class _Countdown:
    """Brings about a fate, as kill -9 does; not any more when it is ``over``."""

    def __init__(self, fate: Fate, report: Connection[Any, Any]) -> None:
        self.over = False
        self._from = time.monotonic() + fate.calm_s
        self._steps, self._aimed = fate.steps, fate.visit
        self._aim = fate.aim
        self._report = report
        self._visits: Counter[str] = Counter()

    def task(self, loop: asyncio.AbstractEventLoop, work: Any, **options: Any) -> asyncio.Task[Any]:
        """The loop's task factory."""
        return asyncio.Task(_Steps(work, self), loop=loop, **options)

    def step(self, work: object) -> None:
        """``work`` is about to go on."""
        if self.over or time.monotonic() < self._from:
            return
        codes = _awaited(work)
        place = next((p for p, _ in reversed(codes) if not p.startswith(os.sep)), codes[0][0])
        self._visits[place] += 1
        visits = self._visits[place]
        self._steps -= not visits & (visits - 1)
        self._aimed -= any(name == self._aim for _, name in codes)
        if self._steps == 0 or self._aimed == 0:
            self._report.send(Death(time.monotonic(), f"{place}, visit {visits}"))
            os.kill(os.getpid(), signal.SIGKILL)


class _Steps(Coroutine[Any, Any, Any]):
    """A coroutine whose steps are counted."""

    def __init__(self, work: Any, countdown: _Countdown) -> None:
        self._work = work
        self._countdown = countdown

    def send(self, value: Any) -> Any:
        self._countdown.step(self._work)
        return self._work.send(value)

    def throw(
        self,
        kind: Any,
        value: BaseException | object = None,
        trace: TracebackType | None = None,
    ) -> Any:
        self._countdown.step(self._work)
        return self._work.throw(kind if value is None else value)

    def close(self) -> None:
        self._work.close()

    def __await__(self) -> Any:
        return self._work.__await__()


def _awaited(work: object) -> list[tuple[str, str]]:
    """The coroutines that wait for each other: the line and the qualified name of each. Lines that
    are ours are told from the root of the tree on."""
    found = []
    while (frame := getattr(work, "cr_frame", None)) is not None:
        name = frame.f_code.co_filename
        if name.startswith(OURS):
            name = name.removeprefix(f"{ROOT}{os.sep}")
        found.append((f"{name}:{frame.f_lineno}", frame.f_code.co_qualname))
        work = getattr(work, "cr_await", None)
    return found or [("/", "")]

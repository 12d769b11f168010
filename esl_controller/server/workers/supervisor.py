"""Starts the workers, watches over them, and answers for them: the process of ``serve --workers``.

It imports little and takes no calls, so it has nothing to do most of the time, and nothing that a
caller brings can end it.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import signal
import socket
import sys
import tempfile
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Final

import structlog

from esl_controller.config.settings import Loaded, Settings
from esl_controller.server.listening import serve_locally, serve_tcp, told_by
from esl_controller.server.service_manager import ServiceManager
from esl_controller.server.web.guard import guard
from esl_controller.server.workers import slots
from esl_controller.server.workers.crew import EXTRA, Begin, Crew, Kill, Start, State, Step, Stop
from esl_controller.server.workers.crew import Worker as Member
from esl_controller.server.workers.front import front_routes
from esl_controller.server.workers.worker import BEGIN, LEAVES, WAITS, drain_line

LOOK_S: Final = 0.5  # between two looks at the clock
LATE_S: Final = 1.0  # a look that is later than that: this process stood still
_WEB_PORT = re.compile(r"web at \S+:(\d+)")
_TOLD: Final = {State.SPARE: "a spare is ready", State.LEAVING: "a worker takes no more calls"}

log = structlog.stdlib.get_logger(__name__)


@dataclass(eq=False)
class _Running:
    """A member's process, the socket where it reports, and the task that waits for its end.
    ``web_port``: its name at the local socket, once it takes calls."""

    member: Member
    process: Process
    reports: socket.socket
    task: asyncio.Task[None] | None = None
    web_port: int = 0

    @property
    def stdin(self) -> asyncio.StreamWriter:
        """The line to it."""
        assert self.process.stdin is not None
        return self.process.stdin


class Supervisor:
    """``wanted`` workers with these ``settings``. ``command`` starts one, with what ``slots`` adds
    to ``environment``."""

    def __init__(
        self,
        settings: Settings,
        wanted: int,
        command: Sequence[str],
        environment: Mapping[str, str],
    ) -> None:
        self._settings = settings
        self._command = command
        self._environment = environment
        self._crew = Crew(wanted)
        self._running: dict[Member, _Running] = {}
        self._changed = asyncio.Event()
        self._service_manager = ServiceManager(environment)
        self._status = 0
        self._told_ready = False
        self._folder = Path()
        self._numbers = count(1)  # of the sockets in it

    async def run(self) -> int:
        """Until all have ended; the exit status. Raises OSError where we cannot listen for HTTP."""
        with _socket_folder() as folder, _kept(folder):
            self._folder = Path(folder)
            async with self._front():
                try:
                    await self._watch_over()
                finally:
                    await self._end_all()
        return self._status

    # --- what it is asked to do -------------------------------------------------------------------

    def stop(self) -> None:
        """Have all workers hand over their calls and end. A second request cuts that short."""
        if self._crew.stopping:
            for running in self._running.values():
                _signal(running.process, signal.SIGTERM)
            return
        log.info("stopping", workers=len(self._crew.taking))
        self._service_manager.stopping()
        self._crew.stopping = self._crew.ending = True
        self._changed.set()

    def drain(self, limit_s: float) -> bool:
        """Have all workers drain, and replace none any more. False if they were told to end
        before."""
        if self._crew.ending:
            return False
        self._crew.ending = True
        for member, running in self._running.items():
            if member.state is State.READY:
                running.stdin.write(drain_line(limit_s))
        self._changed.set()
        return True

    def renew(self) -> None:
        """Replace all workers, one after the other, by processes that read the settings anew."""
        if not self._crew.ending:
            log.info("the workers are replaced, one after the other")
            self._crew.renew()
            self._changed.set()

    def web_ports(self) -> dict[int, int]:
        """The workers that take calls: by slot, under which port their local sockets are."""
        return {
            member.slot: running.web_port
            for member, running in sorted(self._running.items(), key=lambda one: one[0].slot)
            if running.web_port
        }

    # --- what it does -----------------------------------------------------------------------------

    async def _watch_over(self) -> None:
        looked_at = self._now()
        while True:
            self._changed.clear()
            now = self._now()
            if (late := now - looked_at - LOOK_S) > LATE_S:
                self._crew.stood_still(late)
            looked_at = now
            for step in self._crew.decide(now):
                await self._do(step)
            if self._crew.ending and not self._running:
                return
            self._service_manager.alive()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._changed.wait()

    async def _do(self, step: Step) -> None:
        match step:
            case Start(member):
                await self._start(member)
            case Begin(member) if running := self._running.get(member):
                running.stdin.write(BEGIN)
            case Stop(member) if running := self._running.get(member):
                if running.web_port:
                    _signal(running.process, signal.SIGTERM)
                else:
                    running.stdin.close()  # it has not begun
            case Kill(member) if running := self._running.get(member):
                log.warning("a worker does not answer: it is killed", worker=member.slot)
                _signal(running.process, signal.SIGKILL)

    async def _start(self, member: Member) -> None:
        try:
            running = await self._spawn(member)
        except OSError as error:
            log.error("a worker cannot be started", worker=member.slot, reason=str(error))
            self._crew.ended(member, self._now())
            return
        self._running[member] = running
        asyncio.get_running_loop().add_reader(running.reports, self._reported, running)
        running.task = asyncio.create_task(self._ended(running))

    async def _spawn(self, member: Member) -> _Running:
        path = self._folder / str(next(self._numbers))
        reports = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            reports.setblocking(False)
            reports.bind(str(path))
            wanted = self._crew.wanted
            own = slots.environment(self._settings, member.slot, wanted + EXTRA, wanted)
            process = await asyncio.create_subprocess_exec(
                *self._command,
                str(member.slot),
                env={**self._environment, **own, "NOTIFY_SOCKET": str(path)},
                stdin=PIPE,
                start_new_session=True,  # Ctrl-C is for the supervisor, which tells them
            )
        except OSError:
            reports.close()
            raise
        return _Running(member, process, reports)

    def _reported(self, running: _Running) -> None:
        try:
            text = running.reports.recv(4096).decode(errors="replace")
        except OSError:
            return
        state = None
        if found := _WEB_PORT.search(text):
            running.web_port = int(found[1])
            state = State.READY
        elif f"STATUS={WAITS}" in text:
            state = State.SPARE
        elif f"STATUS={LEAVES}" in text:
            state = State.LEAVING
        self._crew.told(running.member, state, self._now())
        if running.member.state is state and state in _TOLD:
            log.info(_TOLD[state], worker=running.member.slot)
        if self._crew.complete and not self._told_ready:
            self._told_ready = True
            self._service_manager.ready()
            log.info("ready", workers=self._crew.wanted, pid=os.getpid())
        self._changed.set()

    async def _ended(self, running: _Running) -> None:
        status = await running.process.wait()
        member = running.member
        self._forget(running)
        failed = status != 0 and member.state is State.LEAVING  # by the bug that made it leave
        if self._crew.ended(member, self._now()) or failed:
            log.warning(
                "a worker has ended by itself",
                worker=member.slot,
                status=status,
                was=member.state.value,
            )
            if not self._crew.proven:  # it has said why
                self._status = status if status > 0 else 1
                self._crew.ending = True
        self._changed.set()

    def _forget(self, running: _Running) -> None:
        asyncio.get_running_loop().remove_reader(running.reports)
        Path(running.reports.getsockname()).unlink(missing_ok=True)
        running.reports.close()
        self._running.pop(running.member, None)

    async def _end_all(self) -> None:
        """Only after a bug of ours are there any left."""
        left = list(self._running.values())
        for running in left:
            _signal(running.process, signal.SIGTERM)
        await asyncio.gather(*(running.task for running in left if running.task is not None))

    @contextlib.asynccontextmanager
    async def _front(self) -> AsyncIterator[None]:
        web, share = self._settings.web, self._settings.esl.share
        routes = front_routes(self.web_ports, self.drain)
        async with contextlib.AsyncExitStack() as stack:
            with told_by("web", web.host, web.port):
                port = await serve_tcp(stack, routes, web.host, web.port, guard(web), share=share)
            await serve_locally(stack, routes, port)
            yield

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


def _signal(process: Process, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(number)


def supervise(loaded: Loaded, wanted: int) -> int:
    """Run ``wanted`` workers until SIGTERM or SIGINT; returns the exit status. Logging must be set
    up already. Raises SettingsError and OSError."""
    slots.check(loaded.settings, wanted + EXTRA)
    command = [sys.executable, "-m", "esl_controller", "serve"]
    command += ["--config", str(loaded.path)] if loaded.path else []
    supervisor = Supervisor(loaded.settings, wanted, [*command, "--worker"], os.environ)
    return asyncio.run(_until_told(supervisor))


async def _until_told(supervisor: Supervisor) -> int:
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, supervisor.stop)
    loop.add_signal_handler(signal.SIGHUP, supervisor.renew)
    return await supervisor.run()


def _socket_folder() -> tempfile.TemporaryDirectory[str]:
    """A folder for sockets, whose paths have 107 bytes at most (unix(7)): where TMPDIR leaves too
    few for us, it is in /tmp. Raises OSError."""
    ours = len("/esl-controller-12345678/1234567890")
    short = len(os.fsencode(tempfile.gettempdir())) + ours <= 107
    return tempfile.TemporaryDirectory(
        prefix="esl-controller-",
        dir=None if short else "/tmp",  # noqa: S108 (a folder of our own in it)
    )


@contextlib.contextmanager
def _kept(folder: str) -> Iterator[None]:
    """Lock the folder: whatever cleans up what is old in /tmp leaves it alone (tmpfiles.d(5))."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)

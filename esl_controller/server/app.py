"""Puts the controller together, and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import structlog
import uvloop
from aiohttp import ClientSession

from esl_controller.agents.chain import ChainModel, open_chain
from esl_controller.call.records import Claimed
from esl_controller.config.settings import Loaded, Settings
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.freeswitch.rescue import Rescue
from esl_controller.secretaries.folder import Folder, FolderError
from esl_controller.secretaries.secretary import Secretary, identity, recalled
from esl_controller.server.file_watch import FileWatch, raise_limit
from esl_controller.server.heartbeats import Heartbeats
from esl_controller.server.listener import CallListener
from esl_controller.server.listening import serve_locally, serve_tcp, told_by
from esl_controller.server.load_watch import LoadWatch
from esl_controller.server.loop_watch import LoopWatch
from esl_controller.server.outbox import Outbox
from esl_controller.server.record import CallRecords
from esl_controller.server.service_manager import ServiceManager
from esl_controller.server.shutdown import Shutdown
from esl_controller.server.stand_in import stand_in
from esl_controller.server.web.guard import guard
from esl_controller.server.web.routes import in_brief, web_routes
from esl_controller.server.workers.worker import LEAVES, WAITS, SupervisorLine, to_supervisor
from esl_controller.session.dependencies import Dependencies
from esl_controller.session.session import CallSession
from esl_controller.session.webhook_http import webhook_session
from esl_controller.store import Store, StoreError
from esl_controller.store.records import Heartbeat, SecretaryKept
from media.lane import Clock, Ports
from media.stream import StreamEndpoint

log = structlog.stdlib.get_logger(__name__)

THREAD_SWITCH_S = 0.0005  # a thread must let the clock run after this long
LOW_PID = 300  # only processes that start with the system, or with a container, have PIDs this low


class ControllerFailed(Exception):
    """A bug of ours ends the controller; the text says which."""


class Controller:
    """All parts of a controller, and what they need of each other. Made by ``running``."""

    def __init__(self, settings: Settings, shutdown: Shutdown) -> None:
        self.settings = settings
        self.shutdown = shutdown
        self.clock = Clock()
        self.name = _name()
        rescue = Rescue(settings.freeswitch)
        self.calls = CallListener(settings.esl, self._make_session, self._claim, rescue.take_back)
        self.service_manager = ServiceManager(os.environ)
        self._loop_watch = LoopWatch(self.calls.door, self.service_manager)
        self._file_watch = FileWatch(self.calls.door)
        max_load = settings.esl.max_load
        self.load_watch = LoadWatch(self.calls.door, self.clock, self._count_calls, max_load)
        watches = (self._loop_watch, self.load_watch, self._file_watch)
        self.calls.checks += [watch.check for watch in watches]
        self.streams = StreamEndpoint(self.calls.expected_stream)
        self.failure: Exception | None = None  # the bug that ends this controller
        self.media_url = ""
        self.web_port = 0
        self._started_at = time.time()
        self.ports = Ports(settings.media.lane_ports.first, settings.media.lane_ports.last)
        folder = settings.secretaries.folder
        self.secretaries = Folder(
            Path(folder) if folder else None, settings.agent, self._keep_secretary
        )
        self.store: Store | None = None
        self.records = CallRecords(None, self.name)
        self._recalling = asyncio.Lock()
        self._models: Sequence[ChainModel]
        self._http: ClientSession

    async def open(
        self, stack: contextlib.AsyncExitStack, models: Sequence[ChainModel] = ()
    ) -> None:
        """Set up all that ``stack`` takes down again. Raises OSError, FolderError, StoreError."""
        settings = self.settings
        self._http = await stack.enter_async_context(self._webhook_session())
        if settings.store.url:
            self.store = await stack.enter_async_context(Store.open(settings.store.url))
            self.records = CallRecords(self.store, self.name)
        await self.secretaries.load(self.store.last_secretaries if self.store else None)
        # Entered after the store, so that they end before it is closed.
        run_owned = await stack.enter_async_context(_owned_tasks(self.died))
        run_owned(self.secretaries.watch())
        if self.store is not None:
            secret = settings.webhook.secret.get_secret_value()
            outbox = Outbox(self.store, secret, self._webhook_session)
            run_owned(outbox.run())
            run_owned(self.records.watch(self.calls.calls))
            run_owned(self.store.writer_ended())
        self._models = models or await _open_models(settings, stack)
        # The Event Socket last: when a call comes, everything that it needs is there.
        media, web = settings.media, settings.web
        share = settings.esl.share
        streams = self.streams.routes()
        with told_by("media", media.host, media.port):
            # Behind a public URL the port is the one that FreeSWITCH dials: no other will do.
            free = share and not media.public_url
            media_port = await serve_tcp(stack, streams, media.host, media.port, share=free)
        stack.push_async_callback(self.streams.close)
        self.media_url = self.calls.probes.media_url = media.base_url(media_port)
        routes = web_routes(self.calls, self.clock, self.shutdown)
        asked_at = web.host, web.port
        with told_by("web", *asked_at):
            self.web_port = await serve_tcp(stack, routes, *asked_at, guard(web), share=share)
        await serve_locally(stack, routes, self.web_port)
        stack.push_async_callback(self.calls.stop)
        with told_by("esl", settings.esl.host, settings.esl.port):
            await self.calls.start()
        if await self._calls_may_return():
            self.calls.expect_returns()
        run_owned(self.calls.door.keep())
        run_owned(self._loop_watch.run())
        run_owned(self.load_watch.run())
        run_owned(self._file_watch.run())
        if self.store is not None:
            run_owned(Heartbeats(self.store, self._heartbeat).run())

    async def _calls_may_return(self) -> bool:
        """Whether calls that a controller had before are still on the switch."""
        if self.store is None:
            return False
        try:
            return bool(await self.store.unfinished())
        except StoreError:
            return True  # nobody can tell; to listen for them costs nothing

    def _webhook_session(self) -> ClientSession:
        return webhook_session(self.settings.webhook.allow)

    def _keep_secretary(self, file: str, secretary: Secretary) -> None:
        text = secretary.as_json
        self.records.put(SecretaryKept(identity(text), file, text, time.time()))

    def died(self, error: Exception) -> None:
        """Work that all calls need has ended by a bug. So does the process: its supervisor starts
        another one, which FreeSWITCH's calls come to. Until then no new call is taken."""
        self.failure = self.failure or error
        self.calls.close()
        self.shutdown.stop()

    @property
    def web_url(self) -> str:
        """Where ``/calls`` and the like are."""
        return self.settings.web.base_url(self.web_port)

    def _count_calls(self) -> tuple[int, int]:
        return len(self.calls.calls), self.calls.taken_new

    async def loaded(self) -> None:
        """Return when nothing is left to be imported."""
        await _loaded(self._models)

    def _make_session(
        self, switch: SwitchConnection, channel: Channel, claimed: Claimed | None
    ) -> CallSession:
        services = Dependencies(
            name=self.name,
            settings=self.settings,
            clock=self.clock,
            ports=self.ports,
            streams=self.streams,
            media_url=self.media_url,
            models=self._models,
            find_secretary=self.secretaries.find,
            record=self.records,
            http=self._http,
        )
        return CallSession(switch, channel, services, claimed)

    async def _claim(self, channel: Channel) -> Claimed | None:
        if not channel.answered:
            await self.records.check_new(channel)
            return None
        claimed = await self.records.claim(channel)
        if claimed is not None and claimed.secretary:
            # Read now, in a thread: its file may have changed, and a session is made in the loop.
            # One after the other: of those that come at once, one reads it for all.
            async with self._recalling:
                await asyncio.to_thread(recalled, claimed.secretary)
        return claimed

    def _heartbeat(self) -> Heartbeat:
        return Heartbeat(
            self.name,
            web=self.web_url,
            media=self.media_url,
            started_at=self._started_at,
            seen_at=time.time(),
            state="draining" if self.calls.door.closed else "ready",
            calls=json.dumps({uuid: in_brief(call) for uuid, call in self.calls.calls.items()}),
        )


@contextlib.asynccontextmanager
async def running(
    settings: Settings, shutdown: Shutdown | None = None, models: Sequence[ChainModel] = ()
) -> AsyncIterator[Controller]:
    """A controller that listens, until the block is left. ``models``: those that are open already.
    Raises OSError for a port in use, FolderError for secretaries that cannot be used, StoreError
    for a record that cannot be kept."""
    async with contextlib.AsyncExitStack() as stack:
        controller = Controller(settings, shutdown or Shutdown())
        await controller.open(stack, models)
        yield controller


def _name() -> str:
    """A name that no other controller on the same record has: two of one name would take each
    other's calls for lost. In every container the process has the same low number, so a random part
    is added there."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}" + (f"-{secrets.token_hex(3)}" if pid < LOW_PID else "")


async def _open_models(
    settings: Settings, stack: contextlib.AsyncExitStack
) -> Sequence[ChainModel]:
    agent = settings.agent
    if agent.resolved_kind == "standin":
        agent = await stack.enter_async_context(stand_in(agent))
    chain = open_chain(settings, agent)
    for each in chain:
        stack.push_async_callback(each.model.close)
    return chain


async def _loaded(models: Sequence[ChainModel]) -> None:
    for each in models:
        await each.model.loaded()


@contextlib.asynccontextmanager
async def _owned_tasks(
    died: Callable[[Exception], None],
) -> AsyncIterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Yields a function that runs work in a task of its own, for as long as the controller lasts;
    calls ``died`` if it raises."""
    tasks: list[asyncio.Task[None]] = []

    def ended(task: asyncio.Task[None]) -> None:
        error = None if task.cancelled() else task.exception()
        if isinstance(error, Exception):
            log.error(
                "work that all calls need has crashed: the controller hands over and ends",
                exc_info=error,
            )
            died(error)

    def run_owned(work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(ended)
        tasks.append(task)

    try:
        yield run_owned
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def switch_fast() -> None:
    """Once a process: any other thread (the database's, one that imports) has to release the
    interpreter soon enough for the clock to send its frames in time."""
    sys.setswitchinterval(THREAD_SWITCH_S)


def settle() -> None:
    """Once a process, when everything is set up: hide what exists by now from the garbage
    collector.

    The libraries' 200,000 objects live as long as the process. A full collection that visits them
    takes 100 ms. Meanwhile the clock stands still and every caller hears a gap. That is also why
    the collector is off until now: the little garbage of a start simply stays.
    """
    gc.freeze()
    gc.enable()


async def _serve_when_told(settings: Settings) -> None:
    """As a worker: wait until the supervisor lets us take calls, and prepare for them before that
    if there is time."""
    async with to_supervisor() as supervisor, contextlib.AsyncExitStack() as stack:
        turn = asyncio.create_task(supervisor.turn())
        warm = asyncio.create_task(_warm_up(settings, stack))
        try:
            if await turn:
                models = warm.result() if warm.done() else ()
                warm.cancel()  # from now on it would be in the way
                await _serve_until_stopped(settings, supervisor, models)
        finally:
            for task in (turn, warm):
                task.cancel()
            await asyncio.gather(turn, warm, return_exceptions=True)


async def _warm_up(settings: Settings, stack: contextlib.AsyncExitStack) -> Sequence[ChainModel]:
    """The models; nothing is left to be imported for them."""
    models = await _open_models(settings, stack)
    await _loaded(models)
    ServiceManager(os.environ).status(WAITS)
    return models


async def _serve_until_stopped(
    settings: Settings,
    supervisor: SupervisorLine | None = None,
    models: Sequence[ChainModel] = (),
) -> None:
    shutdown = Shutdown()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, shutdown.stop)
    async with contextlib.AsyncExitStack() as stack:
        controller = await stack.enter_async_context(running(settings, shutdown, models))
        if supervisor is not None:
            run_owned = await stack.enter_async_context(_owned_tasks(controller.died))
            run_owned(supervisor.watch(shutdown.drain, shutdown.stop))
        if settings.agent.resolved_kind == "standin":
            log.warning(
                "no key for a voice model is set (OPENAI_API_KEY): callers get a built-in stand-in,"
                " which greets them and repeats what they say; it is no AI"
            )
        log.info(
            "ready",
            esl=f"{settings.esl.host}:{controller.calls.port}",
            media=controller.media_url,
            web=controller.web_url,
            agent=settings.agent.resolved_kind,
        )
        controller.service_manager.ready(f"taking calls; web at {controller.web_url}")
        await controller.loaded()
        settle()
        log.info("settled")  # from here on no call waits for an import
        leaves = partial(controller.service_manager.status, LEAVES)
        await shutdown.carry_out(controller.calls, leaves)
        controller.service_manager.stopping()
    if controller.failure is not None:
        raise ControllerFailed(f"ended by a bug: {controller.failure!r}") from controller.failure


def serve(loaded: Loaded) -> int:
    """Run the controller until SIGTERM or SIGINT, or until a bug ends what all calls need; returns
    the exit code. Logging must be set up already."""
    return _run(_serve_until_stopped(loaded.settings))


def work(loaded: Loaded, slot: int) -> int:
    """The same as one of several processes that have a supervisor (``workers``)."""
    structlog.contextvars.bind_contextvars(worker=slot)
    return _run(_serve_when_told(loaded.settings))


def _run(controller: Coroutine[Any, Any, None]) -> int:
    switch_fast()
    raise_limit()
    try:
        uvloop.run(controller)
    except OSError as error:
        print(f"esl-controller: {error.strerror or error}", file=sys.stderr)
        return 1
    except (FolderError, StoreError, ControllerFailed) as error:
        print(f"esl-controller: {error}", file=sys.stderr)
        return 1
    return 0

"""Puts the controller together, and runs it until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import json
import os
import secrets
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any

import structlog
import uvloop
from aiohttp import ClientSession
from aiohttp.typedefs import Middleware
from aiohttp.web import AbstractRouteDef

from esl_controller.agents.base import Model
from esl_controller.agents.factory import make_model
from esl_controller.call.records import Claimed
from esl_controller.config.settings import AgentSettings, Loaded, Settings
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.freeswitch.rescue import Rescue
from esl_controller.secretaries.folder import Folder, FolderError
from esl_controller.secretaries.secretary import Secretary, identity
from esl_controller.server.file_watch import FileWatch, raise_limit
from esl_controller.server.heartbeats import Heartbeats
from esl_controller.server.http_server import at, serving
from esl_controller.server.listener import CallListener
from esl_controller.server.loop_watch import LoopWatch
from esl_controller.server.outbox import Outbox
from esl_controller.server.record import CallRecords
from esl_controller.server.service_manager import ServiceManager
from esl_controller.server.shutdown import Shutdown
from esl_controller.server.stand_in import stand_in
from esl_controller.server.web.guard import guard
from esl_controller.server.web.local_socket import at_local_socket, trusted_users_only
from esl_controller.server.web.routes import in_brief, web_routes
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
OWN_PORTS = 20  # tried for media and for web each, where several controllers share [esl]


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
        self.calls.checks += [self._loop_watch.check, self._file_watch.check]
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
        self._model: Model
        self._http: ClientSession

    async def open(self, stack: contextlib.AsyncExitStack) -> None:
        """Set up all that ``stack`` takes down again. Raises OSError, FolderError, StoreError."""
        settings = self.settings
        self._http = await stack.enter_async_context(self._webhook_session())
        if settings.store.url:
            self.store = await stack.enter_async_context(Store.open(settings.store.url))
            self.records = CallRecords(self.store, self.name)
        await self.secretaries.load(self.store.last_secretaries if self.store else None)
        # Entered after the store, so that they end before it is closed.
        run_owned = await stack.enter_async_context(_owned_tasks(self._died))
        run_owned(self.secretaries.watch())
        if self.store is not None:
            secret = settings.webhook.secret.get_secret_value()
            outbox = Outbox(self.store, secret, self._webhook_session)
            run_owned(outbox.run())
            run_owned(self.records.watch(self.calls.calls))
            run_owned(self.store.writer_ended())
        self._model = await _open_model(settings.agent, stack)
        # The Event Socket last: when a call comes, everything that it needs is there.
        media, web = settings.media, settings.web
        share = settings.esl.share
        streams = self.streams.routes()
        with _told_by("media", media.host, media.port):
            media_port = await _serve(stack, streams, media.host, media.port, share=share)
        stack.push_async_callback(self.streams.close)
        self.media_url = self.calls.probes.media_url = media.base_url(media_port)
        routes = web_routes(self.calls, self.clock, self.shutdown)
        asked_at = web.host, web.port
        with _told_by("web", *asked_at):
            self.web_port = await _serve(stack, routes, *asked_at, guard(web), share=share)
        await _serve_locally(stack, routes, self.web_port)
        stack.push_async_callback(self.calls.stop)
        with _told_by("esl", settings.esl.host, settings.esl.port):
            await self.calls.start()
        run_owned(self.calls.door.keep())
        run_owned(self._loop_watch.run())
        run_owned(self._file_watch.run())
        if self.store is not None:
            run_owned(Heartbeats(self.store, self._heartbeat).run())

    def _webhook_session(self) -> ClientSession:
        return webhook_session(self.settings.webhook.allow)

    def _keep_secretary(self, file: str, secretary: Secretary) -> None:
        text = secretary.as_json
        self.records.put(SecretaryKept(identity(text), file, text, time.time()))

    def _died(self, error: Exception) -> None:
        """Work that all calls need has ended by a bug. So does the process: its supervisor starts
        another one, which FreeSWITCH's calls come to. Until then no new call is taken."""
        self.failure = self.failure or error
        self.calls.close()
        self.shutdown.stop()

    @property
    def web_url(self) -> str:
        """Where ``/calls`` and the like are."""
        return self.settings.web.base_url(self.web_port)

    async def loaded(self) -> None:
        """Return when nothing is left to be imported."""
        await self._model.loaded()

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
            model=self._model,
            find_secretary=self.secretaries.find,
            record=self.records,
            http=self._http,
        )
        return CallSession(switch, channel, services, claimed)

    async def _claim(self, channel: Channel) -> Claimed | None:
        if channel.answered:
            return await self.records.claim(channel)
        await self.records.check_new(channel)
        return None

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
    settings: Settings, shutdown: Shutdown | None = None
) -> AsyncIterator[Controller]:
    """A controller that listens, until the block is left. Raises OSError for a port in use,
    FolderError for secretaries that cannot be used, StoreError for a record that cannot be kept."""
    async with contextlib.AsyncExitStack() as stack:
        controller = Controller(settings, shutdown or Shutdown())
        await controller.open(stack)
        yield controller


def _name() -> str:
    """A name that no other controller on the same record has: two of one name would take each
    other's calls for lost. In every container the process has the same low number, so a random part
    is added there."""
    pid = os.getpid()
    return f"{socket.gethostname()}:{pid}" + (f"-{secrets.token_hex(3)}" if pid < LOW_PID else "")


async def _open_model(settings: AgentSettings, stack: contextlib.AsyncExitStack) -> Model:
    if settings.resolved_kind == "standin":
        settings = await stack.enter_async_context(stand_in(settings))
    model = make_model(settings)
    stack.push_async_callback(model.close)
    return model


@contextlib.asynccontextmanager
async def _owned_tasks(
    died: Callable[[Exception], None],
) -> AsyncIterator[Callable[[Coroutine[Any, Any, None]], None]]:
    """Yields a function that runs work in a task of its own, for as long as the controller lasts;
    calls ``died`` if it raises."""
    tasks: list[asyncio.Task[None]] = []

    async def watched(work: Coroutine[Any, Any, None]) -> None:
        try:
            await work
        except Exception as error:
            log.exception(
                "work that all calls need has crashed: the controller hands over and ends"
            )
            died(error)

    try:
        yield lambda work: tasks.append(asyncio.create_task(watched(work)))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(
    stack: contextlib.AsyncExitStack,
    routes: Sequence[AbstractRouteDef],
    host: str,
    port: int,
    *middlewares: Middleware,
    share: bool,
) -> int:
    """Serve over TCP what must reach this very process, such as the stream of its calls; returns
    the port. It is never shared: where several controllers ``share`` the Event Socket's, each of
    them takes the next free one here."""
    last = min(port + OWN_PORTS, 65535) if share and port else port
    while True:
        try:
            server = await stack.enter_async_context(serving(routes, at(host, port), *middlewares))
        except OSError as error:
            if error.errno != errno.EADDRINUSE or port >= last:
                raise
        else:
            return int(server.sockets[0].getsockname()[1])
        port += 1


async def _serve_locally(
    stack: contextlib.AsyncExitStack, routes: Sequence[AbstractRouteDef], port: int
) -> None:
    """Serve by the local socket, too, if it can be had."""
    try:
        there = at_local_socket(port)
        await stack.enter_async_context(serving(routes, there, trusted_users_only))
    except OSError as error:
        log.warning(
            "no local socket: esl-controller drain needs [web] token", port=port, reason=str(error)
        )


@contextlib.contextmanager
def _told_by(section: str, host: str, port: int) -> Iterator[None]:
    """Name the settings in the error if we cannot listen there."""
    try:
        yield
    except OSError as error:
        known = error.errno in errno.errorcode and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno) if known and error.errno else error.strerror
        at = f"{host}:{port}, [{section}] host and port"
        raise OSError(error.errno, f"cannot listen at {at}: {reason}") from error


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


async def _serve_until_stopped(settings: Settings) -> None:
    shutdown = Shutdown()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, shutdown.stop)
    async with running(settings, shutdown) as controller:
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
        controller.service_manager.ready()
        await controller.loaded()
        settle()
        log.info("settled")  # from here on no call waits for an import
        await shutdown.carry_out(controller.calls)
        controller.service_manager.stopping()
    if controller.failure is not None:
        raise ControllerFailed(f"ended by a bug: {controller.failure!r}") from controller.failure


def serve(loaded: Loaded) -> int:
    """Run the controller until SIGTERM or SIGINT, or until a bug ends what all calls need; returns
    the exit code. Logging must be set up already."""
    settings = loaded.settings
    switch_fast()
    raise_limit()
    try:
        uvloop.run(_serve_until_stopped(settings))
    except OSError as error:
        print(f"esl-controller: {error.strerror or error}", file=sys.stderr)
        return 1
    except (FolderError, StoreError, ControllerFailed) as error:
        print(f"esl-controller: {error}", file=sys.stderr)
        return 1
    return 0

"""The controller as a whole: everything that ``serve`` runs, put together."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import structlog
import uvloop
from aiohttp import ClientSession, web

from esl_controller.agents.base import Agent, History, Persona
from esl_controller.agents.live import LiveModel
from esl_controller.agents.realtime import RealtimeModel
from esl_controller.outbox import Outbox
from esl_controller.secretaries.folder import Folder, FolderError
from esl_controller.server import CallServer
from esl_controller.services import Services
from esl_controller.session import CallSession
from esl_controller.settings import Loaded, Settings
from esl_controller.simulator.model import ModelStandIn
from esl_controller.store import Store, StoreError
from esl_controller.store.records import Change
from esl_controller.switch import Channel, Switch
from esl_controller.web.routes import web_routes
from media.lane import Clock, Ports
from media.stream import StreamEndpoint

log = structlog.stdlib.get_logger(__name__)

SWITCH_S = 0.0005


class Controller:
    """A running controller. Made by ``running``."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.clock = Clock()
        self.calls = CallServer(settings.esl, self._make_session)
        self.streams = StreamEndpoint(self.calls.admission)
        self.media_url = ""
        self.web_port = 0
        self.ports = Ports(settings.media.lane_ports.first, settings.media.lane_ports.last)
        folder = settings.secretaries.folder
        self.secretaries = Folder(Path(folder) if folder else None, settings.agent)
        self.store: Store | None = None
        self._model: RealtimeModel | LiveModel
        self._http: ClientSession

    async def open(self, stack: contextlib.AsyncExitStack) -> None:
        """Set up all that ``stack`` takes down again. Raises OSError, FolderError, StoreError."""
        settings = self.settings
        self.secretaries.load()
        self._http = await stack.enter_async_context(ClientSession())
        if settings.store.url:
            self.store = await stack.enter_async_context(Store.open(settings.store.url))
        # After the store: they must be gone before it is closed.
        tasks = await stack.enter_async_context(_owned_tasks())
        tasks.append(asyncio.create_task(self.secretaries.watch()))
        if self.store is not None:
            outbox = Outbox(self.store, settings.webhook.secret.get_secret_value())
            tasks.append(asyncio.create_task(outbox.run()))
        self._model = await _model(settings, stack)
        stack.push_async_callback(self._model.close)
        # Media and web first: when a call comes, everything that it needs is there.
        media, web_address = settings.media, settings.web
        media_port = await _serve(stack, self.streams.routes(), media.host, media.port)
        stack.push_async_callback(self.streams.close)
        self.media_url = media.base_url(media_port)
        routes = web_routes(self.calls, self.clock)
        self.web_port = await _serve(stack, routes, web_address.host, web_address.port)
        stack.push_async_callback(self.calls.stop)
        await self.calls.start()

    def _make_session(self, switch: Switch, channel: Channel) -> CallSession:
        services = Services(
            settings=self.settings,
            clock=self.clock,
            ports=self.ports,
            streams=self.streams,
            media_url=self.media_url,
            abilities=self._model.abilities,
            make_agent=self._make_agent,
            find_secretary=self.secretaries.find,
            put=self._put,
            http=self._http,
        )
        return CallSession(switch, channel, services)

    def _make_agent(self, persona: Persona, history: History, channel: Channel) -> Agent:
        return self._model.agent(persona, history, g711=channel.is_g711)

    def _put(self, change: Change) -> None:
        if self.store is not None:
            self.store.put(change)


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Controller]:
    """A controller that listens, until the block is left. Raises OSError for a port in use,
    FolderError for secretaries that cannot be used, StoreError for a record that cannot be kept."""
    async with contextlib.AsyncExitStack() as stack:
        controller = Controller(settings)
        await controller.open(stack)
        yield controller


async def _model(settings: Settings, stack: contextlib.AsyncExitStack) -> RealtimeModel | LiveModel:
    agent = settings.agent
    if agent.resolved_kind == "live":
        return LiveModel(agent, agent.base_url)
    base_url = agent.base_url
    if agent.resolved_kind == "standin":
        standin = ModelStandIn(language=agent.language, record=False)
        base_url = (await stack.enter_async_context(standin)).base_url
    return RealtimeModel(agent, base_url)


@contextlib.asynccontextmanager
async def _owned_tasks() -> AsyncIterator[list[asyncio.Task[None]]]:
    """Tasks that last as long as the controller."""
    tasks: list[asyncio.Task[None]] = []
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _serve(
    stack: contextlib.AsyncExitStack, routes: list[web.AbstractRouteDef], host: str, port: int
) -> int:
    """Serve ``routes``; returns the port."""
    application = web.Application()
    application.add_routes(routes)
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, host, port)
    await site.start()
    return int(runner.addresses[0][1])


def settle() -> None:
    """Once a process, when all is set up: hide what there is by now from the garbage collector.

    The libraries' 150,000 objects live as long as the process. A full collection that visits them
    takes 100 ms, in which the clock stands still and every caller hears a gap.
    """
    gc.collect()
    gc.freeze()
    # The database's thread may hold the interpreter for so long when the clock's time has come.
    sys.setswitchinterval(SWITCH_S)


async def _serve_until_stopped(settings: Settings) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(settings) as controller:
        if settings.agent.resolved_kind == "standin":
            log.warning(
                "no key for a voice model is set (OPENAI_API_KEY): callers get a built-in stand-in,"
                " which greets them and repeats what they say; it is no AI"
            )
        settle()
        log.info(
            "ready",
            esl=f"{settings.esl.host}:{controller.calls.port}",
            media=controller.media_url,
            web=f"http://{settings.web.host}:{controller.web_port}",
            agent=settings.agent.resolved_kind,
        )
        await stop.wait()
        log.info("stopping", calls=len(controller.calls.calls))


def serve(loaded: Loaded) -> int:
    """Run the controller until SIGTERM or SIGINT; returns the exit code. Logs are set up."""
    settings = loaded.settings
    try:
        uvloop.run(_serve_until_stopped(settings))
    except OSError as error:
        print(f"esl-controller: cannot listen: {error.strerror or error}", file=sys.stderr)
        return 1
    except (FolderError, StoreError) as error:
        print(f"esl-controller: {error}", file=sys.stderr)
        return 1
    return 0

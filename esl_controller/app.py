"""The controller as a whole: everything that ``serve`` runs, put together."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import sys
from collections.abc import AsyncIterator

import structlog
import uvloop
from aiohttp import web

from esl_controller.agents.realtime import RealtimeModel
from esl_controller.server import CallServer
from esl_controller.session import CallSession, Services
from esl_controller.settings import Loaded, Settings
from esl_controller.simulator.model import ModelStandIn
from esl_controller.switch import Channel, Switch
from esl_controller.web.routes import web_routes
from media.lane import Clock, Ports
from media.stream import StreamEndpoint

log = structlog.stdlib.get_logger(__name__)


class Controller:
    """A running controller. Made by ``running``."""

    def __init__(self, settings: Settings, model: RealtimeModel) -> None:
        self.settings = settings
        self.clock = Clock()
        self.calls = CallServer(settings.esl, self._make_session)
        self.streams = StreamEndpoint(self.calls.admission)
        self.media_url = ""
        self.web_port = 0
        self.ports = Ports(settings.media.lane_ports.first, settings.media.lane_ports.last)
        self._model = model

    def _make_session(self, switch: Switch, channel: Channel) -> CallSession:
        services = Services(
            self.settings,
            self.clock,
            self.ports,
            self.streams,
            self.media_url,
            lambda channel: self._model.agent(g711=channel.is_g711),
        )
        return CallSession(switch, channel, services)


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[Controller]:
    """A controller that listens, until the block is left. Raises OSError for a port in use."""
    async with contextlib.AsyncExitStack() as stack:
        base_url = settings.agent.base_url
        if settings.agent.resolved_kind == "standin":
            standin = ModelStandIn(language=settings.agent.language, record=False)
            base_url = (await stack.enter_async_context(standin)).base_url
        model = RealtimeModel(settings.agent, base_url)
        stack.push_async_callback(model.close)
        controller = Controller(settings, model)
        # Media and web first: when a call comes, everything that it needs is there.
        media, web_address = settings.media, settings.web
        media_port = await _serve(stack, controller.streams.routes(), media.host, media.port)
        stack.push_async_callback(controller.streams.close)
        controller.media_url = media.base_url(media_port)
        routes = web_routes(controller.calls, controller.clock)
        controller.web_port = await _serve(stack, routes, web_address.host, web_address.port)
        stack.push_async_callback(controller.calls.stop)
        await controller.calls.start()
        yield controller


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
    return 0

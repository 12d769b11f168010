"""HTTP on one address, where nobody can hold us up by connecting.

A connection takes one of the process' files, which calls need. So it has ``REQUEST_S`` to ask
something and be answered, unless it becomes a WebSocket, and at most ``WAITING`` have yet to come
so far. There is no keep-alive: a connection is one request. What is no HTTP gets an answer and no
line in the log.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final

import structlog
from aiohttp import web
from aiohttp.http import HttpProcessingError
from aiohttp.typedefs import Middleware

REQUEST_S: Final = 5.0
WAITING: Final = 500
TELL_S: Final = 60.0  # between two lines about dropped connections

Listen = Callable[[Callable[[], asyncio.Protocol]], Awaitable[asyncio.Server]]
"""Listens, with what makes the protocol of each connection; may raise OSError."""

log = structlog.stdlib.get_logger(__name__)


class _Handlers(logging.Filter):
    """Of the errors that aiohttp logs, those in our handlers: anybody may cause the others."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


_requests = logging.getLogger(f"{__name__}.requests")
_requests.addFilter(_Handlers())


@contextlib.asynccontextmanager
async def serving(
    routes: Sequence[web.AbstractRouteDef], listen: Listen, *middlewares: Middleware
) -> AsyncIterator[asyncio.Server]:
    """Serve ``routes`` until the block is left. Raises OSError where ``listen`` does."""
    application = web.Application(middlewares=middlewares)
    application.add_routes(routes)
    runner = web.AppRunner(
        application,
        access_log=None,
        handle_signals=False,
        shutdown_timeout=1,
        logger=_requests,
    )
    connections = _Connections(runner)
    application.on_response_prepare.append(connections.answered)
    await runner.setup()
    try:
        server = await listen(connections.new)
        try:
            yield server
        finally:
            server.close()
    finally:
        connections.close()
        await runner.cleanup()


def at(host: str, port: int) -> Listen:
    """Listen on a TCP port; 0: any free one."""

    async def listen(new: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        return await asyncio.get_running_loop().create_server(new, host, port)

    return listen


class _Connections:
    """Those that are no WebSocket (yet), the oldest first."""

    def __init__(self, runner: web.AppRunner) -> None:
        self._runner = runner
        self._loop = asyncio.get_running_loop()
        self._waiting: dict[web.RequestHandler, asyncio.TimerHandle] = {}
        self._dropped = 0
        self._told_at = -TELL_S

    def new(self) -> asyncio.Protocol:
        """The protocol of a connection that was just accepted."""
        if len(self._waiting) >= WAITING:
            # A module or a probe speaks at once: who has waited longest has least to say.
            self._drop(next(iter(self._waiting)))
        assert self._runner.server is not None
        handler = self._runner.server()
        self._waiting[handler] = self._loop.call_later(REQUEST_S, self._drop, handler)
        return handler

    async def answered(self, request: web.Request, response: web.StreamResponse) -> None:
        """A response is about to be sent (aiohttp's signal ``on_response_prepare``)."""
        if isinstance(response, web.WebSocketResponse):
            if timer := self._waiting.pop(request.protocol, None):
                timer.cancel()
        else:
            response.headers["Connection"] = "close"
            response.force_close()

    def close(self) -> None:
        """Forget all of them."""
        for timer in self._waiting.values():
            timer.cancel()
        self._waiting.clear()

    def _drop(self, handler: web.RequestHandler) -> None:
        self._waiting.pop(handler).cancel()
        if handler.transport is None:  # it was answered, and is closed
            return
        handler.transport.abort()
        self._dropped += 1
        if self._loop.time() - self._told_at >= TELL_S:
            self._told_at = self._loop.time()
            log.warning("HTTP connections that ask nothing are dropped", dropped=self._dropped)

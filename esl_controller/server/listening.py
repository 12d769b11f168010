"""Where the process listens for HTTP: over TCP, and by the local socket."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from collections.abc import Iterator, Sequence
from typing import Final

import structlog
from aiohttp.typedefs import Middleware
from aiohttp.web import AbstractRouteDef

from esl_controller.server.http_server import at, serving
from esl_controller.server.web.local_socket import at_local_socket, trusted_users_only

OWN_PORTS: Final = 20  # tried for media and for web each, where several controllers share [esl]

log = structlog.stdlib.get_logger(__name__)


async def serve_tcp(
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


async def serve_locally(
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
def told_by(section: str, host: str, port: int) -> Iterator[None]:
    """Name the settings in the error if we cannot listen there."""
    try:
        yield
    except OSError as error:
        known = error.errno in errno.errorcode and not isinstance(error, socket.gaierror)
        reason = os.strerror(error.errno) if known and error.errno else error.strerror
        at = f"{host}:{port}, [{section}] host and port"
        raise OSError(error.errno, f"cannot listen at {at}: {reason}") from error

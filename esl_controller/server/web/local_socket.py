"""The controller's local socket: HTTP for root and the controller's own user on this machine.

It is an abstract socket (unix(7)), named after the port of [web]. So it needs no directory, leaves
nothing behind, and is seen by whoever shares our loopback. The kernel says who asks
(``SO_PEERCRED``), and no page in a browser and no webhook can.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from collections.abc import Callable
from http.client import HTTPConnection

from aiohttp import web
from aiohttp.typedefs import Handler

from esl_controller.server.http_server import Listen

_CREDENTIALS = struct.Struct("3i")  # struct ucred: pid, uid, gid


def at_local_socket(port: int) -> Listen:
    """Listen on the local socket of the controller whose [web] port this is."""

    async def listen(new: Callable[[], asyncio.Protocol]) -> asyncio.Server:
        return await asyncio.get_running_loop().create_unix_server(new, _name(port))

    return listen


@web.middleware
async def trusted_users_only(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Refuse every process but root's and our own user's."""
    there = request.get_extra_info("socket")  # None: it has left
    if there is None or _user(there) not in (0, os.geteuid()):
        return web.Response(status=403, text="only for root and the controller's own user\n")
    return await handler(request)


class LocalConnection(HTTPConnection):
    """HTTP over the local socket of the controller whose [web] port this is. Raises OSError as the
    class of the standard library does, also if the socket is another user's."""

    def connect(self) -> None:
        assert self.port is not None
        there = socket.socket(socket.AF_UNIX)
        try:
            there.settimeout(self.timeout)
            there.connect(_name(self.port))
            # Anybody may take a name that is free. Root asks all, as it does with loopback.
            if os.geteuid() and _user(there) not in (0, os.geteuid()):
                raise PermissionError("the local socket is another user's")
        except BaseException:
            there.close()
            raise
        self.sock = there


def _name(port: int) -> str:
    return f"\0esl-controller/{port}"


def _user(there: socket.socket) -> int:
    """The user of the process at the other end."""
    told = there.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(told)[1])

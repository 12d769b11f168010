"""The Event Socket that FreeSWITCH listens on, port 8021 (captures/inbound*.jsonl)."""

from __future__ import annotations

import asyncio

from esl_controller.simulator.freeswitch import wire
from esl_controller.simulator.freeswitch.connection import EventSocketConnection
from esl_controller.simulator.freeswitch.session import Switch
from esl_controller.simulator.freeswitch.wire import SocketCommand


class InboundConnection(EventSocketConnection):
    """A connection to the switch: first the password, then the commands."""

    def __init__(
        self,
        switch: Switch,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        password: str,
    ) -> None:
        super().__init__(switch, reader, writer)
        self._password = password
        self._authenticated = False

    async def run(self) -> None:
        """Serve until the peer leaves."""
        self.write(b"Content-Type: auth/request\n\n")
        try:
            await self.serve()
        finally:
            await self.close()

    async def command(self, command: SocketCommand) -> bytes:
        if self._authenticated:
            return await super().command(command)
        if command.line.lower().startswith(("exit", "...")):
            return await super().command(command)
        if not command.line.lower().startswith("auth "):
            return wire.reply("-ERR command not found")
        self._authenticated = command.line[5:] == self._password
        if self._authenticated:
            return wire.reply("+OK accepted")
        self.refuse(wire.reply("-ERR invalid"))
        return b""


class EventSocketServer:
    """Accepts inbound connections."""

    def __init__(self, switch: Switch, password: str) -> None:
        self._switch = switch
        self._password = password
        self._server: asyncio.Server | None = None
        self._connections: set[InboundConnection] = set()

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; the address, with the port that was given for port 0."""
        self._server = await asyncio.start_server(self._accept, host, port)
        name: tuple[str, int] = self._server.sockets[0].getsockname()[:2]
        return name

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = InboundConnection(self._switch, reader, writer, self._password)
        self._connections.add(connection)
        task = self._switch.spawn(connection.run())
        task.add_done_callback(lambda _: self._connections.discard(connection))

    async def close(self) -> None:
        """Stop listening and cut every connection."""
        for connection in tuple(self._connections):
            connection.cut()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

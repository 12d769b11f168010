"""FreeSWITCH's end of an Event Socket connection, by hand, for the tests of ours."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from esl_controller.freeswitch.channel_commands import ChannelCommands
from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.freeswitch.reader import BLOCK_LIMIT, bounded_session
from tests.paths import CAPTURES

UUID = "8f045ec3-c1d9-47ba-8369-9955c1dfc4f2"
OK = b"Content-Type: command/reply\nReply-Text: +OK\n\n"


def messages(name: str, sender: str = "freeswitch") -> list[bytes]:
    """The messages of one side in a capture."""
    lines = (CAPTURES / f"{name}.jsonl").read_text().splitlines()
    said = [json.loads(line) for line in lines]
    return [m["text"].encode() for m in said if m["from"] == sender and "text" in m]


def api_reply(text: str) -> bytes:
    return f"Content-Type: api/response\nContent-Length: {len(text)}\n\n{text}".encode()


class Peer:
    """FreeSWITCH's end of the connection, by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self.writer = writer

    async def command(self) -> str:
        """The next command that the controller sent."""
        return (await self._reader.readuntil(b"\n\n")).decode()

    async def connect(self) -> None:
        """Reply to the four commands of ``connect``."""
        first, *_ = messages("conversation")
        commands = [await self.command() for _ in range(4)]
        assert commands[0] == "connect\n\n"
        self.writer.write(first + OK * 3)

    async def reply(self, message: bytes = OK) -> str:
        """Take a command and reply to it."""
        command = await self.command()
        self.writer.write(message)
        return command


@contextlib.asynccontextmanager
async def dialled() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter, Peer]]:
    """A connection that nobody speaks on yet, and its peer."""
    accepted: asyncio.Future[Peer] = asyncio.get_running_loop().create_future()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set_result(Peer(reader, writer))

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(
            *server.sockets[0].getsockname(), limit=BLOCK_LIMIT
        )
        peer = await accepted
        try:
            yield reader, writer, peer
        finally:
            for end in (peer.writer, writer):
                end.close()
                with contextlib.suppress(ConnectionError):
                    await end.wait_closed()


@contextlib.asynccontextmanager
async def pair() -> AsyncIterator[tuple[SwitchConnection, Peer]]:
    """A connection of ours, and its peer."""
    async with (
        dialled() as (reader, writer, peer),
        SwitchConnection.over(reader, writer) as switch,
    ):
        yield switch, peer


@contextlib.asynccontextmanager
async def commanding() -> AsyncIterator[tuple[ChannelCommands, Peer]]:
    """The commands of a channel, and whoever obeys them."""
    async with dialled() as (reader, writer, peer), bounded_session(reader, writer) as session:
        commands = ChannelCommands(session)
        commands.uuid = UUID
        yield commands, peer


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[SwitchConnection, Peer]]:
    """A pair that has exchanged ``connect``."""
    async with pair() as (switch, peer):
        await asyncio.gather(switch.connect(), peer.connect())
        yield switch, peer

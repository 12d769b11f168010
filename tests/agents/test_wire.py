"""The short way for audio, against the library's own server."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from esl_controller.agents.wire import WRITE_AHEAD, ModelConnection
from tests.rig import until


@contextlib.asynccontextmanager
async def talking(
    talk: Callable[[ServerConnection], Awaitable[None]],
) -> AsyncIterator[ModelConnection]:
    async with serve(talk, "127.0.0.1", 0) as server:
        (listening,) = server.sockets
        port = listening.getsockname()[1]
        url = f"ws://127.0.0.1:{port}"
        async with connect(url, create_connection=ModelConnection, compression=None) as connection:
            assert isinstance(connection, ModelConnection)
            yield connection


async def test_messages_go_both_ways_whole_and_in_order() -> None:
    async def echo(socket: ServerConnection) -> None:
        async for message in socket:
            await socket.send(message)

    got: list[bytes] = []
    sent = [b"%d" % number * (number % 300 + 1) for number in range(500)]
    async with talking(echo) as wire:
        wire.on_message = got.append
        for message in sent:
            assert wire.send_now(message)
            if len(message) > 600:
                await asyncio.sleep(0)
        await until(lambda: len(got) == len(sent))
        assert got == sent


async def test_what_is_no_whole_text_message_waits_for_recv() -> None:
    async def talk(socket: ServerConnection) -> None:
        await socket.recv()
        await socket.send(b"binary")
        await socket.send(["in ", "fragments"])
        await socket.send("whole")
        await socket.wait_closed()

    got: list[bytes] = []
    async with talking(talk) as wire:
        wire.on_message = got.append
        wire.send_now(b"go")
        assert await wire.recv() == b"binary"
        assert await wire.recv() == "in fragments"
        await until(lambda: got == [b"whole"])


async def test_a_full_buffer_declines_and_loses_nothing() -> None:
    read = asyncio.Event()
    got: list[int] = []

    async def talk(socket: ServerConnection) -> None:
        await read.wait()
        async for message in socket:
            got.append(len(message))

    async with talking(talk) as wire:
        message = b"x" * (WRITE_AHEAD // 2)
        sent = 0
        while wire.send_now(message):
            sent += 1
            assert sent < 5000, "it never declines"
        assert not wire.send_now(message)
        read.set()
        await until(lambda: len(got) == sent)
        assert wire.send_now(message)


async def test_a_closed_connection_declines() -> None:
    async def talk(socket: ServerConnection) -> None:
        await socket.close()

    async with talking(talk) as wire:
        wire.on_message = lambda message: None
        with pytest.raises(ConnectionClosed):
            await wire.recv()
        assert not wire.send_now(b"late")

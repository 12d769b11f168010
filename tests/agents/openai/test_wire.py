"""The short way for audio, against the library's own server."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import inspect
import time
import tomllib
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State
from websockets.utils import apply_mask

from esl_controller.agents.openai.wire import WRITE_AHEAD, ModelConnection, _text_frame
from tests.lateness import LoopWatch
from tests.paths import ROOT
from tests.waiting import until


@contextlib.asynccontextmanager
async def talking(
    talk: Callable[[ServerConnection], Awaitable[None]], max_size: int | None = 1 << 20
) -> AsyncIterator[ModelConnection]:
    async with serve(talk, "127.0.0.1", 0) as server:
        (listening,) = server.sockets
        port = listening.getsockname()[1]
        url = f"ws://127.0.0.1:{port}"
        async with connect(
            url, create_connection=ModelConnection, compression=None, max_size=max_size
        ) as connection:
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


# What the transport brings, in pieces of our choice.

TEXT, BINARY, PING = 0x81, 0x82, 0x89
SIZES = (0, 1, 125, 126, 127, 65535, 65536, 100_000)


def frame(first: int, payload: bytes) -> bytes:
    """A frame as a server sends it; ``first``: its first byte."""
    size = len(payload)
    if size < 126:
        return bytes((first, size)) + payload
    if size < 1 << 16:
        return bytes((first, 126)) + size.to_bytes(2, "big") + payload
    return bytes((first, 127)) + size.to_bytes(8, "big") + payload


async def idle(socket: ServerConnection) -> None:
    await socket.wait_closed()


@pytest.mark.parametrize("step", [1, 3, 1000, 65537, 1 << 20])
async def test_messages_are_whole_however_they_are_cut(step: int) -> None:
    sent = [bytes((65 + number,)) * size for number, size in enumerate(SIZES)]
    data = b"".join(frame(TEXT, message) for message in sent)
    got: list[bytes] = []
    async with talking(idle) as wire:
        wire.on_message = got.append
        for at in range(0, len(data), step):
            wire.data_received(data[at : at + step])
    assert got == sent


@pytest.mark.parametrize("step", [1, 7, 1 << 20])
async def test_all_else_is_left_to_the_library_and_in_order(step: int) -> None:
    data = (
        frame(TEXT, b"one") + frame(PING, b"?") + frame(0x01, b"in ") + frame(PING, b"!")
        + frame(0x80, b"fragments") + frame(BINARY, b"binary") + frame(TEXT, b"two")
    )  # fmt: skip
    got: list[bytes] = []
    async with talking(idle) as wire:
        wire.on_message = got.append
        for at in range(0, len(data), step):
            wire.data_received(data[at : at + step])
        assert got == [b"one", b"two"]
        assert await wire.recv() == "in fragments"
        assert await wire.recv() == b"binary"


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (bytes((TEXT, 0x83)) + b"maskabc", 1002),
        (bytes((TEXT, 127)) + (1 << 40).to_bytes(8, "big"), 1009),
        (bytes((TEXT, 126)) + (1001).to_bytes(2, "big"), 1009),
        (frame(0x83, b"a kind that does not exist"), 1002),
        (frame(0x80, b"the end of nothing"), 1002),
    ],
)
async def test_what_is_wrong_ends_the_connection(wrong: bytes, code: int) -> None:
    got: list[bytes] = []
    async with talking(idle, max_size=1000) as wire:
        wire.on_message = got.append
        wire.data_received(frame(TEXT, b"good") + wrong + frame(TEXT, b"late"))
        wire.data_received(frame(TEXT, b"later"))
        with pytest.raises(ConnectionClosed) as failed:
            await wire.recv()
        assert failed.value.sent is not None
        assert failed.value.sent.code == code
    assert got == [b"good"]


@pytest.mark.parametrize("step", [1, 2, 1 << 20])
async def test_what_comes_together_with_the_handshake(step: int) -> None:
    """Part of a frame; who asks for messages only then gets it whole."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = (await reader.readuntil(b"\r\n\r\n")).decode()
        (key,) = (
            line.partition(":")[2].strip()
            for line in request.splitlines()
            if line.lower().startswith("sec-websocket-key:")
        )
        proof = hashlib.sha1(f"{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11".encode()).digest()
        first = (
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\n\r\n" % base64.b64encode(proof)
        ) + frame(TEXT, b"early")[:4]
        for at in range(0, len(first), step):
            writer.write(first[at : at + step])
            await writer.drain()
        await reader.readexactly(1)  # somebody listens now
        writer.write(frame(TEXT, b"early")[4:] + frame(TEXT, b"next"))
        await reader.read()
        writer.close()

    got: list[bytes] = []
    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    async with server:
        url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        async with connect(url, create_connection=ModelConnection, close_timeout=0.2) as wire:
            assert isinstance(wire, ModelConnection)
            wire.on_message = got.append
            wire.send_now(b"go")
            await until(lambda: len(got) == 2)
    assert got == [b"early", b"next"]


# --- what is not public in websockets, and what we rely on ----------------------------------------


async def test_the_librarys_private_parts_are_what_they_were() -> None:
    """If this fails with a new release, read ``wire.py`` before the bounds are moved."""
    async with talking(idle) as wire:
        assert wire.protocol.state is State.OPEN
        assert wire.protocol.max_size == 1 << 20
        assert isinstance(wire.transport, asyncio.Transport)
        assert wire.transport.get_write_buffer_size() == 0
        assert not wire.transport.is_closing()
        parameters = inspect.signature(ClientConnection.data_received).parameters
        assert [*parameters] == ["self", "data"]
    state: State = wire.protocol.state
    assert state is State.CLOSED


async def test_many_messages_are_handed_over_in_several_turns_of_the_loop() -> None:
    sent = [str(number).encode() for number in range(300)]

    async def flood(connection: ServerConnection) -> None:
        await connection.recv()
        # In one write: to send them one by one would hold the loop itself.
        connection.transport.write(b"".join(bytes((0x81, len(text))) + text for text in sent))
        await connection.wait_closed()

    got: list[bytes] = []

    def slow(message: bytes) -> None:
        got.append(message)
        ends = time.thread_time() + 0.001
        while time.thread_time() < ends:
            pass

    watch = LoopWatch()
    async with talking(flood) as wire:
        async with watch:
            wire.on_message = slow
            wire.send_now(b"go")
            await until(lambda: len(got) == len(sent), 20)
        assert not wire.recv_messages.paused
    assert got == sent


async def test_a_connection_without_a_limit_says_none() -> None:
    async with serve(idle, "127.0.0.1", 0) as server:
        (listening,) = server.sockets
        url = f"ws://127.0.0.1:{listening.getsockname()[1]}"
        async with connect(url, create_connection=ModelConnection, max_size=None) as connection:
            assert connection.protocol.max_size is None


def test_the_mask_is_the_standards() -> None:
    """RFC 6455, section 5.3; computed in C, or else in Python."""
    message = bytes(range(120))
    made = _text_frame(message)
    mask, masked = made[2:6], made[6:]
    assert masked == bytes(byte ^ mask[at % 4] for at, byte in enumerate(message))
    assert masked == apply_mask(message, mask)


def test_the_installed_version_is_within_the_bounds() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (bounds,) = (
        asked.specifier
        for asked in map(Requirement, project["dependencies"])
        if asked.name == "websockets"
    )
    assert bounds.contains(version("websockets"))
    assert not bounds.contains("16.0"), "max_size is gone there"

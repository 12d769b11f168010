"""The WebSocket endpoint, against clients like mod_audio_stream and against strangers."""

from __future__ import annotations

import asyncio
import base64
import logging
import os
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from aiohttp import ClientWebSocketResponse, WSMsgType, WSServerHandshakeError, web
from aiohttp.test_utils import TestClient, TestServer
from structlog.testing import capture_logs

from media.stream import MAX_MESSAGE, ExpectedStream, StreamEndpoint

DOMAIN = "11111111-2222-3333-4444-555555555555"
TOKEN = "a-token-of-one-call"  # its form does not matter here
RIGHT_URL = "/stream/{domain_uuid}/{call_uuid}"


class Call:
    """A handler that writes down what happens."""

    def __init__(self, number: int = 0) -> None:
        self.path = f"/stream/{DOMAIN}/{number:08d}-0000-0000-0000-000000000000"
        self.happened: list[str] = []
        self.audio: list[bytes] = []
        self.texts: list[str] = []
        self._change = asyncio.Event()

    def stream_opened(self) -> None:
        self.happened.append("opened")
        self._change.set()

    def stream_audio(self, data: bytes) -> None:
        self.audio.append(data)
        self._change.set()

    def stream_text(self, text: str) -> None:
        self.texts.append(text)
        self._change.set()

    def stream_closed(self, code: int) -> None:
        self.happened.append(f"closed {code}")
        self._change.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(5):
            while not condition():
                self._change.clear()
                await self._change.wait()


Client = TestClient[web.Request, web.Application]


@asynccontextmanager
async def _serving(*calls: Call) -> AsyncIterator[tuple[StreamEndpoint, Client]]:
    """The endpoint with these calls live; an uncaught exception fails the test."""
    live = {call.path: ExpectedStream(call, TOKEN) for call in calls}
    endpoint = StreamEndpoint(live.get)
    app = web.Application()
    app.add_routes(endpoint.routes())
    uncaught: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: uncaught.append(context))
    async with TestClient(TestServer(app)) as client:
        yield endpoint, client
        await endpoint.close()
    assert uncaught == []


async def _connect(client: Client, call: Call) -> ClientWebSocketResponse:
    return await client.ws_connect(call.path, headers={"Authorization": f"Bearer {TOKEN}"})


@asynccontextmanager
async def _raw(
    client: Client, request: bytes
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A TCP connection, cut at the end."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        writer.write(request)
        yield reader, writer
    finally:
        writer.transport.abort()


def _handshake(call: Call) -> bytes:
    key = base64.b64encode(bytes(16)).decode()
    return (
        f"GET {call.path} HTTP/1.1\r\nHost: media\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n"
        f"Authorization: Bearer {TOKEN}\r\n\r\n"
    ).encode()


# --- who is let in --------------------------------------------------------------------------------


async def test_a_live_call_with_its_token_is_heard() -> None:
    call = Call()
    async with _serving(call) as (endpoint, client), await _connect(client, call) as socket:
        await socket.send_str('{"a": "metadata"}')
        await socket.send_bytes(b"\x01\x02" * 320)
        await call.until(lambda: len(call.audio) == 1)
        assert call.happened == ["opened"]
        assert call.audio == [b"\x01\x02" * 320]
        assert call.texts == ['{"a": "metadata"}']
        assert endpoint.refused == 0


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": ""},
        {"Authorization": TOKEN},
        {"Authorization": "Bearer "},
        {"Authorization": "Bearer another"},
        {"Authorization": f"Bearer {TOKEN}x"},
        {"Authorization": f"Basic {TOKEN}"},
        {"Authorization": "Bearer ção"},
    ],
    ids=str,
)
async def test_a_wrong_token_is_401(headers: dict[str, str]) -> None:
    call = Call()
    async with _serving(call) as (endpoint, client):
        with capture_logs() as logs, pytest.raises(WSServerHandshakeError) as refusal:
            await client.ws_connect(call.path, headers=headers)
        assert refusal.value.status == 401
        assert call.happened == []
        assert endpoint.refused == 1
        [line] = logs
        assert "STREAM_EXTRA_HEADERS" in line["event"]
        assert line["call_uuid"] == call.path.split("/")[-1]
        assert TOKEN not in str(line)
        assert "another" not in str(line)  # a wrong token may be that of another call


async def test_a_token_that_is_no_text_is_401() -> None:
    call = Call()
    async with _serving(call) as (_, client):
        request = _handshake(call).replace(TOKEN.encode(), b"\xff\xfe")
        async with _raw(client, request) as (reader, _):
            assert (await reader.readline()).split()[1] == b"401"


@pytest.mark.parametrize("when", ["before", "within"])
async def test_a_hangup_during_the_handshake_is_no_error(
    when: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    call = Call()
    handle = StreamEndpoint._stream
    asked = asyncio.Event()

    async def handled(self: StreamEndpoint, request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        if when == "before":
            request.transport.abort()
        asked.set()
        return await handle(self, request)

    async def gone(self: web.WebSocketResponse, request: web.BaseRequest) -> Any:
        raise ConnectionResetError

    monkeypatch.setattr(StreamEndpoint, "_stream", handled)
    monkeypatch.setattr(web.WebSocketResponse, "prepare", gone)
    with capture_logs() as lines:
        async with _serving(call) as (_, client), _raw(client, _handshake(call)):
            async with asyncio.timeout(5):
                await asked.wait()
            await asyncio.sleep(0.05)
    assert [(line["log_level"], line["event"]) for line in lines] == [
        ("info", "mod_audio_stream hung up before it was connected")
    ]
    assert not [record for record in caplog.records if record.exc_info]
    assert call.happened == []


async def test_a_call_that_is_not_live_is_404_and_the_right_url_is_logged() -> None:
    unknown = Call(7)
    async with _serving(Call()) as (endpoint, client):
        with capture_logs() as logs, pytest.raises(WSServerHandshakeError) as refusal:
            await _connect(client, unknown)
        assert refusal.value.status == 404
        assert endpoint.refused == 1
        [line] = logs
        assert line["log_level"] == "warning"
        assert line["right_url"] == f"ws://127.0.0.1:{client.port}{RIGHT_URL}"
        assert (line["domain_uuid"], line["call_uuid"]) == tuple(unknown.path.split("/")[2:])


@pytest.mark.parametrize(
    "path", ["/", "/stream", "/stream/one", "/stream/a/b/c", "/ws/a/b", "/%ff"]
)
async def test_a_wrong_path_is_404_and_the_right_url_is_logged(path: str) -> None:
    async with _serving(Call()) as (endpoint, client):
        with capture_logs() as logs:
            async with client.get(path) as response:
                assert response.status == 404
                assert RIGHT_URL in await response.text()
        assert endpoint.refused == 1
        [line] = logs
        assert line["right_url"] == f"ws://127.0.0.1:{client.port}{RIGHT_URL}"


async def test_what_strangers_make_us_log_is_short() -> None:
    async with _serving(Call()) as (_, client):
        with capture_logs() as logs:
            for path in ("/" + "x" * 5000, "/stream/" + "y" * 2000 + "/" + "z" * 2000):
                async with client.get(path) as response:
                    assert response.status == 404
        assert all(len(str(line)) < 600 for line in logs)


async def test_a_request_that_is_no_websocket_is_400() -> None:
    call = Call()
    async with _serving(call) as (_, client):
        async with client.get(call.path, headers={"Authorization": f"Bearer {TOKEN}"}) as response:
            assert response.status == 400
        assert call.happened == []


# --- what is heard --------------------------------------------------------------------------------


async def test_messages_of_any_size_arrive_as_they_are() -> None:
    call = Call()
    sent = [
        os.urandom(size) for size in (640, 1280, 1, 0, 641, 1920, 65536, 125, 126, MAX_MESSAGE - 1)
    ]
    async with _serving(call) as (_, client), await _connect(client, call) as socket:
        for data in sent:
            await socket.send_bytes(data)
        await call.until(lambda: len(call.audio) == len(sent))
        assert call.audio == sent


async def test_an_oversize_message_closes_that_connection_only() -> None:
    call, other = Call(1), Call(2)
    async with (
        _serving(call, other) as (endpoint, client),
        await _connect(client, call) as socket,
        await _connect(client, other) as theirs,
    ):
        await socket.send_bytes(bytes(MAX_MESSAGE))
        assert (await socket.receive()).data == 1009
        await call.until(lambda: call.happened == ["opened", "closed 1006"])
        assert call.audio == []
        assert endpoint.ignored == 1
        await theirs.send_bytes(b"still here")
        await other.until(lambda: other.audio == [b"still here"])
        assert other.happened == ["opened"]


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [1000, 1001, 4321])
async def test_the_code_of_a_close_is_told(code: int) -> None:
    call = Call()
    async with _serving(call) as (endpoint, client), await _connect(client, call) as socket:
        await socket.close(code=code)
        await call.until(lambda: len(call.happened) == 2)
        assert call.happened == ["opened", f"closed {code}"]
        with pytest.raises(ConnectionError):
            await endpoint.send(call, "too late")


async def test_a_cut_connection_is_1006() -> None:
    call = Call()
    async with _serving(call) as (endpoint, client):
        async with _raw(client, _handshake(call)) as (reader, _):
            await reader.readuntil(b"\r\n\r\n")
        await call.until(lambda: len(call.happened) == 2)
        assert call.happened == ["opened", "closed 1006"]
        assert endpoint.ignored == 0


async def test_a_reconnect_replaces_the_old_connection() -> None:
    call = Call()
    async with (
        _serving(call) as (endpoint, client),
        await _connect(client, call) as old,
        await _connect(client, call) as new,
    ):
        await call.until(lambda: len(call.happened) == 2)
        async with asyncio.timeout(5):
            assert (await old.receive()).type in (WSMsgType.CLOSED, WSMsgType.ERROR)
        await new.send_bytes(b"new")
        await call.until(lambda: call.audio == [b"new"])
        await endpoint.send(call, "to the new one")
        assert await new.receive_str() == "to the new one"
        assert call.happened == ["opened", "opened"]
        await new.close()
        await call.until(lambda: len(call.happened) == 3)
        assert call.happened[2] == "closed 1000"  # and nothing about the old connection


async def test_many_reconnects_at_once_leave_one_connection() -> None:
    call = Call()
    async with _serving(call) as (endpoint, client):
        sockets = await asyncio.gather(*(_connect(client, call) for _ in range(20)))
        await call.until(lambda: len(call.happened) == 20)
        await endpoint.drop(call)
        for socket in sockets:
            await socket.close()
        assert call.happened == ["opened"] * 20


# --- the other direction --------------------------------------------------------------------------


async def test_send_reaches_the_module() -> None:
    call, other = Call(1), Call(2)
    async with _serving(call, other) as (endpoint, client):
        with pytest.raises(ConnectionError, match="not connected"):
            await endpoint.send(call, "too early")
        async with await _connect(client, call) as socket, await _connect(client, other):
            await endpoint.send(call, '{"type": "streamAudio"}')
            assert await socket.receive_str() == '{"type": "streamAudio"}'


async def test_drop_closes_and_is_not_told() -> None:
    call = Call()
    async with _serving(call) as (endpoint, client):
        await endpoint.drop(call)  # nothing to drop
        async with await _connect(client, call) as socket:
            await call.until(lambda: call.happened == ["opened"])
            await endpoint.drop(call)
            assert (await socket.receive()).data == 1000
            with pytest.raises(ConnectionError):
                await endpoint.send(call, "too late")
        async with await _connect(client, call):  # the sptmru build reconnects by itself
            await call.until(lambda: len(call.happened) == 2)
        assert call.happened[:2] == ["opened", "opened"]


async def test_close_says_goodbye_to_everybody() -> None:
    calls = [Call(number) for number in range(3)]
    async with _serving(*calls) as (endpoint, client):
        sockets = [await _connect(client, call) for call in calls]
        await endpoint.close()
        for call, socket in zip(calls, sockets, strict=True):
            assert (await socket.receive()).data == 1001
            assert call.happened == ["opened", "closed 1000"]
        await endpoint.close()


# --- anything at all ------------------------------------------------------------------------------


async def test_a_thousand_random_messages(caplog: pytest.LogCaptureFixture) -> None:
    chance = random.Random(1000)
    call = Call()
    audio, texts = [], []
    async with _serving(call) as (endpoint, client), await _connect(client, call) as socket:
        for _ in range(1000):
            size = chance.choice((0, 1, 2, 125, 126, 640, 1280, chance.randrange(5000)))
            match chance.randrange(4):
                case 0:
                    texts.append("".join(chr(chance.randrange(0xD7FF)) for _ in range(size // 9)))
                    await socket.send_str(texts[-1])
                case 1:
                    await socket.ping(chance.randbytes(min(size, 125)))
                case 2:
                    await socket.pong(chance.randbytes(min(size, 125)))
                case _:
                    audio.append(chance.randbytes(size))
                    await socket.send_bytes(audio[-1])
        await call.until(lambda: len(call.audio) == len(audio) and len(call.texts) == len(texts))
        assert (call.audio, call.texts) == (audio, texts)
        assert endpoint.ignored == 0
    assert _errors(caplog) == []


async def test_random_bytes_end_their_own_connection_and_nothing_else(
    caplog: pytest.LogCaptureFixture,
) -> None:
    chance = random.Random(2000)
    call, other = Call(1), Call(2)
    async with _serving(call, other) as (endpoint, client), await _connect(client, other) as socket:
        for number in range(40):
            async with _raw(client, _handshake(call)) as (reader, writer):
                await reader.readuntil(b"\r\n\r\n")
                for _ in range(chance.randrange(1, 30)):
                    frame = bytes((chance.randrange(256), 0x80 | chance.randrange(126)))
                    writer.write(frame + chance.randbytes(chance.randrange(140)))
                if number % 2:
                    writer.write_eof()
                    with suppress(ConnectionError):
                        await reader.read()
            await call.until(lambda: call.happened.count("opened") == number + 1)  # noqa: B023
        await call.until(lambda: call.happened[-1].startswith("closed"))
        assert endpoint.ignored > 10
        await socket.send_bytes(b"still here")
        await other.until(lambda: other.audio == [b"still here"])
    assert _errors(caplog) == []


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if record.levelno >= logging.ERROR]

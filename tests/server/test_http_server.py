"""Nobody can hold HTTP up by connecting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from aiohttp import ClientSession, web
from structlog.testing import capture_logs

from esl_controller.server import http_server
from esl_controller.server.http_server import at, serving

BIG = 50_000_000  # bytes: more than sockets hold for a peer that does not read


async def _hello(request: web.Request) -> web.Response:
    return web.Response(text="hello")


async def _big(request: web.Request) -> web.Response:
    return web.Response(body=bytes(BIG))


async def _bug(request: web.Request) -> web.Response:
    raise RuntimeError("a bug of ours")


async def _echo(request: web.Request) -> web.WebSocketResponse:
    there = web.WebSocketResponse()
    await there.prepare(request)
    async for message in there:
        await there.send_str(message.data)
    return there


ROUTES = [
    web.get("/", _hello),
    web.get("/big", _big),
    web.get("/echo", _echo),
    web.get("/bug", _bug),
]
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def server() -> AsyncIterator[int]:
    """Serves the routes; its port."""
    async with serving(ROUTES, at("127.0.0.1", 0)) as it:
        yield it.sockets[0].getsockname()[1]


async def _gone(there: Streams) -> bool:
    """Whether the connection is over within a second."""
    reader, writer = there
    try:
        async with asyncio.timeout(1.0):
            while await reader.read(1 << 20):
                pass
    except ConnectionError:
        pass
    except TimeoutError:
        return False
    writer.close()
    return True


@pytest.mark.parametrize(
    "sent", [b"", b"GET / HTTP/1.1\r\nHost: a", b"GET /big HTTP/1.1\r\nHost: a\r\n\r\n"]
)
async def test_a_connection_that_does_not_come_to_its_end_is_dropped(
    sent: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_server, "REQUEST_S", 0.2)
    with capture_logs() as log:
        async with server() as port:
            there = await asyncio.open_connection("127.0.0.1", port)
            there[1].write(sent)
            await asyncio.sleep(0.4)  # nothing tells of it: what was sent before can still be read
            assert await _gone(there)
    assert [line["event"] for line in log] == ["HTTP connections that ask nothing are dropped"]


async def test_a_websocket_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "REQUEST_S", 0.1)
    async with (
        server() as port,
        ClientSession() as http,
        http.ws_connect(f"http://127.0.0.1:{port}/echo") as there,
    ):
        idle = await asyncio.open_connection("127.0.0.1", port)
        assert await _gone(idle)
        await there.send_str("still here")
        assert await there.receive_str() == "still here"


async def test_of_too_many_that_ask_nothing_the_oldest_is_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "WAITING", 3)
    async with server() as port, ClientSession() as http:
        first, *others = [await asyncio.open_connection("127.0.0.1", port) for _ in range(4)]
        assert await _gone(first)
        async with http.get(f"http://127.0.0.1:{port}/") as answer:
            assert await answer.text() == "hello"
        assert not await _gone(others[-1])
        for _, writer in others:
            writer.close()


async def test_many_requests_are_no_connections_that_ask_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "WAITING", 3)
    with capture_logs() as log:
        async with server() as port, ClientSession() as http:
            for _ in range(10):
                async with http.get(f"http://127.0.0.1:{port}/") as answer:
                    assert answer.headers["Connection"] == "close"
    assert log == []


@pytest.mark.parametrize(
    "sent", [b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\nA b: c\r\n\r\n"]
)
async def test_what_is_no_http_is_no_error_of_ours(
    sent: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    async with server() as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(sent)
        assert b" 400 " in await reader.readline()
        assert await _gone((reader, writer))
    assert caplog.records == []


async def test_a_bug_in_a_handler_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async with (
        server() as port,
        ClientSession() as http,
        http.get(f"http://127.0.0.1:{port}/bug") as answer,
    ):
        assert answer.status == 500
    (record,) = caplog.records
    assert record.exc_info
    assert record.exc_info[0] is RuntimeError

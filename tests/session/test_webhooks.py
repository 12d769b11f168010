"""Webhook functions against a server; messages and the record, put for the outbox."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from ipaddress import ip_network
from typing import Any, TypeAlias

import pytest
from aiohttp import web

from esl_controller.call.tools import AskServer, TakeMessage
from esl_controller.config.setting_types import Network
from esl_controller.freeswitch.channel import Channel
from esl_controller.secretaries.schema import WebhookTool
from esl_controller.secretaries.secretary import Secretary
from esl_controller.server import logs
from esl_controller.session.webhook_http import signature, webhook_session
from esl_controller.session.webhooks import ANSWER_LIMIT, AT_ONCE, Webhooks
from esl_controller.store.records import Change, DeliveryQueued, MessageTaken
from tests.lateness import LoopWatch
from tests.secretaries.rig import secretary
from tests.waiting import until

UUID = "0b6a7e5e-2f0f-4f0c-9f53-6b3d9f0f7a11"
CHANNEL = Channel(UUID, "d-1", "s-1", "+5511", "8000", "public", "PCMU", 8000, False, {})
CALL = {
    "call_uuid": UUID,
    "domain_uuid": "d-1",
    "secretary_uuid": "s-1",
    "caller": "+5511",
    "number": "8000",
}
PIN = "739154"
SECRET = "of the operator"
LOOPBACK = (ip_network("127.0.0.0/8"),)
Answer: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[str]:
    """Somebody's server; yields the URL of its function."""
    application = web.Application()
    application.router.add_post("/function", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/function"
    finally:
        await runner.cleanup()


async def ask(
    url: str,
    *,
    timeout_s: float = 5.0,
    secure: dict[str, str] | None = None,
    allow: Collection[Network] = LOOPBACK,
) -> Any:
    """What the model is told, out of its JSON."""
    tool = WebhookTool(name="check", description="Checks.", url=url, timeout_s=timeout_s)
    async with webhook_session(allow) as http:
        errands = Webhooks(CHANNEL, secretary(), http, lambda change: None, SECRET)
        output = await errands.webhook(AskServer(tool, {"account": "77"}), secure or {})
    return json.loads(output)


def answering(**response: Any) -> Answer:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(**response)

    return answer


async def test_one_call_does_not_take_the_connections_of_others() -> None:
    """What has to wait for one of its own does so within its time."""
    asked: list[None] = []
    free = asyncio.Event()

    async def slow(request: web.Request) -> web.Response:
        asked.append(None)
        await free.wait()
        return web.json_response({})

    async with server(slow) as url, webhook_session(LOOPBACK) as http:
        tool = WebhookTool(name="check", description="Checks.", url=url, timeout_s=0.5)
        one = Webhooks(CHANNEL, secretary(), http, lambda change: None, SECRET)
        asks = [
            asyncio.ensure_future(one.webhook(AskServer(tool, {}), {})) for _ in range(AT_ONCE + 1)
        ]
        await until(lambda: len(asked) == AT_ONCE)
        other = Webhooks(CHANNEL, secretary(), http, lambda change: None, SECRET)
        others = asyncio.ensure_future(other.webhook(AskServer(tool, {}), {}))
        await until(lambda: len(asked) == AT_ONCE + 1)
        outputs = await asyncio.gather(*asks, others)
        free.set()
    assert {json.loads(output)["error"] for output in outputs} == {
        "check failed: no answer within 0.5 s"
    }


async def test_the_server_learns_what_the_model_wants_and_who_calls() -> None:
    asked: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(await request.json())
        return web.json_response({"balance": 12})

    async with server(answer) as url:
        assert await ask(url, secure={"pin": PIN}) == {"balance": 12}
    (body,) = asked
    assert body == {"function": "check", "arguments": {"account": "77", "pin": PIN}, "call": CALL}


async def test_the_server_can_check_that_it_is_us() -> None:
    asked: list[tuple[Any, bytes]] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append((request.headers, await request.read()))
        return web.json_response({})

    async with server(answer) as url:
        await ask(url, secure={"pin": PIN})
    ((headers, body),) = asked
    assert headers["X-Esl-Controller-Event"] == "function"
    assert len(headers["X-Esl-Controller-Id"]) == 32
    expected = signature(SECRET, headers["X-Esl-Controller-Timestamp"], body)
    assert headers["X-Esl-Controller-Signature"] == expected


async def test_a_server_in_our_own_network_needs_a_yes(everything: io.StringIO) -> None:
    asked: list[web.Request] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request)
        return web.json_response({})

    refused = {"error": "check failed: not reached: its address is not allowed"}
    async with server(answer) as url:
        assert await ask(url, allow=()) == refused
        assert await ask(url.replace("127.0.0.1", "localhost"), allow=()) == refused
        assert await ask(url.replace("127.0.0.1", "[::ffff:127.0.0.1]"), allow=()) == refused
        assert asked == []
        assert await ask(url) == {}
    assert "127.0.0.1 is no public address" in everything.getvalue()


async def test_an_answer_is_not_unpacked(watched_loop: LoopWatch) -> None:
    bomb = zlib.compress(bytes(100_000_000))
    answer = answering(body=bomb, headers={"Content-Encoding": "deflate"})
    async with server(answer) as url, watched_loop:
        told = await ask(url)
    assert told == {"error": "check failed: a compressed answer"}


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b'{"a": [1, "\xc3\xa9"]}', {"a": [1, "é"]}),
        (b'"free"', "free"),
        (b"Tuesday at nine", {"result": "Tuesday at nine"}),
        (b"\xff", {"result": "\ufffd"}),
        (b"[" * 9000, {"result": "[" * 9000}),
        (b"[" * 900 + b"]" * 900, json.loads("[" * 900 + "]" * 900)),
        (b'{"a": NaN, "b": 1e999}', {"result": '{"a": NaN, "b": 1e999}'}),
        (b'"\\ud800"', {"result": '"\\ud800"'}),
        (b"9" * 5000, {"result": "9" * 5000}),
        (b"", {"result": ""}),
    ],
)
async def test_an_answer_may_be_json_or_text(body: bytes, told: Any) -> None:
    async with server(answering(body=body)) as url:
        assert await ask(url) == told


async def test_an_answer_that_comes_in_pieces_is_whole() -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for piece in (b'{"a"', b": 1,", b'"b": 2}'):
            await response.write(piece)
            await asyncio.sleep(0.02)
        return response

    async with server(answer) as url:
        assert await ask(url) == {"a": 1, "b": 2}


@pytest.mark.parametrize("size", [ANSWER_LIMIT, ANSWER_LIMIT + 1])
async def test_an_answer_that_is_too_large(size: int) -> None:
    async with server(answering(text="x" * size)) as url:
        told = await ask(url)
    if size == ANSWER_LIMIT:
        assert told == {"result": "x" * size}
    else:
        assert told == {"error": "check failed: an answer of more than 20000 bytes"}


@pytest.mark.parametrize("status", [302, 404, 500])
async def test_a_status_that_is_no_success_is_an_error(status: int) -> None:
    followed: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        followed.append(request.path)
        return web.Response(status=status, text="secret", headers={"Location": "/function"})

    async with server(answer) as url:
        assert await ask(url) == {"error": f"check failed: HTTP {status}"}
    assert followed == ["/function"]


async def test_a_server_that_does_not_answer_in_time() -> None:
    async def answer(request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()

    async with server(answer) as url:
        told = await ask(url, timeout_s=0.5)
    assert told == {"error": "check failed: no answer within 0.5 s"}


async def test_a_server_that_is_not_there() -> None:
    async with server(answering()) as url:
        pass
    assert await ask(url) == {"error": "check failed: not reached: ClientConnectorError"}


async def test_a_server_that_hangs_up() -> None:
    async def answer(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    async with server(answer) as url:
        assert await ask(url) == {"error": "check failed: not reached: ServerDisconnectedError"}


async def test_a_call_that_ends_does_not_wait_for_the_answer() -> None:
    asked = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        asked.set()
        await asyncio.sleep(5)
        return web.Response()

    async with server(answer) as url:
        asking = asyncio.create_task(ask(url))
        await asked.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


@pytest.fixture
def everything() -> Any:
    """All that is logged, at debug level."""
    out = io.StringIO()
    logs.configure("json", "debug", out)
    return out


async def test_what_is_secure_is_in_no_log_and_in_no_answer_of_ours(
    everything: io.StringIO,
) -> None:
    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=500, text=await request.text())

    async with server(answer) as url:
        failed = await ask(url, secure={"pin": PIN})
        refused = await ask("http://127.0.0.1:9/", secure={"pin": PIN})
    assert "a webhook function failed" in everything.getvalue()
    assert PIN not in everything.getvalue() + str(failed) + str(refused)


def put_by(do: Callable[[Webhooks], None], **keys: Any) -> list[Change]:
    changes: list[Change] = []
    who: Secretary = secretary(**keys)
    http: Any = None  # nothing is asked
    do(Webhooks(CHANNEL, who, http, changes.append, SECRET))
    return changes


def leave(errands: Webhooks) -> None:
    errands.message(TakeMessage("Ana", "+5511", "Call me, é urgente"), 12.5)


def test_a_message_is_kept() -> None:
    (message,) = put_by(leave)
    assert isinstance(message, MessageTaken)
    assert (message.call_uuid, message.name, message.phone) == (UUID, "Ana", "+5511")
    assert (message.text, message.at) == ("Call me, é urgente", 12.5)


def test_a_message_is_delivered() -> None:
    url = "https://clinic.example/messages"
    kept, delivered = put_by(leave, events={"message_url": url})
    assert isinstance(kept, MessageTaken)
    assert isinstance(delivered, DeliveryQueued)
    assert (delivered.url, delivered.kind, delivered.call_uuid) == (url, "message", UUID)
    assert json.loads(delivered.body) == {
        "message": {"name": "Ana", "phone": "+5511", "text": "Call me, é urgente"},
        "call": CALL,
    }


def test_the_record_of_the_call_is_delivered_where_that_is_wanted() -> None:
    assert put_by(Webhooks.call_ended) == []
    url = "https://clinic.example/calls"
    (delivered,) = put_by(Webhooks.call_ended, events={"call_ended_url": url})
    assert isinstance(delivered, DeliveryQueued)
    assert (delivered.url, delivered.kind, delivered.body) == (url, "call_ended", "")

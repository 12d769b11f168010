"""What waits, what goes first, and why a connection ended."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web

from esl_controller.agents.base import Counters
from esl_controller.agents.openai.connection import (
    BACKLOG_MS,
    CONTROL_LIMIT,
    FRAME_MS,
    Connection,
)
from esl_controller.agents.openai.endpoint import PCM, OpenAIEndpoint
from esl_controller.agents.openai.wire import ModelConnection
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import AgentFailed
from esl_controller.call.model_link import ModelLink
from esl_controller.config.model_settings import AgentSettings
from media.frame import PCMU, Format, pcm
from tests.agents.openai.rig import Talk, say, server
from tests.waiting import until

FRAME = bytes(PCM.frame_bytes)
NOBODY = "http://127.0.0.1:9/v1"


@contextlib.asynccontextmanager
async def connection_to(
    base_url: str, counters: Counters | None = None, *, patience_s: float = 2.0
) -> AsyncIterator[Connection]:
    settings = AgentSettings(connect_timeout_s=patience_s, base_url=base_url)
    endpoint = OpenAIEndpoint(settings, "realtime")
    yield Connection(endpoint, PCM, "audio.append", counters or Counters())
    await endpoint.close()


async def run(connection: Connection, on_message: Any = lambda message: None) -> AgentFailed:
    return await connection.run(
        lambda client, options: client.realtime.connect(
            model="m", websocket_connection_options=options
        ),
        {"type": "hello"},
        on_message,
    )


async def test_audio_that_waits_is_bounded() -> None:
    counters = Counters()
    async with connection_to(NOBODY, counters) as connection:
        for _ in range(BACKLOG_MS // 20 + 7):
            connection.hear(FRAME)
        assert counters.dropped_ms == 7 * 20


async def test_nobody_there_is_one_line() -> None:
    async with connection_to(NOBODY) as connection:
        failed = await run(connection)
    assert failed.reason.startswith("no connection to the model: ")
    assert "\n" not in failed.reason
    assert failed.recovery is Recovery.RECONNECT


@pytest.mark.parametrize(
    ("status", "for_good", "hint"),
    [
        (400, True, ""),
        (401, True, "; the key was refused: check OPENAI_API_KEY"),
        (403, True, "; the key has no access to this model"),
        (404, True, "; no such model or endpoint: check [agent] model and base_url"),
        (429, False, "; too many requests, or the quota is used up"),
        (500, False, ""),
        (503, False, ""),
    ],
)
async def test_to_try_again_is_of_use_where_the_request_was_right(
    status: int, for_good: bool, hint: str
) -> None:
    async with server("realtime", say([]), status) as url, connection_to(url) as connection:
        failed = await run(connection)
    assert failed == AgentFailed(
        f"the model refused the connection: HTTP {status}{hint}",
        Recovery.NEXT_MODEL if for_good else Recovery.RECONNECT,
    )


async def test_an_endpoint_that_refuses_for_good_is_not_held_to_be_down() -> None:
    async with server("realtime", say([]), 401) as url, connection_to(url) as connection:
        health = connection._endpoint.health
        health.failed(await health.admit())
        assert health.wait_s > 0
        assert (await run(connection)).recovery is Recovery.NEXT_MODEL
        assert health.wait_s == 0, "nobody need wait to be told the same"


def listening(seen: list[dict[str, Any]]) -> Talk:
    """Say one thing, and keep what comes."""

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("{}")
        async for message in socket:
            seen.append(json.loads(message.data))

    return talk


async def test_the_past_goes_first_then_what_was_asked_then_audio() -> None:
    seen: list[dict[str, Any]] = []
    async with server("realtime", listening(seen)) as url, connection_to(url) as connection:
        past = [{"type": f"past {number}"} for number in range(2 * CONTROL_LIMIT)]
        answers: list[bool] = []

        def confirm(message: bytes) -> None:
            answers.append(connection.confirm(past))
            for _ in range(CONTROL_LIMIT - 1):
                connection.ask({"type": "asked after"})

        connection.hear(FRAME)
        connection.ask({"type": "asked before"})
        running = asyncio.create_task(run(connection, confirm))
        await until(lambda: bool(seen) and seen[-1]["type"] == "audio.append")
        kinds = [event["type"] for event in seen]
        assert kinds[0] == "hello"
        assert kinds[1 : len(past) + 1] == [event["type"] for event in past]
        assert kinds[len(past) + 1 :] == [
            "asked before",
            *["asked after"] * (CONTROL_LIMIT - 1),
            "audio.append",
        ]
        assert answers == [True]
        assert not connection.confirm()
        connection.give_up("enough", Recovery.NEXT_MODEL)
        connection.give_up("the first reason counts")
        assert await running == AgentFailed("enough", Recovery.NEXT_MODEL)
        assert not connection.ready


async def test_a_long_past_leaves_the_loop_to_others(monkeypatch: pytest.MonkeyPatch) -> None:
    past = [{"type": "past"}] * 300
    turn = 0
    turns: list[int] = []
    send = ModelConnection.send

    async def noting(self: ModelConnection, message: str, text: bool | None = None) -> None:
        turns.append(turn)
        await send(self, message, text)

    monkeypatch.setattr(ModelConnection, "send", noting)

    def count() -> None:
        nonlocal turn
        turn += 1
        if len(turns) <= len(past):
            asyncio.get_running_loop().call_soon(count)

    async with server("realtime", listening([])) as url, connection_to(url) as connection:
        count()
        running = asyncio.create_task(run(connection, lambda message: connection.confirm(past)))
        await until(lambda: len(turns) > len(past))
        assert len(set(turns)) == len(turns)
        connection.give_up("enough")
        await running


async def test_what_no_text_can_hold_ends_no_connection() -> None:
    seen: list[dict[str, Any]] = []
    async with server("realtime", listening(seen)) as url, connection_to(url) as connection:
        connection.ask({"type": "asked", "text": "half a character: \ud83d"})
        running = asyncio.create_task(run(connection, lambda message: connection.confirm()))
        await until(lambda: len(seen) == 2)
        connection.give_up("enough")
        await running


async def test_a_service_that_limits_us_says_when_and_the_next_call_knows() -> None:
    dialled = 0

    async def limiting(request: web.Request) -> web.StreamResponse:
        nonlocal dialled
        dialled += 1
        return web.Response(status=429, headers={"Retry-After": "30"})

    application = web.Application()
    application.router.add_get("/v1/realtime", limiting)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with connection_to(f"http://127.0.0.1:{runner.addresses[0][1]}/v1") as connection:
        failed = await run(connection)
        assert (failed.recovery, failed.after_s) == (Recovery.RECONNECT, 30.0)
        again = Connection(connection._endpoint, PCM, "audio.append", Counters())
        failed = await run(again)
        assert failed.after_s > 20.0
        assert "takes no calls for another" in failed.reason
        assert dialled == 1
    await runner.cleanup()


async def test_the_body_of_a_refusal_tells_a_quota_from_a_limit() -> None:
    async def refusing(request: web.Request) -> web.StreamResponse:
        return web.json_response({"error": {"code": "insufficient_quota"}}, status=429)

    application = web.Application()
    application.router.add_get("/v1/realtime", refusing)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with connection_to(f"http://127.0.0.1:{runner.addresses[0][1]}/v1") as connection:
        failed = await run(connection)
        assert failed.recovery is Recovery.NEXT_MODEL
        assert connection._endpoint.health.wait_s == 0.0, "the endpoint is well"
    await runner.cleanup()


@pytest.mark.parametrize("hears", [PCM, PCMU, pcm(48000)])
async def test_a_model_that_stops_in_mid_message_is_given_up(hears: Format) -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_str("{}")
        transport = socket._req.transport if socket._req else None
        assert transport is not None
        transport.write(b"\x81\x7e\x10\x00{")
        await asyncio.sleep(10)

    async with server("realtime", talk) as url, connection_to(url) as connection:
        running = asyncio.create_task(run(connection, lambda message: connection.confirm()))
        await until(lambda: connection._wire is not None and connection._wire.in_frame)
        connection.hear_as(hears)
        for _ in range(FRAME_MS // 20):
            connection.hear(FRAME)
        assert connection._failure is None
        await asyncio.sleep(0.05)
        assert not running.done()
        connection.hear(FRAME)
        failed = await running
        assert "in the middle of a message" in failed.reason
        assert failed.recovery is Recovery.RECONNECT


# --- many calls -----------------------------------------------------------------------------------

CALLS = 50


class Breaking:
    """A server that confirms each session. ``sick``: it closes each a moment later."""

    def __init__(self) -> None:
        self.sick = False
        self.dialled: list[float] = []
        self.living: set[web.WebSocketResponse] = set()

    async def talk(self, socket: web.WebSocketResponse) -> None:
        self.dialled.append(asyncio.get_running_loop().time())
        await socket.send_str("{}")
        if self.sick:
            await asyncio.sleep(0.02)
            await socket.close(code=1011)
            return
        self.living.add(socket)
        async for _ in socket:
            pass

    def break_all(self) -> None:
        for socket in self.living:
            assert socket._req is not None
            assert socket._req.transport is not None
            socket._req.transport.abort()
        self.living.clear()
        self.dialled.clear()

    def most_within(self, seconds: float) -> int:
        """The largest number of connections that were made in so short a time."""
        return max(
            sum(since <= at < since + seconds for at in self.dialled) for since in self.dialled
        )


async def be_a_call(endpoint: OpenAIEndpoint) -> None:
    """One connection after the other, as the core has them made."""
    loop = asyncio.get_running_loop()
    link = ModelLink()
    link.connect()
    while True:
        connection = Connection(endpoint, PCM, "audio.append", Counters())

        def confirm(message: bytes, connection: Connection = connection) -> None:
            if connection.confirm():
                link.ready(loop.time())

        link.failed(await run(connection, confirm), loop.time())
        while link.state == "none":
            until_s = link.deadline(idle=False)
            assert until_s is not None
            await asyncio.sleep(max(0.0, until_s - loop.time()))
            link.time_up(loop.time(), idle=False)
        assert not link.given_up


@contextlib.asynccontextmanager
async def many_calls() -> AsyncIterator[Breaking]:
    breaking = Breaking()
    async with server("realtime", breaking.talk) as url:
        endpoint = OpenAIEndpoint(AgentSettings(connect_timeout_s=10.0, base_url=url), "realtime")
        await endpoint.loaded()
        async with asyncio.TaskGroup() as calls:
            tasks = [calls.create_task(be_a_call(endpoint)) for _ in range(CALLS)]
            await until(lambda: len(breaking.living) == CALLS)
            yield breaking
            for task in tasks:
                task.cancel()
        await endpoint.close()


async def test_calls_whose_connections_break_in_one_instant_are_soon_back_one_after_the_other() -> (
    None
):
    async with many_calls() as breaking:
        breaking.break_all()
        await until(lambda: len(breaking.living) == CALLS, 2.0)
        assert len(breaking.dialled) == CALLS
        assert breaking.most_within(0.05) < 0.8 * CALLS


async def test_an_endpoint_that_confirms_and_closes_is_not_stormed() -> None:
    async with many_calls() as breaking:
        breaking.sick = True
        breaking.break_all()
        await asyncio.sleep(2.5)
        breaking.sick = False
        assert len(breaking.dialled) < 1.5 * CALLS
        assert breaking.most_within(0.05) < 0.8 * CALLS
        await until(lambda: len(breaking.living) == CALLS, 6.0)
        assert breaking.most_within(0.05) < 0.8 * CALLS

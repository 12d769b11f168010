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
from esl_controller.agents.openai.connection import BACKLOG_MS, CONTROL_LIMIT, Connection
from esl_controller.agents.openai.endpoint import PCM, OpenAIEndpoint
from esl_controller.agents.openai.wire import ModelConnection
from esl_controller.call.events import AgentFailed
from esl_controller.config.settings import AgentSettings
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
    assert not failed.permanent


@pytest.mark.parametrize(
    ("status", "permanent", "hint"),
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
    status: int, permanent: bool, hint: str
) -> None:
    async with server("realtime", say([]), status) as url, connection_to(url) as connection:
        failed = await run(connection)
    assert failed == AgentFailed(
        f"the model refused the connection: HTTP {status}{hint}", permanent
    )


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
        connection.give_up("enough", permanent=True)
        connection.give_up("the first reason counts")
        assert await running == AgentFailed("enough", permanent=True)
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

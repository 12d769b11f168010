"""A model to talk to: a server that is told what to say, and what an agent reports of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar

from aiohttp import WSMsgType, web

from esl_controller.agents.base import Agent, Model
from esl_controller.call import agent_events as ev
from esl_controller.config.loading import load
from esl_controller.config.model_settings import AgentSettings
from esl_controller.simulator.live import LiveStandIn
from esl_controller.simulator.model import ModelStandIn
from tests.waiting import until

T = TypeVar("T")
Talk: TypeAlias = Callable[[web.WebSocketResponse], Awaitable[None]]


class Conversation:
    """An agent that runs, and what it reported."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.got: list[ev.AgentEvent] = []

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.got if isinstance(event, kind)]

    async def until(self, *kinds: type[ev.AgentEvent], timeout: float = 5.0) -> None:
        """Wait until an event of each kind has come."""
        await until(lambda: all(self.of(kind) for kind in kinds), timeout)

    def audio(self) -> dict[str, bytes]:
        """What was said, by item."""
        said: dict[str, bytes] = {}
        for event in self.of(ev.AgentAudio):
            said[event.item] = said.get(event.item, b"") + event.data
        return said


C = TypeVar("C", bound=Conversation)


def agent_settings(base_url: str, **settings: str) -> AgentSettings:
    """Settings of [agent], without their prefix, for a model at ``base_url``."""
    environment = {f"ESL_CONTROLLER_AGENT_{name}": value for name, value in settings.items()}
    environment["ESL_CONTROLLER_AGENT_BASE_URL"] = base_url
    return load(None, {"OPENAI_API_KEY": "sk-test", **environment}).settings.agent


@contextlib.asynccontextmanager
async def talking(model: Model, conversation: C) -> AsyncIterator[C]:
    """Run the conversation's agent, and close its model afterwards."""
    async with running(conversation):
        yield conversation
    await model.close()


def sent(standin: ModelStandIn | LiveStandIn, kind: str) -> list[dict[str, Any]]:
    """The events of a kind that we have sent in the only session."""
    (session,) = standin.sessions
    return [event for event in session.record.client_events if event["type"] == kind]


@contextlib.asynccontextmanager
async def running(conversation: Conversation) -> AsyncIterator[None]:
    """Run its agent; it is cancelled at the end if it has not ended by itself."""
    task = asyncio.create_task(conversation.agent.run(conversation.got.append))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


@contextlib.asynccontextmanager
async def server(path: str, talk: Talk, status: int = 101) -> AsyncIterator[str]:
    """A WebSocket server that does ``talk``, or answers with ``status``; yields its base URL."""

    async def connect(request: web.Request) -> web.StreamResponse:
        if status != 101:
            return web.Response(status=status)
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await talk(socket)
        return socket

    application = web.Application()
    application.router.add_get(f"/v1/{path}", connect)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


def say(script: Sequence[Any]) -> Talk:
    """Send events, texts and binary messages; then only listen."""

    async def talk(socket: web.WebSocketResponse) -> None:
        for event in script:
            if isinstance(event, bytes):
                await socket.send_bytes(event)
            else:
                await socket.send_str(event if isinstance(event, str) else json.dumps(event))
        async for message in socket:
            assert message.type is WSMsgType.TEXT

    return talk


def nonsense(kinds: Sequence[str], fields: Mapping[str, Sequence[Any]], seed: int) -> list[Any]:
    """A thousand messages as no model should send them: events of ``kinds`` with any of ``fields``
    that hold anything (``fields`` names values worth trying besides), and what is no event."""
    chance = random.Random(seed)
    values: list[Any] = [None, 0, -1, 1e99, "", "x", "\n", [], {}, [{}], True, {"id": 7}, "é" * 99]
    broken = ["", "{", "[]", "null", '"x"', "\ud7ff", "[" * 5000, "{}", "1e999", '{"type": 7}']

    def message() -> Any:
        kind = chance.randrange(10)
        if kind == 0:
            return chance.choice(broken)
        if kind == 1:
            return chance.randbytes(chance.randrange(100))
        made: dict[str, Any] = {"type": chance.choice(kinds)}
        for name in chance.sample(list(fields), chance.randrange(len(fields) + 1)):
            made[name] = chance.choice([*values, *fields[name]])
        return made

    return [message() for _ in range(1000)]

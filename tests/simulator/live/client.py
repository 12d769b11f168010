"""A client of the GPT-Live stand-in: the real SDK's connection, and a strict eye on every event.

Not a test itself; the tests beside it use it.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import Any

from openai import AsyncOpenAI
from openai.resources.live.live import AsyncLiveConnection
from openai.types.live import ServerEvent
from openai.types.responses import ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter

from esl_controller.simulator.live import LiveStandIn
from media import sounds
from media.frame import encode, pcm
from media.resample import convert

KEY = "sk-test"
PCM = pcm(24_000)
SILENCE = bytes(PCM.frame_bytes * 5)
START: dict[str, Any] = {
    "model": "gpt-live-1",
    "delegation": {"type": "responses", "responses": {"model": "gpt-6-luna"}},
}


@cache
def _types(nested: bool) -> TypeAdapter[Any]:
    kind: Any = ResponseStreamEvent if nested else ServerEvent
    return TypeAdapter(kind)


def check_server_event(event: dict[str, Any]) -> None:
    """Raise unless the package has a type for this event that declares its every field."""
    undeclared = _undeclared(_types(False).validate_python(event, strict=True), "")
    if event["type"] == "response.event":
        undeclared += _undeclared(_types(True).validate_python(event["event"], strict=True), "")
    assert not undeclared, f"{event['type']}: {sorted(undeclared)}"


def _undeclared(value: Any, path: str) -> list[str]:
    if isinstance(value, BaseModel):
        own = [f"{path}.{name}" for name in value.model_extra or ()]
        inner = [(f"{path}.{name}", getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, list):
        own, inner = [], [(f"{path}[{i}]", member) for i, member in enumerate(value)]
    else:
        return []
    return own + [name for at, member in inner for name in _undeclared(member, at)]


def caller() -> bytes:
    """A sentence of a caller, in the session's format."""
    said, rate = sounds.load("caller")
    return encode(convert(said, rate, PCM.rate), PCM.encoding)


class Client:
    """Reads events one by one, each checked; output audio is collected in ``audio``."""

    def __init__(self, connection: AsyncLiveConnection) -> None:
        self.connection = connection
        self.audio = bytearray()

    async def send(self, kind: str, **fields: Any) -> None:
        await self.connection.send_raw(json.dumps({"type": kind, **fields}))

    async def append(self, audio: bytes) -> None:
        """In messages of 100 ms."""
        for at in range(0, len(audio), len(SILENCE)):
            encoded = base64.b64encode(audio[at : at + len(SILENCE)]).decode()
            await self.send("session.input_audio.append", audio=encoded)

    async def next(self) -> dict[str, Any]:
        """The next event that is no audio."""
        async with asyncio.timeout(5):
            while True:
                event: dict[str, Any] = json.loads(await self.connection.recv_bytes())
                check_server_event(event)
                if event["type"] != "session.output_audio.delta":
                    return event
                self.audio += base64.b64decode(event["delta"])

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of that type; others are skipped."""
        while (event := await self.next())["type"] != kind:
            pass
        return event

    async def heard(self, count: int) -> None:
        """Read until that many bytes of audio have come: a harmless command marks their end."""
        await self.send("session.input_audio.unmute")
        await self.until("session.input_audio.unmuted")
        assert len(self.audio) == count

    def levels(self) -> list[bool]:
        """Which 100 ms of the output are not silent."""
        size = len(SILENCE)
        return [self.audio[at : at + size] != SILENCE for at in range(0, len(self.audio), size)]


@asynccontextmanager
async def connected_to(base_url: str) -> AsyncIterator[Client]:
    """A connection without a session."""
    async with AsyncOpenAI(api_key=KEY, base_url=base_url) as sdk:
        options: Any = {"proxy": None, "close_timeout": 0.2}
        async with sdk.live.connect(websocket_connection_options=options) as connection:
            yield Client(connection)


def connected(standin: LiveStandIn) -> AbstractAsyncContextManager[Client]:
    """A connection to it without a session."""
    return connected_to(standin.base_url)


@asynccontextmanager
async def started(standin: LiveStandIn, **session: Any) -> AsyncIterator[Client]:
    """A connection with a session."""
    async with connected(standin) as client:
        await client.send("session.start", session={**START, **session})
        assert (await client.next())["type"] == "session.started"
        yield client

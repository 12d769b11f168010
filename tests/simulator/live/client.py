"""A client of the GPT-Live stand-in: the real SDK's connection, and a strict eye on every event.

Not a test itself; the tests beside it use it.
"""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import cache
from typing import Any

from openai import AsyncOpenAI
from openai.resources.live.live import AsyncLiveConnection
from openai.types.live import ServerEvent
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from esl_controller.simulator.live import LiveStandIn
from media import sounds
from media.frame import encode, pcm
from media.resample import convert
from tests.simulator.model_base.client import KEY, StrictClient, undeclared

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
    unknown = undeclared(_types(False).validate_python(event, strict=True))
    if event["type"] == "response.event":
        unknown += undeclared(_types(True).validate_python(event["event"], strict=True))
    assert not unknown, f"{event['type']}: {sorted(unknown)}"


def caller() -> bytes:
    """A sentence of a caller, in the session's format."""
    said, rate = sounds.load("caller")
    return encode(convert(said, rate, PCM.rate), PCM.encoding)


class Client(StrictClient):
    """Reads events one by one, each checked; output audio is collected in ``audio``."""

    append_type = "session.input_audio.append"

    def __init__(self, connection: AsyncLiveConnection) -> None:
        self.connection = connection
        self.audio = bytearray()

    def check(self, event: dict[str, Any]) -> None:
        check_server_event(event)

    async def append(self, audio: bytes) -> None:
        """Append audio in messages of 100 ms."""
        await self.send_audio(audio, len(SILENCE))

    async def next(self) -> dict[str, Any]:
        """The next event, audio apart."""
        while (event := await self.receive())["type"] == "session.output_audio.delta":
            self.audio += base64.b64decode(event["delta"])
        return event

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of that type; others are skipped."""
        while (event := await self.next())["type"] != kind:
            pass
        return event

    async def heard(self, count: int) -> None:
        """Read ``count`` bytes of audio, exactly; a harmless command marks their end."""
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
    """A connection to the stand-in without a session."""
    return connected_to(standin.base_url)


@asynccontextmanager
async def started(standin: LiveStandIn, **session: Any) -> AsyncIterator[Client]:
    """A connection with a session."""
    async with connected(standin) as client:
        await client.send("session.start", session={**START, **session})
        assert (await client.next())["type"] == "session.started"
        yield client

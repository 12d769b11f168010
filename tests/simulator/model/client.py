"""A client of the model stand-in: the real SDK's connection, and a strict eye on every event.

Not a test itself; the tests beside it use it.
"""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import numpy as np
from openai import AsyncOpenAI, DefaultAsyncHttpxClient
from openai.resources.realtime.realtime import AsyncRealtimeConnection
from openai.types.realtime import RealtimeServerEvent, RealtimeSessionCreateRequest
from openai.types.realtime.realtime_session_create_response import RealtimeSessionCreateResponse
from pydantic import TypeAdapter

from esl_controller.simulator.model import ModelSession, ModelStandIn
from media import sounds
from media.frame import Samples
from tests.simulator.model_base.client import KEY, StrictClient, undeclared

MODEL = "gpt-realtime-2.1"
CLOSING = [
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
    "rate_limits.updated",
]


@cache
def _server_events() -> TypeAdapter[Any]:
    return TypeAdapter(RealtimeServerEvent)


def check_server_event(event: dict[str, Any]) -> None:
    """Raise unless the package has a type for this event that declares its every field."""
    typed = _server_events().validate_python(event, strict=True)
    unknown = set(undeclared(typed))
    if "session" in event:
        # The package types this session as a request; the service sends what was created, which
        # also has an id, an object and a time of expiry.
        session = RealtimeSessionCreateResponse.model_validate(event["session"], strict=True)
        request, response = (
            {f".session.{name}" for name in kind.model_fields}
            for kind in (RealtimeSessionCreateRequest, RealtimeSessionCreateResponse)
        )
        unknown -= response
        unknown |= set(undeclared(session, ".session")) - request
    assert not unknown, f"{event['type']}: {sorted(unknown)}"


class Client(StrictClient):
    """Reads events one by one, each checked; `seen` keeps their types, a run of deltas as one."""

    append_type = "input_audio_buffer.append"

    def __init__(self, connection: AsyncRealtimeConnection, session: ModelSession) -> None:
        self.connection = connection
        self.session = session
        self.seen: list[str] = []
        self.audio: dict[str, bytearray] = {}

    def check(self, event: dict[str, Any]) -> None:
        check_server_event(event)
        parsed = self.connection.parse_event(json.dumps(event))
        assert type(parsed).__name__ != "UnknownEvent"

    async def next(self) -> dict[str, Any]:
        event = await self.receive()
        kind = event["type"]
        if kind == "response.output_audio.delta":
            audio = self.audio.setdefault(event["item_id"], bytearray())
            audio += base64.b64decode(event["delta"], validate=True)
        if not (kind.endswith(".delta") and self.seen[-1:] == [kind]):
            self.seen.append(kind)
        return event

    async def until(self, kind: str) -> dict[str, Any]:
        """The next event of this type; what comes before it is in `seen`."""
        while True:
            event = await self.next()
            if event["type"] == kind:
                return event
            assert event["type"] != "error" or kind == "error", event["error"]

    async def update(self, **audio_input: Any) -> dict[str, Any]:
        session: Any = {"type": "realtime", "audio": {"input": audio_input}}
        await self.connection.session.update(session=session)
        return await self.until("session.updated")

    async def say(self, samples: Samples, chunk: int = 960) -> None:
        """Append 24 kHz audio, as fast as it goes."""
        await self.send_audio(samples.tobytes(), 2 * chunk)

    async def append(self, data: bytes) -> None:
        await self.send_audio(data, max(1, len(data)))


@asynccontextmanager
async def connected(stand_in: ModelStandIn, *, key: str = KEY) -> AsyncIterator[Client]:
    """A client whose session.created has been read."""
    async with (
        AsyncOpenAI(
            api_key=key,
            base_url=stand_in.base_url,
            # Plain HTTP: loading the system's certificates would take most of a test's time.
            http_client=DefaultAsyncHttpxClient(verify=False),
        ) as openai,
        openai.realtime.connect(model=MODEL) as connection,
    ):
        data = await connection.recv_bytes()
        created = json.loads(data)
        check_server_event(created)
        (session,) = (s for s in stand_in.sessions if s.id == created["session"]["id"])
        yield Client(connection, session)


def silence(ms: int) -> Samples:
    return np.zeros(24 * ms, np.int16)


def words(name: str = "caller_interrupts") -> Samples:
    """A bundled sound, and a second of silence in which its end is found."""
    return np.concatenate((silence(200), sounds.load(name)[0], silence(1000)))

"""What both model stand-ins' clients do alike: they read through the SDK and check strictly.

Not a test itself; the tests of the stand-ins use it.
"""

from __future__ import annotations

import asyncio
import base64
import json
from abc import ABC, abstractmethod
from typing import Any

from pydantic import BaseModel

KEY = "sk-test"


def undeclared(value: Any, path: str = "") -> list[str]:
    """The paths in a parsed event that its type does not declare."""
    if isinstance(value, BaseModel):
        own = [f"{path}.{name}" for name in value.model_extra or ()]
        inner = [(f"{path}.{name}", getattr(value, name)) for name in type(value).model_fields]
    elif isinstance(value, list):
        own, inner = [], [(f"{path}[{i}]", member) for i, member in enumerate(value)]
    else:
        return []
    return own + [name for at, member in inner for name in undeclared(member, at)]


class StrictClient(ABC):
    """Reads events one by one, each checked."""

    connection: Any
    append_type: str

    @abstractmethod
    def check(self, event: dict[str, Any]) -> None:
        """Raise unless the package has a type for this event that declares its every field."""

    async def receive(self) -> dict[str, Any]:
        """The next event, checked. Raises TimeoutError after 5 s."""
        async with asyncio.timeout(5):
            event: dict[str, Any] = json.loads(await self.connection.recv_bytes())
        self.check(event)
        return event

    async def send(self, type: str | None = None, **fields: Any) -> None:
        event = fields if type is None else {"type": type, **fields}
        await self.connection.send_raw(json.dumps(event))

    async def send_audio(self, audio: bytes, size: int) -> None:
        """Append audio in messages of ``size`` bytes, as fast as it goes."""
        for at in range(0, max(1, len(audio)), size):
            encoded = base64.b64encode(audio[at : at + size]).decode()
            await self.send(self.append_type, audio=encoded)

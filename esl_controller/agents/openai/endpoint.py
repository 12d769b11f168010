"""The endpoint of a model that is reached through the ``openai`` package, shared by all calls.

Importing the package is a third of a start, so a thread does it while callers are already taken.
The package's ``connect`` prepares URL, key and headers, and hands options it does not know on to
``websockets.connect``; through one of them, ``create_connection``, the connection is ours
(``wire.py``). The tests check that it still does.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import ssl
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias, cast
from urllib.parse import urlsplit

from esl_controller.agents.health import EndpointHealth
from esl_controller.agents.openai.wire import ModelConnection
from esl_controller.call.agent import PATIENCE_S
from esl_controller.config.model_settings import AgentSettings
from media.frame import PCMA, PCMU, RATES, Format, pcm

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.websocket_connection_options import WebSocketConnectionOptions

PCM: Final = pcm(24000)  # the linear format of OpenAI's APIs; other servers may have another rate
HEAD_START_S = 0.5  # for callers who wait for this process, before the import takes the interpreter
_G711: Final = {"audio/pcmu": PCMU, "audio/pcma": PCMA}
PING_S = 5.0  # between pings, and for the answer; else a dead connection is found when it is needed
# Bytes: an audio delta has a few kilobytes, the largest message repeats the session's instructions
# and tools, of which the API takes 16,384 tokens. To read this much takes 10 ms.
MAX_MESSAGE = 1 << 18

IMPORTED_LATE: Final = ("openai.lib._websocket", "anyio._backends._asyncio")
"""Modules that the first connection would import, during which every call's clock would stand
still. They are private; the tests fail if they move. Then only that first connection is late."""

DIFFERENT: Final = "the model confirmed other audio than it was asked for; it is converted"
_KEY_REMEDY: Final = (
    "OPENAI_API_KEY in the environment: a key of this endpoint, without spaces around it"
)

Connect: TypeAlias = (
    "Callable[[AsyncOpenAI, WebSocketConnectionOptions], AbstractAsyncContextManager[Any]]"
)
"""Opens a connection of the package's client with these options."""


def confirmed(form: object, asked: Format) -> Format:
    """The format that a session confirmed by its ``format`` object; ``asked`` if it does not say.

    Raises ValueError for one that we do not have, or cannot convert.
    """
    if not isinstance(form, dict) or (kind := form.get("type")) is None:
        return asked
    if kind == "audio/pcm":
        rate = form.get("rate")
        if rate is None:
            return PCM
        if rate in RATES:
            return pcm(int(rate))
        raise ValueError(f"audio that we do not have: {kind} at {rate!s:.100} Hz")
    if kind not in _G711:
        raise ValueError(f"audio that we do not have: {kind!s:.100}")
    return _G711[kind]


class OpenAIEndpoint:
    """One client and one TLS context for the agents of all calls. Made in the event loop.

    ``patience_s``: how long an agent waits for an endpoint that is known to be down.
    """

    def __init__(
        self,
        settings: AgentSettings,
        api: Literal["realtime", "live"],
        patience_s: float = PATIENCE_S,
    ) -> None:
        self.settings = settings
        self.patience_s = patience_s
        self.service = settings.base_url or "OpenAI"
        self.health = EndpointHealth()
        # The client insists on a key, even for an endpoint that asks for none.
        key = settings.api_key.get_secret_value() or "none"
        self._client = asyncio.create_task(_load_client(key, settings.base_url, api))
        self._options: dict[str, Any] = {
            "max_size": MAX_MESSAGE,
            "compression": None,
            "open_timeout": None,  # the agent has its own limit
            "close_timeout": 0.3,  # the call is over: nobody waits for a goodbye
            "ping_interval": PING_S,
            "ping_timeout": PING_S,
        }
        if urlsplit(settings.base_url).hostname in ("127.0.0.1", "localhost", "::1"):
            self._options["proxy"] = None  # no proxy leads to this machine
        if not settings.base_url.startswith("http:"):
            # Takes 20 ms: once, not for each call.
            self._options["ssl"] = ssl.create_default_context()

    def audio(self, *, g711: bool) -> Format:
        """The format that ``[agent] audio`` wants for a caller with a G.711 codec, or another."""
        wanted = self.settings.audio
        return PCMU if wanted == "pcmu" or (wanted == "auto" and g711) else PCM

    def options(self, make_wire: Callable[..., ModelConnection]) -> WebSocketConnectionOptions:
        """Options of a connection; ``websockets.connect`` knows more than the package's type."""
        own = {**self._options, "create_connection": make_wire}
        return cast("WebSocketConnectionOptions", own)

    async def client(self) -> AsyncOpenAI:
        """The package's client, once it is imported and made."""
        return await asyncio.shield(self._client)

    async def loaded(self) -> None:
        """Return when an agent can connect without waiting for an import."""
        await self.client()

    @contextlib.asynccontextmanager
    async def connected(
        self, connect: Connect, make_wire: Callable[..., ModelConnection]
    ) -> AsyncIterator[None]:
        """Hold a connection open. Raises ConnectionError for errors of the package itself, and
        what ``websockets.connect`` raises."""
        client = await self.client()
        from openai import OpenAIError

        try:
            async with connect(client, self.options(make_wire)):
                yield
        except OpenAIError as error:
            raise ConnectionError(str(error)) from error

    async def close(self) -> None:
        """Free the client."""
        await (await self.client()).close()

    def remedy(self, reason: str) -> str:
        """What an operator can do about the ``reason`` of an ``AgentFailed``, in one line."""
        if "401" in reason or "key" in reason:
            return _KEY_REMEDY
        if "429" in reason:
            return "look at the usage and the limits of the key's project, at the service"
        away = ("no connection", "was not ready", "closed the connection")
        if any(words in reason for words in away):
            return (
                "[agent] base_url in our settings; HTTPS_PROXY, if only a proxy gets out from here"
            )
        return "[agent] model in our settings: one that this endpoint has and the key may use"


async def _load_client(key: str, base_url: str, api: str) -> AsyncOpenAI:
    if "openai" not in sys.modules:
        await asyncio.sleep(HEAD_START_S)
    return await asyncio.to_thread(_make_client, key, base_url, api)


def _make_client(key: str, base_url: str, api: str) -> AsyncOpenAI:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key=key, base_url=base_url or None, max_retries=0)
    getattr(client, api)  # imported when it is first asked for
    for name in IMPORTED_LATE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return client

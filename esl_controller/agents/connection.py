"""What the agents of every model API share: the endpoint, and one WebSocket to it.

A connection keeps what must wait (until the session is confirmed, or while the network hesitates),
sends control before audio, and knows in one line why it ended.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import ssl
import sys
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast
from urllib.parse import urlsplit

import pybase64
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from esl_controller.agents.base import Counters
from esl_controller.agents.wire import ModelConnection
from esl_controller.call.events import AgentFailed
from esl_controller.config.settings import AgentSettings
from media.frame import Format

if TYPE_CHECKING:
    from openai import AsyncOpenAI
    from openai.types.websocket_connection_options import WebSocketConnectionOptions

BACKLOG_MS = 5000  # of caller's audio, while the model connects or its network hesitates
CONTROL_LIMIT = 256  # control events that wait; more means that the model takes nothing any more
HEAD_START_S = 0.5  # of the callers who wait, before the import takes its share of the time
MAX_MESSAGE = 16 << 20  # bytes; a delta has some kilobytes

# What the first connection would import, while the clock of all calls would stand still.
_IMPORTED_LATE = ("openai.lib._websocket", "anyio._backends._asyncio")

_HINTS = {
    401: "the key was refused: check OPENAI_API_KEY",
    403: "the key has no access to this model",
    404: "no such model or endpoint: check [agent] model and base_url",
    429: "too many requests, or the quota is used up",
}
_PERMANENT = (400, 401, 403, 404)

Connect: TypeAlias = (
    "Callable[[AsyncOpenAI, WebSocketConnectionOptions], AbstractAsyncContextManager[Any]]"
)
"""Opens a connection of the package's client with these options."""


class Endpoint:
    """The endpoint that the agents of all calls share: one client, one TLS context.

    The ``openai`` package is a third of all that a start has to import. A thread does that, so that
    callers who wait for this process are taken before. Made in the event loop.
    """

    def __init__(
        self, settings: AgentSettings, base_url: str, api: Literal["realtime", "live"]
    ) -> None:
        # The client insists on a key, also for an endpoint that asks for none.
        key = settings.api_key.get_secret_value() or "none"
        self._client = asyncio.create_task(_load_client(key, base_url, api))
        self.connect_timeout_s = settings.connect_timeout_s
        self._options: dict[str, Any] = {
            "max_size": MAX_MESSAGE,
            "compression": None,
            "open_timeout": None,  # the agent has its own limit
            "close_timeout": 0.3,  # the call is over: nobody waits for a goodbye
        }
        if urlsplit(base_url).hostname in ("127.0.0.1", "localhost", "::1"):
            self._options["proxy"] = None  # no proxy leads to this machine
        if not base_url.startswith("http:"):
            # Takes 20 ms: once, not for each call.
            self._options["ssl"] = ssl.create_default_context()

    def options(self, make_wire: Callable[..., ModelConnection]) -> WebSocketConnectionOptions:
        """Options of a connection; ``websockets.connect`` knows more than the package's type."""
        own = {**self._options, "create_connection": make_wire}
        return cast("WebSocketConnectionOptions", own)

    async def loaded(self) -> AsyncOpenAI:
        """The client, once it is there."""
        return await asyncio.shield(self._client)

    @contextlib.asynccontextmanager
    async def connected(
        self, connect: Connect, make_wire: Callable[..., ModelConnection]
    ) -> AsyncIterator[None]:
        """A connection is open. Raises OSError for what the package finds wrong, too."""
        client = await self.loaded()
        from openai import OpenAIError

        try:
            async with connect(client, self.options(make_wire)):
                yield
        except OpenAIError as error:
            raise ConnectionError(str(error)) from error

    async def close(self) -> None:
        """Free the client."""
        await (await self.loaded()).close()


async def _load_client(key: str, base_url: str, api: str) -> AsyncOpenAI:
    if "openai" not in sys.modules:
        await asyncio.sleep(HEAD_START_S)
    return await asyncio.to_thread(_make_client, key, base_url, api)


def _make_client(key: str, base_url: str, api: str) -> AsyncOpenAI:
    from openai import AsyncOpenAI

    client = AsyncOpenAI(api_key=key, base_url=base_url or None, max_retries=0)
    getattr(client, api)  # imported when it is first asked for
    for name in _IMPORTED_LATE:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    return client


class Connection:
    """One WebSocket to a model. ``append`` is the event type that carries the caller's audio."""

    def __init__(self, endpoint: Endpoint, audio: Format, append: str, counters: Counters) -> None:
        self.ready = False
        self._endpoint = endpoint
        self._format = audio
        self._head = f'{{"type":"{append}","audio":"'.encode()
        self._counters = counters
        self._control: deque[Mapping[str, Any]] = deque()
        self._most = CONTROL_LIMIT
        self._audio: deque[bytes] = deque()
        self._audio_ms = 0.0
        self._wire: ModelConnection | None = None
        self._limit: asyncio.Timeout
        self._wake = asyncio.Event()
        self._failure: AgentFailed | None = None

    def hear(self, audio: bytes) -> None:
        """Send the caller's audio; the oldest is dropped, and counted, if too much waits."""
        straight = self.ready and not self._audio and not self._control
        if straight and self._wire is not None and self._wire.send_now(self._append(audio)):
            self._counters.appends += 1
            return
        self._audio.append(audio)
        self._audio_ms += self._format.ms(len(audio))
        while self._audio_ms > BACKLOG_MS:
            oldest = self._format.ms(len(self._audio.popleft()))
            self._audio_ms -= oldest
            self._counters.dropped_ms += oldest
        self._wake.set()

    def ask(self, event: Mapping[str, Any]) -> None:
        """Send a control event, once the session is confirmed."""
        if len(self._control) < self._most:
            self._control.append(event)
            self._wake.set()
        else:
            self.give_up("the model takes nothing any more")

    def confirm(self, first: Sequence[Mapping[str, Any]] = ()) -> bool:
        """The session is ready: ``first`` is sent, then what waits. False, and nothing is sent, if
        it was ready already, or is too late."""
        if self.ready or self._limit.expired():
            return False
        self._control.extendleft(reversed(first))
        self._most += len(first)
        self.ready = True
        self._limit.reschedule(None)
        self._wake.set()
        return True

    def give_up(self, reason: str, *, permanent: bool = False) -> None:
        """Close the connection; ``run`` then returns the first failure that was given."""
        self._failure = self._failure or AgentFailed(reason, permanent)
        self._wake.set()

    async def run(
        self, connect: Connect, hello: Mapping[str, Any], on_message: Callable[[bytes], None]
    ) -> AgentFailed:
        """Connect, say ``hello``, hand over messages until it ends; why it ended.

        Raises nothing for what the model or the network does.
        """
        patience = self._endpoint.connect_timeout_s
        reason, permanent = "the model closed the connection", False
        try:
            async with asyncio.timeout(patience) as self._limit:
                async with self._endpoint.connected(connect, self._make_wire):
                    await self._live(hello, on_message)
        except TimeoutError:
            reason = f"the model was not ready within {patience:g} s"
        except InvalidStatus as error:
            status = error.response.status_code
            hint = _HINTS.get(status, "")
            permanent = status in _PERMANENT
            reason = f"the model refused the connection: HTTP {status}{hint and '; ' + hint}"
        except ConnectionClosed as error:
            close = error.rcvd
            told = f"{close.code} {close.reason}".strip() if close else "without a word"
            reason = f"the model closed the connection: {told}"
        except (WebSocketException, OSError, EOFError) as error:
            reason = f"no connection to the model: {error or type(error).__name__}"
        finally:
            self.ready = False
        return self._failure or AgentFailed(reason, permanent)

    def _make_wire(self, *args: Any, **kwargs: Any) -> ModelConnection:
        self._wire = ModelConnection(*args, **kwargs)
        return self._wire

    async def _live(self, hello: Mapping[str, Any], on_message: Callable[[bytes], None]) -> None:
        """Set the session up, then talk until the connection ends, by raising ConnectionClosed."""
        assert self._wire is not None
        wire = self._wire
        wire.on_message = on_message
        sender = asyncio.create_task(self._send_all(wire))
        try:
            # A model that refuses may have closed by now; what it said is still to be read.
            with contextlib.suppress(ConnectionClosed):
                await wire.send(json.dumps(hello))
            while True:
                # Only what came before ``on_message`` was set, or in fragments.
                on_message(await wire.recv(decode=False))
        finally:
            sender.cancel()
            (outcome,) = await asyncio.gather(sender, return_exceptions=True)
            if isinstance(outcome, Exception):
                raise outcome

    async def _send_all(self, wire: ModelConnection) -> None:
        """Send what could not be sent at once, control before audio, until the connection ends."""
        with contextlib.suppress(ConnectionClosed):  # the reader sees it too
            while not self._failure:
                await self._wake.wait()
                self._wake.clear()
                while self.ready and self._control:
                    # Not the package's ``send``: it looks at types for a millisecond, and the
                    # conversation so far may be hundreds of events, while all calls need the loop.
                    await wire.send(json.dumps(self._control.popleft()))
                    await asyncio.sleep(0)
                while self.ready and self._audio:
                    audio = b"".join(self._audio)
                    self._audio.clear()
                    self._audio_ms = 0.0
                    self._counters.appends += 1
                    await wire.send(self._append(audio), text=True)
            await wire.close()

    def _append(self, audio: bytes) -> bytes:
        return b'%b%b"}' % (self._head, pybase64.b64encode(audio))

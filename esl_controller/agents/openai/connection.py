"""One WebSocket to a model: what is sent when, and why it ended.

Control events wait until the session is confirmed, audio for the network; control goes first. Both
queues have a limit: the oldest audio is dropped, and too many control events end the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pybase64
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from esl_controller.agents.base import Counters
from esl_controller.agents.openai.endpoint import Connect, OpenAIEndpoint
from esl_controller.agents.openai.wire import ModelConnection
from esl_controller.call.events import AgentFailed
from media.frame import Format

BACKLOG_MS = 5000  # of the caller's audio, while the model connects or its network hesitates
CONTROL_LIMIT = 256  # control events that wait; with more, the model takes nothing any more

_HINTS = {
    401: "the key was refused: check OPENAI_API_KEY",
    403: "the key has no access to this model",
    404: "no such model or endpoint: check [agent] model and base_url",
    429: "too many requests, or the quota is used up",
}
_PERMANENT = (400, 401, 403, 404)


class Connection:
    """``append`` is the type of the event that carries the caller's audio, in format ``audio``."""

    def __init__(
        self, endpoint: OpenAIEndpoint, audio: Format, append: str, counters: Counters
    ) -> None:
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
        """Send the caller's audio, at once if nothing waits before it."""
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
        """The session is ready: send ``first``, then what waits. Returns False and sends nothing if
        it was ready before, or if the time to connect is over."""
        if self.ready or self._limit.expired():
            return False
        self._control.extendleft(reversed(first))
        self._most += len(first)
        self.ready = True
        self._limit.reschedule(None)
        self._wake.set()
        return True

    def give_up(self, reason: str, *, permanent: bool = False) -> None:
        """Close the connection. ``run`` then returns the first reason that was given."""
        self._failure = self._failure or AgentFailed(reason, permanent)
        self._wake.set()

    async def run(
        self, connect: Connect, hello: Mapping[str, Any], on_message: Callable[[bytes], None]
    ) -> AgentFailed:
        """Connect, send ``hello``, hand messages to ``on_message`` until the connection ends, and
        return why it ended. Raises nothing for what the model or the network does."""
        patience = self._endpoint.settings.connect_timeout_s
        reason, permanent = "the model closed the connection", False
        try:
            async with asyncio.timeout(patience) as self._limit:
                async with self._endpoint.connected(connect, self._make_wire):
                    await self._converse(hello, on_message)
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

    async def _converse(
        self, hello: Mapping[str, Any], on_message: Callable[[bytes], None]
    ) -> None:
        """Set the session up, then send and receive. Ends by ConnectionClosed."""
        assert self._wire is not None
        wire = self._wire
        wire.on_message = on_message
        sender = asyncio.create_task(self._send_all(wire))
        try:
            # A model that refuses us may have closed by now; its reason is still to be read.
            with contextlib.suppress(ConnectionClosed):
                await wire.send(json.dumps(hello))
            while True:
                # Only what came before ``wire.on_message`` was set, or in fragments.
                on_message(await wire.recv(decode=False))
        finally:
            sender.cancel()
            (outcome,) = await asyncio.gather(sender, return_exceptions=True)
            if isinstance(outcome, Exception):
                raise outcome

    async def _send_all(self, wire: ModelConnection) -> None:
        """Send what could not be sent at once, control before audio, until the connection ends."""
        with contextlib.suppress(ConnectionClosed):  # ``_converse`` gets it from ``recv``
            while not self._failure:
                await self._wake.wait()
                self._wake.clear()
                while self.ready and self._control:
                    # Not the package's ``send``, whose type checks take a millisecond: a call's
                    # history may be hundreds of events, and all calls share the loop.
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

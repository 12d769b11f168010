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
from websockets.frames import Close

from esl_controller.agents.base import Counters
from esl_controller.agents.health import EndpointDown
from esl_controller.agents.openai.endpoint import Connect, OpenAIEndpoint
from esl_controller.agents.openai.errors import ModelError, of_close, of_http
from esl_controller.agents.openai.wire import ModelConnection
from esl_controller.call.agent import PATIENCE_S, Recovery
from esl_controller.call.agent_events import AgentFailed
from media.frame import Format
from media.resample import Converter

BACKLOG_MS = 5000  # of the caller's audio, while the model connects or its network hesitates
CONTROL_LIMIT = 256  # control events that wait; with more, the model takes nothing any more

FRAME_MS = 2000  # of the caller's audio in which the rest of a message does not come


class Connection:
    """``append`` is the type of the event that carries the caller's audio, in format ``audio``."""

    def __init__(
        self, endpoint: OpenAIEndpoint, audio: Format, append: str, counters: Counters
    ) -> None:
        self.ready = False
        self._ticket = -1  # of the endpoint's health, once we may connect
        self._confirmed_at = 0.0
        self._endpoint = endpoint
        self._input = audio
        self._format = audio  # in which the model hears
        self._head = f'{{"type":"{append}","audio":"'.encode()
        self._counters = counters
        self._hellos: deque[Mapping[str, Any]] = deque()  # sent before the session is confirmed
        self._control: deque[Mapping[str, Any]] = deque()
        self._most = CONTROL_LIMIT
        self._audio: deque[bytes] = deque()
        self._audio_ms = 0.0
        self._wire: ModelConnection | None = None
        self._limit: asyncio.Timeout
        self._converter: Converter | None = None  # to that
        self._unfinished_ms = 0.0  # of the caller's audio, since a message began to come
        self._wake = asyncio.Event()
        self._failure: AgentFailed | None = None

    def hear(self, audio: bytes) -> None:
        """Send the caller's audio, at once if nothing waits before it."""
        self._look_at_frame(audio)
        if self._converter is not None:
            audio = self._converter.feed(audio)
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

    def _look_at_frame(self, audio: bytes) -> None:
        """A model that stops in the middle of a message will not go on: its network is gone."""
        if self._wire is None or not self._wire.in_frame:
            self._unfinished_ms = 0.0
            return
        self._unfinished_ms += self._input.ms(len(audio))
        if self._unfinished_ms > FRAME_MS:
            self.give_up(f"the model stopped in the middle of a message {FRAME_MS / 1000:g} s ago")

    def hear_as(self, audio: Format) -> None:
        """The model takes the caller's audio in this format."""
        if audio == self._format:
            return
        self._converter = Converter(self._format, audio)
        self._audio = deque([self._converter.feed(b"".join(self._audio))])
        self._format = audio

    def greet(self, event: Mapping[str, Any]) -> None:
        """Send what sets the session up, before it is confirmed."""
        self._hellos.append(event)
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
        self.ready, self._confirmed_at = True, asyncio.get_running_loop().time()
        self._endpoint.health.connected(self._ticket)
        self._limit.reschedule(None)
        self._wake.set()
        return True

    def give_up(
        self, reason: str, recovery: Recovery = Recovery.RECONNECT, after_s: float = 0.0
    ) -> None:
        """Close the connection. ``run`` then returns the first reason that was given."""
        self._failure = self._failure or AgentFailed(reason, recovery, after_s)
        self._wake.set()

    async def run(
        self, connect: Connect, hello: Mapping[str, Any], on_message: Callable[[bytes], None]
    ) -> AgentFailed:
        """Connect, send ``hello``, hand messages to ``on_message`` until the connection ends, and
        return why it ended. Raises nothing for what the model or the network does."""
        health, patience = self._endpoint.health, self._endpoint.settings.connect_timeout_s
        try:
            async with asyncio.timeout(patience) as self._limit:
                self._ticket = await health.admit(self._endpoint.patience_s)
                self._limit.reschedule(asyncio.get_running_loop().time() + patience)
                async with self._endpoint.connected(connect, self._make_wire):
                    await self._converse(hello, on_message)
            error = ModelError("the model closed the connection", Recovery.RECONNECT)
        except EndpointDown as down:
            return _down(down.wait_s)
        except Exception as exception:
            error = _why(exception, patience)
        finally:
            if self._wire is not None:
                self._wire.cut()
        confirmed, self.ready = self.ready, False
        failed = self._failure or AgentFailed(error.told, error.recovery, error.after_s)
        if confirmed:
            if failed.recovery is Recovery.RECONNECT:
                health.broke(self._confirmed_at)
        elif self._ticket < 0:
            pass  # we did not try
        elif failed.recovery is Recovery.RECONNECT:
            health.failed(self._ticket, failed.after_s)
        else:
            health.connected(self._ticket)  # it answers: nobody need wait to be told the same
        return failed

    def _make_wire(self, *args: Any, **kwargs: Any) -> ModelConnection:
        self._wire = ModelConnection(*args, **kwargs)
        return self._wire

    async def _converse(
        self, hello: Mapping[str, Any], on_message: Callable[[bytes], None]
    ) -> None:
        """Set the session up, then send and receive. Ends by ConnectionClosed."""
        assert self._wire is not None
        wire = self._wire
        self.greet(hello)
        wire.on_message = on_message
        sender = asyncio.create_task(self._send_all(wire))
        try:
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
        # ``_converse`` gets it from ``recv``; there the reason of a refusal is still to be read.
        with contextlib.suppress(ConnectionClosed):
            while not self._failure:
                await self._wake.wait()
                self._wake.clear()
                while self._hellos:
                    await wire.send(json.dumps(self._hellos.popleft()))
                    await asyncio.sleep(0)
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


def _down(wait_s: float) -> AgentFailed:
    reason = f"the model's service takes no calls for another {wait_s:.0f} s"
    if wait_s <= PATIENCE_S:  # we found that, the service did not say so
        reason = "the model's service is known to be down"
    return AgentFailed(reason, after_s=wait_s)


def _why(exception: Exception, patience: float) -> ModelError:
    """Why a connection ended. Raises the exception again if it is a bug of ours."""
    match exception:
        case TimeoutError():
            reason = f"the model was not ready within {patience:g} s"
        case InvalidStatus(response=response):
            return of_http(response.status_code, response.headers, response.body)
        case ConnectionClosed(rcvd=Close(code=code, reason=why)):
            return of_close(code, why)
        case ConnectionClosed():
            reason = "the model closed the connection: without a word"
        case WebSocketException() | OSError() | EOFError():
            reason = f"no connection to the model: {exception or type(exception).__name__}"
        case _:
            raise exception
    return ModelError(reason, Recovery.RECONNECT)

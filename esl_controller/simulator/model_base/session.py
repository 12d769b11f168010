"""One client's session with a model stand-in, as far as it is the same in every protocol."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from itertools import count
from typing import ClassVar, Final

from aiohttp import WSMsgType, web

from esl_controller.simulator.model_base.behaviour import Behaviour, ModelFaults, ScriptedCall
from esl_controller.simulator.model_base.listening import InputAudio, decode_append
from esl_controller.simulator.model_base.record import SessionRecord
from esl_controller.simulator.model_base.sender import EventSender
from esl_controller.simulator.model_base.utterance import ModelUtterance
from esl_controller.simulator.model_base.validation import ClientEvent, ClientEvents, ProtocolError
from media.frame import Format
from media.voice_activity import VoiceStarted

_SESSION_S: Final = 3600


@dataclass(frozen=True)
class SessionSetup:
    """What a session is made of: the client's connection, and how to behave on it."""

    ws: web.WebSocketResponse
    request: web.Request
    behaviour: Behaviour
    faults: ModelFaults
    greeting: Callable[[Format], ModelUtterance]


class StandInSession(ABC):
    """Reads the client's events, checks them and hands them on; keeps the record.

    An event that breaks the protocol is answered with an error, and the session goes on.
    """

    client_events: ClassVar[ClientEvents]
    confirmed_by: ClassVar[str]
    """The server event after which the client may send audio."""
    id_prefix: ClassVar[str]
    refuses_binary: ClassVar[bool]
    """Whether a binary message is answered with an error; otherwise it is passed over."""

    def __init__(self, setup: SessionSetup) -> None:
        self._ids = count(1)
        self._suffix = secrets.token_hex(6)
        self.id = self._new_id(self.id_prefix)
        self.faults = setup.faults
        self.record = SessionRecord(full=setup.behaviour.record, confirmed_by=self.confirmed_by)
        self.closed = asyncio.Event()
        self._behaviour = setup.behaviour
        self._greeting = setup.greeting
        self._ws = setup.ws
        self._sender = EventSender(
            setup.ws, setup.request.transport, setup.faults, self.record, self._new_id
        )
        self._input: InputAudio
        self._script = list(setup.behaviour.script)
        self._handlers: Mapping[str, Callable[[ClientEvent], Awaitable[None]]] = {}
        """What each client event does; others are refused."""
        self._tasks: asyncio.TaskGroup

    @property
    @abstractmethod
    def instructions(self) -> str:
        """What the client wants the model to be."""

    async def run(self) -> None:
        """Serve the client until it leaves, or a fault or the stand-in ends the session."""
        try:
            async with asyncio.TaskGroup() as tasks:
                self._tasks = tasks
                expiry = tasks.create_task(self._expire()) if self.faults.expire_s else None
                await self.serve()
                if expiry is not None:
                    expiry.cancel()
        finally:
            self.closed.set()

    async def close(self, code: int, reason: str) -> None:
        """End the session from the server's side."""
        await self._sender.close(code, reason)

    # What a protocol adds

    async def serve(self) -> None:
        """Everything from the connection until the client is gone."""
        await self._read()

    @abstractmethod
    async def expired(self) -> None:
        """The session's time is over: say so and close."""

    @abstractmethod
    def input_format(self) -> Format:
        """How the caller's audio is written."""

    def admit(self, event: ClientEvent) -> None:  # noqa: B027 (most protocols take all)
        """Raise ProtocolError for a well-formed event that must not come now."""

    @abstractmethod
    async def hear(self, data: bytes) -> None:
        """Take the caller's audio."""

    @abstractmethod
    async def speech_started(self, at_ms: int) -> None:
        """The caller began to speak, so many milliseconds into the session's audio."""

    @abstractmethod
    async def speech_stopped(self, at_ms: int) -> None:
        """The caller has finished."""

    # What all have in common

    async def _read(self) -> None:
        async for message in self._ws:
            if message.type is WSMsgType.TEXT:
                await self._receive(message.data)
            elif message.type is WSMsgType.BINARY and self.refuses_binary:
                self.record.violations += 1
                await self._error(ProtocolError("invalid_json", "Events are text messages."), None)

    async def _receive(self, text: str) -> None:
        event_id = None
        try:
            event = _parse(text)
            event_id = event["event_id"] if isinstance(event.get("event_id"), str) else None
            is_audio = event.get("type") == self.client_events.append
            if is_audio:
                data = decode_append(event.get("audio"), self.input_format())
            else:
                self.record.event(event)
                self.client_events.check(event)
            self.admit(event)
        except ProtocolError as error:
            self.record.violations += 1
            await self._error(error, event_id)
            return
        try:
            if is_audio:
                self.record.append(data)
                await self.hear(data)
            elif (handler := self._handlers.get(event["type"])) is not None:
                await handler(event)
            else:
                raise ProtocolError("not_supported", f"The stand-in has no {event['type']}.")
        except ProtocolError as error:
            self.record.refusals += 1
            await self._error(error, event_id)

    async def _error(self, error: ProtocolError, event_id: str | None) -> None:
        named = None if self.faults.forget_events else event_id
        await self._sender.emit("error", error=self.client_events.error(error, named))

    async def _expire(self) -> None:
        await asyncio.sleep(self.faults.expire_s or 0)
        await self.expired()

    async def _find_speech(self, data: bytes) -> None:
        """Add audio to the input and act on the speech that begins or ends in it."""
        for found in self._input.append(data):
            self.record.speech(started=isinstance(found, VoiceStarted))
            if isinstance(found, VoiceStarted):
                await self.speech_started(found.at_ms)
            else:
                await self.speech_stopped(found.at_ms)

    def calls_due(self) -> list[ScriptedCall]:
        """The functions to call now instead of speaking; they leave the script."""
        due = [scripted for scripted in self._script if scripted.after_turn == self.record.turns]
        self._script = [scripted for scripted in self._script if scripted not in due]
        return due

    def expires_at(self) -> int:
        """When a session that begins now expires, in seconds since the epoch."""
        return int(time.time()) + int(self.faults.expire_s or _SESSION_S)

    def _new_id(self, prefix: str) -> str:
        return f"{prefix}_{self._suffix}{next(self._ids):06}"


def _parse(text: str) -> ClientEvent:
    try:
        event = json.loads(text)
    except (ValueError, RecursionError):
        raise ProtocolError("invalid_json", "The event is not valid JSON.") from None
    if not isinstance(event, dict):
        raise ProtocolError("invalid_json", "The event is not a JSON object.")
    return event

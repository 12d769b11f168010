"""The HTTP side of a model stand-in: who may connect, and the sessions of those who do."""

from __future__ import annotations

import asyncio
import hmac
from abc import ABC, abstractmethod
from types import TracebackType
from typing import ClassVar, Final, Generic, Self, TypeVar

from aiohttp import web

from esl_controller.simulator.model_base.behaviour import Behaviour, ModelFaults
from esl_controller.simulator.model_base.session import SessionSetup, StandInSession
from esl_controller.simulator.model_base.utterance import ModelUtterance
from esl_controller.simulator.model_base.validation import ClientEvents, ProtocolError
from media import sounds
from media.frame import Format, Samples, encode
from media.resample import convert

_LARGEST_MESSAGE: Final = 20 * 1024 * 1024  # an append may hold 15 MiB of base64
_CLOSE_TIMEOUT_S: Final = 1.0
_BAD_KEY: Final = ProtocolError("invalid_api_key", "Incorrect API key provided.")

SessionT = TypeVar("SessionT", bound=StandInSession)


class StandInServer(ABC, Generic[SessionT]):
    """A server that listens while it is entered, and closes its sessions when it is left.

    Entering raises OSError if the port is taken. `faults` may be changed between sessions.
    """

    path: ClassVar[str]
    """Where clients connect."""
    client_events: ClassVar[ClientEvents]

    def __init__(
        self,
        host: str,
        port: int,
        *,
        key: str | None,
        greeting: str,
        behaviour: Behaviour,
        faults: ModelFaults | None,
    ) -> None:
        """`key`: what `Authorization: Bearer` must carry; None accepts any key.

        `greeting`: the name of the bundled sound that is said first.
        """
        self.behaviour = behaviour
        self.faults = faults or ModelFaults()
        self.sessions: list[SessionT] = []
        """Without records, a session leaves this list when it ends."""
        self.refused = 0
        """Connections that were turned away."""
        self._host, self._port, self._key = host, port, key
        self._greeting_name = greeting
        self._greetings: dict[Format, ModelUtterance] = {}
        app = web.Application()
        app.router.add_get(self.path, self._connect)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_TIMEOUT_S
        )

    @abstractmethod
    def new_session(self, setup: SessionSetup) -> SessionT:
        """What a connection becomes."""

    @abstractmethod
    def check_query(self, request: web.Request) -> None:
        """Raise ProtocolError for a query that the service refuses with HTTP 400."""

    @property
    def base_url(self) -> str:
        """`http://HOST:PORT/v1`, for AsyncOpenAI(base_url=...); known once it listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/v1"

    async def __aenter__(self) -> Self:
        self.client_events.warm_up()
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._host, self._port).start()
        except OSError:
            await self._runner.cleanup()
            raise
        self._port = self._runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        living = [session for session in self.sessions if not session.closed.is_set()]
        await asyncio.gather(*(session.close(1001, "going away") for session in living))
        await self._runner.cleanup()

    async def _connect(self, request: web.Request) -> web.StreamResponse:
        faults = self.faults
        if faults.connect_delay_ms:
            await asyncio.sleep(faults.connect_delay_ms / 1000)
        refusal = self._refusal(request, faults)
        if refusal is not None:
            self.refused += 1
            return refusal
        ws = web.WebSocketResponse(
            timeout=_CLOSE_TIMEOUT_S, compress=False, max_msg_size=_LARGEST_MESSAGE
        )
        await ws.prepare(request)
        if faults.refuse_key == "close":
            self.refused += 1
            error = self.client_events.error(_BAD_KEY, None)
            await ws.send_json({"type": "error", "event_id": "event_refused", "error": error})
            await ws.close(code=3000, message=b"invalid_request_error.invalid_api_key")
            return ws
        session = self.new_session(SessionSetup(ws, request, self.behaviour, faults, self.greeting))
        self.sessions.append(session)
        try:
            await session.run()
        finally:
            if not self.behaviour.record:
                self.sessions.remove(session)
        return ws

    def _refusal(self, request: web.Request, faults: ModelFaults) -> web.Response | None:
        if faults.too_many:
            return self.refuse(429, ProtocolError("rate_limit_exceeded", "Rate limit reached."))
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        wrong = self._key is not None and not hmac.compare_digest(
            given.encode(errors="surrogateescape"), self._key.encode()
        )
        if wrong or faults.refuse_key == "http":
            return self.refuse(401, _BAD_KEY)
        try:
            self.check_query(request)
        except ProtocolError as error:
            return self.refuse(400, error)
        return None

    def refuse(self, status: int, error: ProtocolError) -> web.Response:
        """The HTTP answer in place of a WebSocket."""
        body = {"error": self.client_events.error(error, None)}
        wait = {"Retry-After": str(self.faults.retry_after_s)} if self.faults.retry_after_s else {}
        return web.json_response(body, status=status, headers=wait)

    def greeting(self, fmt: Format) -> ModelUtterance:
        """What a session with this format says first; made and encoded once."""
        if fmt not in self._greetings:
            said, rate, words = self.first_words()
            audio = encode(convert(said, rate, fmt.rate), fmt.encoding)
            self._greetings[fmt] = ModelUtterance.of(audio, fmt, words, self.behaviour.delta_ms)
        return self._greetings[fmt]

    def first_words(self) -> tuple[Samples, int, str]:
        """The samples of the greeting, their rate in Hz, and the words."""
        language = self.behaviour.language
        said, rate = sounds.load(self._greeting_name, language)
        return said, rate, sounds.transcript(self._greeting_name, language)

"""The stand-in's HTTP side: who may connect, and the sessions of those who do."""

from __future__ import annotations

import asyncio
import hmac
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from esl_controller.simulator.model.behaviour import Behaviour, ModelFaults, ScriptedCall
from esl_controller.simulator.model.response import Utterance
from esl_controller.simulator.model.validation import ProtocolError
from media import sounds
from media.frame import Format, encode
from media.resample import convert

from .protocol import error_body, prepare
from .session import LiveSession

_LARGEST_MESSAGE: Final = 20 * 1024 * 1024
_CLOSE_TIMEOUT_S: Final = 1.0
_BAD_KEY: Final = ProtocolError("invalid_api_key", "Incorrect API key provided.")


class LiveStandIn:
    """A server that speaks the GPT-Live protocol at `{base_url}/live/sessions`.

    It greets when it is given commentary, hears when the caller speaks, falls silent then, repeats
    what it heard, delegates function calls by script, and misbehaves as `faults` says (which may be
    changed between sessions; `refuse_update` refuses session.start, `fail_responses` does nothing).

    key: what `Authorization: Bearer` must carry; None: anything does.
    language, greeting: of the bundled speech that it greets with.
    delta_ms, think_ms, script: see Behaviour, on the clock of the caller's audio.
    acknowledge: it speaks when it delegates as well, without knowing what comes of it.
    Raises OSError on entering if the port is taken.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        key: str | None = None,
        language: str = "en",
        greeting: str = "greeting",
        delta_ms: int = 100,
        think_ms: int = 300,
        script: tuple[ScriptedCall, ...] = (),
        acknowledge: bool = False,
        faults: ModelFaults | None = None,
        record: bool = True,
    ) -> None:
        self.behaviour = Behaviour(
            language, delta_ms=delta_ms, think_ms=think_ms, script=tuple(script), record=record
        )
        self.faults = faults or ModelFaults()
        self.sessions: list[LiveSession] = []
        self.refused = 0
        self._host, self._port, self._key = host, port, key
        self._acknowledge = acknowledge
        self._speech = greeting
        self._greetings: dict[Format, Utterance] = {}
        app = web.Application()
        app.router.add_get("/v1/live/sessions", self._connect)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_TIMEOUT_S
        )

    @property
    def base_url(self) -> str:
        """`http://HOST:PORT/v1`, for AsyncOpenAI(base_url=...); known once it listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/v1"

    async def __aenter__(self) -> Self:
        prepare()
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
            error = error_body(_BAD_KEY, None)
            await ws.send_json({"type": "error", "event_id": "event_refused", "error": error})
            await ws.close(code=3000, message=b"invalid_request_error.invalid_api_key")
            return ws
        session = LiveSession(
            *(ws, request, self.behaviour, faults, self._greeting), acknowledge=self._acknowledge
        )
        self.sessions.append(session)
        try:
            await session.run()
        finally:
            if not self.behaviour.record:
                self.sessions.remove(session)
        return ws

    def _refusal(self, request: web.Request, faults: ModelFaults) -> web.Response | None:
        if faults.too_many:
            return _refuse(429, ProtocolError("rate_limit_exceeded", "Rate limit reached."))
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        wrong = self._key is not None and not hmac.compare_digest(
            given.encode(errors="surrogateescape"), self._key.encode()
        )
        if wrong or faults.refuse_key == "http":
            return _refuse(401, _BAD_KEY)
        if request.query:
            return _refuse(400, ProtocolError("unknown_parameter", "No query is taken."))
        return None

    def _greeting(self, fmt: Format) -> Utterance:
        """What is said first, in the format of a session, made and encoded once."""
        if fmt not in self._greetings:
            language = self.behaviour.language
            said, rate = sounds.load(self._speech, language)
            audio = encode(convert(said, rate, fmt.rate), fmt.encoding)
            words = sounds.transcript(self._speech, language)
            self._greetings[fmt] = Utterance.of(audio, fmt, words, self.behaviour.delta_ms)
        return self._greetings[fmt]


def _refuse(status: int, error: ProtocolError) -> web.Response:
    body: dict[str, Any] = {"error": error_body(error, None)}
    return web.json_response(body, status=status)

"""The stand-in's HTTP side: who may connect, and the sessions of those who do."""

from __future__ import annotations

import asyncio
import hmac
import wave
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from aiohttp import web

from media import sounds
from media.frame import Format, Samples, encode, samples
from media.resample import convert

from .behaviour import Behaviour, ModelFaults, ScriptedCall
from .response import Utterance
from .session import ModelSession
from .validation import warm_up

_LARGEST_MESSAGE: Final = 20 * 1024 * 1024  # an append may hold 15 MiB of base64
_CLOSE_TIMEOUT_S: Final = 1.0


class ModelStandIn:
    """A server that speaks the GA OpenAI Realtime protocol at `{base_url}/realtime?model=...`.

    It greets, hears when the caller speaks, repeats what it heard, can be interrupted, calls
    functions by script, and misbehaves as `faults` says (which may be changed between sessions).

    key: what `Authorization: Bearer` must carry; None: anything does.
    language: of the greeting; see `media.sounds.language_of`.
    greeting: the bundled sound that it says first.
    pace, delta_ms, think_ms, script, speech, monologue: see Behaviour; `record`: see Record.full.
    `session`, of the class: what each connection becomes.
    Without records, a session leaves `sessions` when it ends.
    Raises OSError on entering if the port is taken; OSError or ValueError for a `speech` that
    cannot be used.
    """

    session: type[ModelSession] = ModelSession

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        key: str | None = None,
        language: str = "en",
        greeting: str = "greeting",
        pace: float = 4.0,
        delta_ms: int = 100,
        think_ms: int = 300,
        script: tuple[ScriptedCall, ...] = (),
        faults: ModelFaults | None = None,
        record: bool = True,
        speech: Path | None = None,
        monologue: bool = False,
    ) -> None:
        self.behaviour = Behaviour(
            language, pace, delta_ms, think_ms, tuple(script), record, speech, monologue
        )
        self._speech = None if speech is None else load_speech(speech)
        self.faults = faults or ModelFaults()
        self.sessions: list[ModelSession] = []
        self.refused = 0
        self._host, self._port, self._key = host, port, key
        self._sound = greeting
        self._greetings: dict[Format, Utterance] = {}
        app = web.Application()
        app.router.add_get("/v1/realtime", self._connect)
        self._runner = web.AppRunner(
            app, access_log=None, handle_signals=False, shutdown_timeout=_CLOSE_TIMEOUT_S
        )

    @property
    def base_url(self) -> str:
        """`http://HOST:PORT/v1`, for AsyncOpenAI(base_url=...); known once it listens."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/v1"

    async def __aenter__(self) -> Self:
        warm_up()
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
            await ws.send_json(
                {
                    "type": "error",
                    "event_id": "event_refused",
                    "error": {
                        **_error("invalid_api_key", "Incorrect API key provided."),
                        "event_id": None,
                    },
                }
            )
            await ws.close(code=3000, message=b"invalid_request_error.invalid_api_key")
            return ws
        session = self.session(ws, request, self.behaviour, faults, self._greeting)
        self.sessions.append(session)
        try:
            await session.run()
        finally:
            if not self.behaviour.record:
                self.sessions.remove(session)
        return ws

    def _refusal(self, request: web.Request, faults: ModelFaults) -> web.Response | None:
        if faults.too_many:
            return _json(429, _error("rate_limit_exceeded", "Rate limit reached.", "requests"))
        given = request.headers.get("Authorization", "").removeprefix("Bearer ")
        wrong = self._key is not None and not hmac.compare_digest(
            given.encode(errors="surrogateescape"), self._key.encode()
        )
        if wrong or faults.refuse_key == "http":
            return _json(401, _error("invalid_api_key", "Incorrect API key provided."))
        if not request.query.get("model"):
            return _json(400, _error("missing_model", "You must provide a model parameter."))
        return None

    def _greeting(self, fmt: Format) -> Utterance:
        """What is said first, in the format of a session, made and encoded once."""
        if fmt not in self._greetings:
            language = self.behaviour.language
            words = sounds.transcript(self._sound, language)
            said, rate = sounds.load(self._sound, language)
            if self._speech is not None:
                said, rate = self._speech
                # A word for each second: what was heard of it is told by its words.
                words = " ".join(["(speech)"] * max(1, said.size // rate))
            audio = encode(convert(said, rate, fmt.rate), fmt.encoding)
            self._greetings[fmt] = Utterance.of(audio, fmt, words, self.behaviour.delta_ms)
        return self._greetings[fmt]


def load_speech(path: Path) -> tuple[Samples, int]:
    """Samples and rate of a 16-bit mono WAV. Raises OSError, or ValueError for any other file."""
    try:
        with wave.open(str(path), "rb") as sound:
            if (sound.getnchannels(), sound.getsampwidth()) != (1, 2) or not sound.getnframes():
                raise ValueError(f"{path} is not 16-bit mono, or empty")
            return samples(sound.readframes(sound.getnframes())), sound.getframerate()
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is no WAV file: {error}") from None


def _error(code: str, message: str, kind: str = "invalid_request_error") -> dict[str, Any]:
    return {"type": kind, "code": code, "message": message, "param": None}


def _json(status: int, error: dict[str, Any]) -> web.Response:
    return web.json_response({"error": error}, status=status)

"""The stand-in's HTTP side: who may connect, and the sessions of those who do."""

from __future__ import annotations

import wave
from pathlib import Path

from aiohttp import web

from esl_controller.simulator.model.protocol import CLIENT_EVENTS
from esl_controller.simulator.model.session import ModelSession
from esl_controller.simulator.model_base.behaviour import Behaviour, ModelFaults, ScriptedCall
from esl_controller.simulator.model_base.server import StandInServer
from esl_controller.simulator.model_base.session import SessionSetup
from esl_controller.simulator.model_base.validation import ProtocolError
from media.frame import Samples, samples


class ModelStandIn(StandInServer[ModelSession]):
    """A server that speaks the GA OpenAI Realtime protocol at `{base_url}/realtime?model=...`.

    It greets, hears when the caller speaks, repeats what it heard, can be interrupted, calls
    functions by script, and misbehaves as `faults` says (which may be changed between sessions).

    key: what `Authorization: Bearer` must carry; None accepts any key.
    language: of the greeting; see `media.sounds.language_of`.
    greeting: the bundled sound that it says first.
    pace, delta_ms, think_ms, script, speech, monologue: see Behaviour; `record`: see
        SessionRecord.full.
    `session`, of the class: what each connection becomes.
    Without records, a session leaves `sessions` when it ends.
    Raises OSError on entering if the port is taken; OSError or ValueError for a `speech` that
    cannot be used.
    """

    path = "/v1/realtime"
    client_events = CLIENT_EVENTS
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
        behaviour = Behaviour(
            language, pace, delta_ms, think_ms, tuple(script), record, speech, monologue
        )
        self._speech = None if speech is None else load_speech(speech)
        super().__init__(host, port, key=key, greeting=greeting, behaviour=behaviour, faults=faults)

    def new_session(self, setup: SessionSetup) -> ModelSession:
        return self.session(setup)

    def check_query(self, request: web.Request) -> None:
        if not request.query.get("model"):
            raise ProtocolError("missing_model", "You must provide a model parameter.")

    def refuse(self, status: int, error: ProtocolError) -> web.Response:
        """As clients of the real service report it: no event id, and a type for rate limits."""
        kind = "requests" if status == 429 else "invalid_request_error"
        body = {"type": kind, "code": error.code, "message": error.message, "param": error.param}
        return web.json_response({"error": body}, status=status)

    def first_words(self) -> tuple[Samples, int, str]:
        if self._speech is None:
            return super().first_words()
        said, rate = self._speech
        # A word for each second: the words tell how much was heard.
        return said, rate, " ".join(["(speech)"] * max(1, said.size // rate))


def load_speech(path: Path) -> tuple[Samples, int]:
    """Samples and rate of a 16-bit mono WAV. Raises OSError, or ValueError for any other file."""
    try:
        with wave.open(str(path), "rb") as sound:
            if (sound.getnchannels(), sound.getsampwidth()) != (1, 2) or not sound.getnframes():
                raise ValueError(f"{path} is not 16-bit mono, or empty")
            return samples(sound.readframes(sound.getnframes())), sound.getframerate()
    except (wave.Error, EOFError) as error:
        raise ValueError(f"{path} is no WAV file: {error}") from None

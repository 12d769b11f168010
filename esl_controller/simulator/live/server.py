"""The stand-in's HTTP side: who may connect, and the sessions of those who do."""

from __future__ import annotations

from aiohttp import web

from esl_controller.simulator.live.protocol import CLIENT_EVENTS
from esl_controller.simulator.live.session import LiveSession
from esl_controller.simulator.model_base.behaviour import Behaviour, ModelFaults, ScriptedCall
from esl_controller.simulator.model_base.server import StandInServer
from esl_controller.simulator.model_base.session import SessionSetup
from esl_controller.simulator.model_base.validation import ProtocolError


class LiveStandIn(StandInServer[LiveSession]):
    """A server that speaks the GPT-Live protocol at `{base_url}/live/sessions`.

    It greets when it is given commentary, hears when the caller speaks, falls silent then, repeats
    what it heard, delegates function calls by script, and misbehaves as `faults` says (which may be
    changed between sessions; `refuse_update` refuses session.start, `fail_responses` does nothing).

    key: what `Authorization: Bearer` must carry; None accepts any key.
    language, greeting: of the bundled speech that it greets with.
    delta_ms, think_ms, script: see Behaviour; their time is the caller's audio.
    acknowledge: it speaks when it delegates, too, before there is a result.
    Raises OSError on entering if the port is taken.
    """

    path = "/v1/live/sessions"
    client_events = CLIENT_EVENTS

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
        behaviour = Behaviour(
            language, delta_ms=delta_ms, think_ms=think_ms, script=tuple(script), record=record
        )
        super().__init__(host, port, key=key, greeting=greeting, behaviour=behaviour, faults=faults)
        self._acknowledge = acknowledge

    def new_session(self, setup: SessionSetup) -> LiveSession:
        return LiveSession(setup, acknowledge=self._acknowledge)

    def check_query(self, request: web.Request) -> None:
        if request.query:
            raise ProtocolError("unknown_parameter", "No query is taken.")

"""The built-in stand-in: settings that lead to it, and to no other model."""

from __future__ import annotations

import asyncio

from esl_controller.agents.factory import make_model
from esl_controller.agents.probe import probe
from esl_controller.call.agent_events import AgentFailed, AgentReady
from esl_controller.config.model_settings import AgentSettings
from esl_controller.secretaries.persona import Persona
from esl_controller.server.stand_in import stand_in

PERSONA = Persona("gpt-realtime", "marin", "pt-BR", "Seja breve.")


async def test_it_is_a_model_like_any_other_while_it_runs() -> None:
    settings = AgentSettings(language="pt-BR", connect_timeout_s=5)
    async with asyncio.timeout(20), stand_in(settings) as own:
        assert own.resolved_kind == "realtime"
        assert own.language == "pt-BR"
        model = make_model(own)
        assert await probe(model, PERSONA) == AgentReady()
    assert isinstance(await probe(model, PERSONA), AgentFailed)
    await model.close()
    assert settings == AgentSettings(language="pt-BR", connect_timeout_s=5)

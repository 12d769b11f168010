"""Every model and every agent that can be had has the protocols' members, with their signatures."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from esl_controller.agents.base import Agent, Model
from esl_controller.agents.factory import MODELS, make_model
from esl_controller.config.model_settings import AgentSettings
from esl_controller.secretaries.persona import Persona

PERSONA = Persona("m", "v", "en", "Be brief.")


def members(protocol: type) -> set[str]:
    """Attributes and methods that a protocol asks for."""
    named = {name for name in vars(protocol) if not name.startswith("_")}
    return named | set(protocol.__annotations__)


def parameters(method: Any) -> list[tuple[str, Any]]:
    return [(p.name, p.kind) for p in inspect.signature(method).parameters.values()]


@pytest.mark.parametrize("kind", MODELS)
async def test_each_kind_keeps_the_protocols(kind: str) -> None:
    settings = AgentSettings(base_url="http://127.0.0.1:9/v1").model_copy(update={"kind": kind})
    model = make_model(settings)
    agent = model.agent(PERSONA, (), g711=False)
    for protocol, made in ((Model, model), (Agent, agent)):
        for name in members(protocol):
            asked, had = getattr(protocol, name, None), getattr(made, name)
            if inspect.isfunction(asked):
                assert parameters(had) == parameters(asked)[1:], name
    await model.close()

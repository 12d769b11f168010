"""What follows from the settings of the models."""

from __future__ import annotations

from typing import Literal

import pytest
from pydantic import SecretStr, ValidationError

from esl_controller.config.model_settings import GREETINGS, AgentSettings


@pytest.mark.parametrize(
    ("agent", "kind"),
    [
        (AgentSettings(), "standin"),
        (AgentSettings(api_key=SecretStr("sk-1")), "realtime"),
        (AgentSettings(base_url="http://127.0.0.1:9/v1"), "realtime"),
        (AgentSettings(api_key=SecretStr("sk-1"), kind="standin"), "standin"),
        (AgentSettings(api_key=SecretStr("sk-1"), kind="realtime"), "realtime"),
        (AgentSettings(api_key=SecretStr("sk-1"), kind="live"), "live"),
    ],
)
def test_auto_takes_a_real_model_where_there_is_one(agent: AgentSettings, kind: str) -> None:
    assert agent.resolved_kind == kind


@pytest.mark.parametrize("kind", ["realtime", "live"])
def test_a_real_model_without_a_key_is_refused(kind: Literal["realtime", "live"]) -> None:
    with pytest.raises(ValidationError, match=f'"{kind}" needs a key: set OPENAI_API_KEY'):
        AgentSettings(kind=kind)


@pytest.mark.parametrize(
    ("agent", "model"),
    [
        (AgentSettings(), "gpt-realtime-2.1"),
        (AgentSettings(base_url="http://127.0.0.1:9/v1", kind="live"), "gpt-live-1"),
        (AgentSettings(base_url="http://127.0.0.1:9/v1", kind="live", model="mine"), "mine"),
    ],
)
def test_the_model_follows_the_kind(agent: AgentSettings, model: str) -> None:
    assert agent.resolved_model == model


@pytest.mark.parametrize(
    ("language", "greeting"),
    [("en-GB", GREETINGS["en"]), ("pt-BR", GREETINGS["pt"]), ("de", GREETINGS["en"])],
)
def test_the_greeting_follows_the_language(language: str, greeting: str) -> None:
    assert AgentSettings(language=language).spoken_greeting == greeting
    assert AgentSettings(language=language, greeting="Moin!").spoken_greeting == "Moin!"

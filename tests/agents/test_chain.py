"""The models that a call may have, made of [agent] and [[models]]."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from esl_controller.agents.chain import IMPATIENT_S, ChainModel, of_secretary, open_chain
from esl_controller.agents.factory import MODELS
from esl_controller.agents.openai.endpoint import OpenAIEndpoint
from esl_controller.call.agent import PATIENCE_S
from esl_controller.config.loading import load
from esl_controller.secretaries.persona import Persona

ENVIRONMENT = {"OPENAI_API_KEY": "sk-first", "EU_KEY": "sk-second"}
TWO = """
[agent]
model = "best"
language = "pt-BR"

[[models]]
name = "Europe"
base_url = "https://eu.example.net/v1"
key = "EU_KEY"
voice = "cedar"

[[models]]
name = "cheap"
model = "mini"
"""
PERSONA = Persona("the secretary's", "marin", "pt-BR", "Be kind.")


@asynccontextmanager
async def chain(folder: Path, text: str) -> AsyncIterator[Sequence[ChainModel]]:
    """The models of a settings file."""
    path = folder / "esl-controller.toml"
    path.write_text(text)
    models = open_chain(load(path, ENVIRONMENT).settings)
    try:
        yield models
    finally:
        for each in models:
            await each.model.close()


async def test_a_single_model_is_waited_for(tmp_path: Path) -> None:
    async with chain(tmp_path, "") as (only,):
        assert only.name == "[agent]"
        assert isinstance(only.model, OpenAIEndpoint)
        assert only.model.patience_s == PATIENCE_S
        assert only.settings.connect_timeout_s == 10.0
        assert only.as_persona(PERSONA) is PERSONA


@pytest.mark.parametrize(
    ("first", "other", "model"),
    [("realtime", "live", "gpt-live-1"), ("live", "realtime", "gpt-realtime-2.1")],
)
async def test_one_of_another_kind_has_the_usual_model_of_its_own(
    tmp_path: Path, first: str, other: str, model: str
) -> None:
    text = f'[agent]\nkind = "{first}"\nmodel = "best"\n[[models]]\nname = "x"\nkind = "{{}}"\n'
    async with chain(tmp_path, text.format(other)) as models:
        assert [each.settings.resolved_kind for each in models] == [first, other]
        assert [each.settings.resolved_model for each in models] == ["best", model]
        assert [type(each.model) for each in models] == [MODELS[first], MODELS[other]]
    async with chain(tmp_path, text.format(first)) as models:
        assert [each.settings.resolved_model for each in models] == ["best", "best"]


async def test_each_of_several_is_like_the_first_but_for_what_its_table_says(
    tmp_path: Path,
) -> None:
    async with chain(tmp_path, TWO) as models:
        assert [each.name for each in models] == ["[agent]", "Europe", "cheap"]
        assert [getattr(each.model, "patience_s", None) for each in models] == [0.0] * 3
        first, europe, cheap = (each.settings for each in models)
        assert {each.connect_timeout_s for each in (first, europe, cheap)} == {IMPATIENT_S}
        assert {each.language for each in (first, europe, cheap)} == {"pt-BR"}
        keys = [each.api_key.get_secret_value() for each in (first, europe, cheap)]
        assert keys == ["sk-first", "sk-second", "sk-first"]
        assert europe.base_url == "https://eu.example.net/v1"
        personas = [each.as_persona(PERSONA) for each in models]
        assert [who.model for who in personas] == ["the secretary's", "best", "mini"]
        assert [who.voice for who in personas] == ["marin", "cedar", "marin"]
        assert {who.instructions for who in personas} == {"Be kind."}


async def test_an_operator_is_told_which_one_and_what_to_set(tmp_path: Path) -> None:
    async with chain(tmp_path, TWO) as (first, europe, _):
        assert first.described == "the model 'best' at OpenAI"
        assert europe.described == "'Europe', the model 'best' at https://eu.example.net/v1"
        assert europe.remedy("the key was refused").startswith("EU_KEY in the environment")
        assert europe.remedy("no connection").startswith("[[models]] base_url")
        assert first.remedy("no connection").startswith("[agent] base_url")


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ((), ["[agent]", "Europe", "cheap"]),
        (("cheap", "[agent]"), ["cheap", "[agent]"]),
        (("gone", "Europe"), ["Europe"]),
        (("gone",), ["[agent]", "Europe", "cheap"]),
    ],
)
async def test_a_secretary_chooses_its_models(
    tmp_path: Path, names: tuple[str, ...], chosen: list[str]
) -> None:
    async with chain(tmp_path, TWO) as models:
        assert [each.name for each in of_secretary(models, names)] == chosen

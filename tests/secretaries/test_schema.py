"""The tables of a secretary's file, each by itself. ``test_reading.py`` has what a file says."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from esl_controller.config.setting_types import Mistakes
from esl_controller.secretaries.persona import ByMeaning, BySilence
from esl_controller.secretaries.reading import tables
from esl_controller.secretaries.schema import Limits, TurnDetection, WebhookTool


def test_every_key_has_its_help() -> None:
    for _, table in tables():
        assert table.__doc__
        for key, field in table.model_fields.items():
            inner: Any = field.annotation
            is_table = isinstance(inner, type) and issubclass(inner, BaseModel)
            assert field.description or is_table or key in ("destinations", "webhooks")


def test_turn_detection_is_one_of_two_kinds() -> None:
    assert TurnDetection().vad == BySilence(0.5, 500, 300)
    assert TurnDetection(threshold=0.7, silence_ms=600).vad == BySilence(0.7, 600, 300)
    assert TurnDetection(kind="semantic_vad", eagerness="low").vad == ByMeaning("low")


def wrong(table: type[BaseModel], **keys: Any) -> list[str]:
    """The keys of which a mistake between keys is told."""
    with pytest.raises(ValidationError) as caught:
        table(**keys)
    [error] = caught.value.errors()
    mistakes = error["ctx"]["error"]
    assert isinstance(mistakes, Mistakes)
    return [key for key, _ in mistakes.mistakes]


def test_a_key_of_the_other_kind_of_turn_detection_is_a_mistake() -> None:
    assert wrong(TurnDetection, eagerness="low") == ["eagerness"]
    other = {"kind": "semantic_vad", "threshold": 0.7, "prefix_ms": 100}
    assert wrong(TurnDetection, **other) == ["threshold", "prefix_ms"]


def test_the_warning_comes_before_the_end() -> None:
    assert Limits(max_call_s=60, warn_s=59).warn_s == 59
    assert wrong(Limits, max_call_s=60, warn_s=60) == ["warn_s"]
    assert wrong(Limits, max_call_s=20) == ["max_call_s"], "the one that the file has"


def webhook(**keys: Any) -> WebhookTool:
    return WebhookTool(**{"name": "find", "description": "Find.", "url": "http://h/", **keys})


@pytest.mark.parametrize("name", ["a", "a_1", "x" * 64])
def test_names_that_every_model_accepts(name: str) -> None:
    assert webhook(name=name).name == name


@pytest.mark.parametrize("name", ["", "1a", "_a", "Find", "find me", "é", "x" * 65])
def test_other_names_are_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a name of a-z, 0-9 and _, a letter first"):
        webhook(name=name)


def test_a_collection_of_digits_has_a_shorter_name() -> None:
    assert webhook(secure={"code": "x" * 32}).secure
    with pytest.raises(ValidationError, match="of at most 32 characters"):
        webhook(secure={"code": "x" * 33})


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"type": "object", "default": float("nan")}, "holds what JSON cannot"),
        ({"type": "object", "properties": {"a": {"$dynamicRef": "#x"}}}, r"holds a \$dynamicRef"),
        ({"type": "object", "properties": {"a": {"anyOf": [{"$ref": "#"}]}}}, r"holds a \$ref"),
    ],
)
def test_a_schema_of_arguments_that_cannot_be_sent(parameters: dict[str, Any], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        webhook(parameters=parameters)

"""What GPT-Live is told at the beginning of a session."""

from __future__ import annotations

from typing import Any

from openai.types.live import ClientEventParam
from pydantic import TypeAdapter

from esl_controller.agents.openai.gpt_live_session import (
    HISTORY_CHARACTERS,
    HISTORY_ITEMS,
    start,
    words,
)
from esl_controller.call.agent import Called, History, Said
from esl_controller.secretaries.persona import Persona
from media.frame import PCMU

CLIENT_EVENT: TypeAdapter[Any] = TypeAdapter(ClientEventParam)


def session(history: History = ()) -> dict[str, Any]:
    event: Any = start(Persona("gpt-live-1", "cedar", "en", "Be brief."), history, PCMU, "thinker")
    CLIENT_EVENT.validate_python(event, strict=True)
    told: dict[str, Any] = event["session"]
    return told


def test_a_model_without_functions_is_told_of_none() -> None:
    assert session()["instructions"] == "Be brief."
    assert session()["audio"]["format"] == {"type": "audio/pcmu", "rate": 8000}


def test_of_a_long_history_the_newest_is_told() -> None:
    items = session([Said("caller", f"{number} " + "x" * 500) for number in range(300)])["input"]
    texts = [item["content"][0]["text"] for item in items]
    assert len(texts) <= HISTORY_ITEMS
    assert sum(map(len, texts)) == HISTORY_CHARACTERS
    assert texts[-1].startswith("299 ")


def test_a_function_call_is_told_in_words() -> None:
    told = words(Called("c", "look_up", '{"a": 1}', '"free"'))
    assert told == 'The function look_up was called with {"a": 1}: "free"'

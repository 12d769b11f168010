"""Our own sentences: every language has all of them, and any other language gets English."""

from __future__ import annotations

import pytest

from esl_controller.config.model_settings import GREETINGS
from esl_controller.secretaries.phrases import CLOSED, FAREWELLS, phrase


def test_every_language_has_every_sentence() -> None:
    assert GREETINGS.keys() == FAREWELLS.keys() == CLOSED.keys()


@pytest.mark.parametrize(
    ("language", "found"),
    [("pt", "pt"), ("pt-BR", "pt"), ("PT-br", "pt"), ("es-419", "es"), ("de", "en"), ("", "en")],
)
def test_a_language_tag_gives_its_language_or_english(language: str, found: str) -> None:
    assert phrase(FAREWELLS, language) == FAREWELLS[found]

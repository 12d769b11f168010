"""What a row may hold is shown without doing anything to a terminal."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.fusionpbx.errors import shown


@pytest.mark.parametrize(
    ("text", "expected"),
    [("Olá, 8000", "Olá, 8000"), ("\x1b[2Jx", r"\x1b[2Jx"), ("a\nb", r"a\nb"), (Path("/a"), "/a")],
)
def test_control_characters_are_escaped(text: object, expected: str) -> None:
    assert shown(text) == expected


@given(st.text())
def test_whatever_it_is_can_be_printed(text: str) -> None:
    assert shown(text).isprintable()

"""Columns are aligned, commands are left whole, and nobody writes control sequences."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.config.terminal import CELL, hanging, json_text, line, printable, table


def test_a_column_is_as_wide_as_its_widest_cell() -> None:
    assert table([("call", "s"), ("a", "10"), ("", "x")]) == "call  s\na     10\n      x"
    assert table([]) == ""


def test_cells_hold_no_control_characters() -> None:
    assert table([("\x1b[2J", "x\ny")]) == " [2J  x y"


@pytest.mark.parametrize("length", [CELL - 1, CELL, CELL + 1, 1000])
def test_a_long_cell_widens_no_other_line(length: int) -> None:
    long, short = table([("a" * length, "x"), ("b", "y")]).split("\n")
    assert len(short) == min(length, CELL) + len("  y")
    assert long.endswith(("a  x", "…  x") if length != CELL + 1 else "…  x")


@given(st.text())
def test_json_is_the_same_value_and_controls_nothing(text: str) -> None:
    shown = json_text({"a": [text]})
    assert json.loads(shown) == {"a": [text]}
    assert all(character == "\n" or character.isprintable() for character in shown)


def test_json_keeps_letters_and_escapes_what_turns_the_direction() -> None:
    assert json_text("ação \u202e\x9b") == '"ação \\u202e\\u009b"'


def test_a_line_of_its_own() -> None:
    assert line(("ok", "lane", "well"), (8, 5)) == "ok        lane   well"
    assert line(("ok", "all is well"), (3,), gap=" ") == "ok  all is well"
    assert line(("a", ""), (3,)) == "a"
    assert line(("wider", "b"), (2,)) == "wider  b"


def test_a_paragraph_hangs_under_its_beginning() -> None:
    assert hanging("do: ", "one two three", 12) == "do: one two\n    three"


def test_commands_are_left_whole() -> None:
    assert (
        hanging("  do  ", "try\nfs_cli -x reloadxml", 12) == "  do  try\n      fs_cli -x reloadxml"
    )
    assert hanging("", "wrong ws://a-very-long-name/x", 10) == "wrong\nws://a-very-long-name/x"


@given(st.text())
def test_what_is_printable_stays(text: str) -> None:
    clean = printable(text)
    assert clean.isprintable()
    assert len(clean) == len(text)
    assert clean == text or not text.isprintable()

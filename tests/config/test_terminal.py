"""Columns are aligned, commands are left whole, and nobody writes control sequences."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from esl_controller.config.terminal import hanging, line, printable, table


def test_a_column_is_as_wide_as_its_widest_cell() -> None:
    assert table([("call", "s"), ("a", "10"), ("", "x")]) == "call  s\na     10\n      x"
    assert table([]) == ""


def test_cells_hold_no_control_characters() -> None:
    assert table([("\x1b[2J", "x\ny")]) == " [2J  x y"


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

"""Text for a terminal: aligned columns, hanging paragraphs, JSON that is safe to print. [core]

All commands that print a table or a report use it, so it imports nothing of the project.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from textwrap import fill
from typing import Final

CELL: Final = 60  # characters; a caller's name or number may have any length


def table(rows: Sequence[Sequence[str]]) -> str:
    """``rows`` with each column as wide as its widest cell; all rows have the same cells. A cell of
    more than ``CELL`` characters is cut: one long number would widen every line."""
    clean = [tuple(shortened(printable(cell)) for cell in row) for row in rows]
    widths = [max(map(len, column)) for column in zip(*clean, strict=True)]
    return "\n".join(line(row, widths) for row in clean)


def line(cells: Sequence[str], widths: Sequence[int], gap: str = "  ") -> str:
    """A row of a table whose other rows are not known yet. ``widths`` are those of all cells but
    the last; a cell that is wider is not cut."""
    *before, last = cells
    return gap.join([*map(str.ljust, before, widths), last]).rstrip()


def hanging(title: str, text: str, width: int) -> str:
    """``text`` after ``title``, wrapped to ``width`` and indented under its own beginning.

    Only the first line is wrapped: those after it are commands, which are copied as they stand.
    """
    first, *commands = text.split("\n")
    indent = " " * len(title)
    paragraph = fill(
        first,
        width,
        initial_indent=title,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([paragraph, *(f"{indent}{command}" for command in commands)])


def shortened(text: str) -> str:
    """``text``, cut to ``CELL`` characters."""
    return text if len(text) <= CELL else text[: CELL - 1] + "…"


def json_text(value: object) -> str:
    """``value`` as indented JSON for people and programs. What would control the terminal, or turn
    the direction of what follows, is escaped; letters of any script stay."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    return "".join(
        character if character == "\n" or character.isprintable() else json.dumps(character)[1:-1]
        for character in text
    )


def printable(text: str) -> str:
    """``text`` without control characters, by which callers, models or rows of a database could
    write to the terminal; a space stands for each."""
    return "".join(character if character.isprintable() else " " for character in text)

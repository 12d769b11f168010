"""Regular expressions that validate take the whole text: Python's ``$`` lets a line break pass, and
``match`` whatever follows."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.paths import ROOT

SOURCES: Final = tuple(
    path
    for package in ("esl_controller", "media", "benchmarks")
    for path in sorted((ROOT / package).rglob("*.py"))
)
TAKES_A_PATTERN: Final = ("compile", "search", "fullmatch", "sub", "split", "findall", "finditer")


def loose(source: str) -> Iterator[str]:
    """Each call of ``match``, and each pattern with a ``$``; the doctor's and the page's patterns
    search in texts, and end with ``\\Z`` where they must."""
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr == "match" and not _goes_on_from_a_place(node):
            yield f"line {node.lineno}: match"
        of_re = isinstance(node.func.value, ast.Name) and node.func.value.id == "re"
        if not of_re or node.func.attr not in TAKES_A_PATTERN or not node.args:
            continue
        for part in ast.walk(node.args[0]):
            text = part.value if isinstance(part, ast.Constant) else None
            if isinstance(text, str) and "$" in _outside_classes(text):
                yield f"line {node.lineno}: $ in {text!r}"


def _goes_on_from_a_place(call: ast.Call) -> bool:
    """Whether a text is read on by ``pattern.match(text, place)``."""
    is_re = isinstance(call.func, ast.Attribute) and ast.unparse(call.func.value) == "re"
    return not is_re and len(call.args) == 2


def _outside_classes(pattern: str) -> str:
    """``pattern`` without escaped characters and without sets of characters."""
    kept, inside, characters = "", False, iter(pattern)
    for character in characters:
        if character == "\\":
            next(characters, "")
        elif inside:
            inside = character != "]"
        elif character == "[":
            inside = True
        else:
            kept += character
    return kept


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_pattern_takes_the_whole_text_or_searches(path: Path) -> None:
    assert not list(loose(path.read_text()))


def test_what_is_found() -> None:
    wrong = 'import re\nre.match("a", x)\nP = re.compile("^a$")\nP.match(x)\n'
    assert len(list(loose(wrong))) == 3
    right = 'import re\nre.fullmatch(r"[$]\\$", x)\nre.search(r"a\\Z", x)\n'
    assert not list(loose(right))

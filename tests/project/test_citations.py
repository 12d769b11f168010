"""What code and pages cite is there: documents, their headings, captures, other source files.

One form each: ``docs/design/freeswitch.md#the-lane``, from the repository's root or from where the
citing file stands; ``captures/conversation.jsonl`` for a file of ``tests/captures``, ``*`` in it
for several; and the path of a source file.
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.paths import ROOT
from tests.project.pages import PAGES, headings, name

CODE = [
    path
    for part in ("esl_controller", "media", "tests", "benchmarks")
    for path in sorted((ROOT / part).rglob("*.py"))
    if path != Path(__file__)
]
DESIGN = ROOT / "docs" / "design"

DOCUMENT = re.compile(r"(?<![\w/.*{-])(?P<path>[\w./-]*\w\.md)\b(?:#(?P<anchor>[\w-]+))?")
CAPTURE = re.compile(r"\bcaptures/[\w*./-]*[\w*]")
SOURCE = re.compile(r"(?<![\w/.])(?:esl_controller|media|tests|benchmarks)/[\w/-]+\.py\b")
OTHER_FORMS = re.compile(r"\.md`*,? [\"'(“]|\bcaptures? [`'\"]\S*[`'\"]", re.I)
"""A heading in quotes behind a file, a capture's name alone: nobody can check or follow them."""


@cache
def anchors(page: Path) -> frozenset[str]:
    """The headings of a page that can be cited."""
    return frozenset(headings(page))


def prose(path: Path) -> str:
    """Of a page all, of code its comments and strings, but for those that are a file's name."""
    text = path.read_text("utf-8")
    if path.suffix != ".py":
        return text
    tokens = tokenize.generate_tokens(io.StringIO(text).readline)
    parts = [token.string for token in tokens if token.type == tokenize.COMMENT]
    constants = (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Constant))
    strings = (node.value for node in constants if isinstance(node.value, str))
    parts += [each for each in strings if not re.fullmatch(r"[\w.*/-]+", each)]
    return "\n".join(parts)


def wrong(text: str, path: Path) -> Iterator[str]:
    """The citations in ``text``, which stands in ``path``, that lead nowhere."""
    # Addresses on the web, and the targets of links: test_docs follows those.
    text = re.sub(r"\w+://[^\s)>]+|\]\([^)]*\)", " ", text)
    for found in DOCUMENT.finditer(text):
        places = (ROOT / found["path"], path.parent / found["path"])
        there = next((place for place in places if place.is_file()), None)
        if there is None:
            yield f"{found[0]}: no such file"
        elif found["anchor"] and found["anchor"] not in anchors(there):
            yield f"{found[0]}: no such heading"
    for capture in CAPTURE.findall(text):
        if not any((ROOT / "tests").glob(capture)):
            yield f"{capture}: no such capture"
    for source in SOURCE.findall(text):
        if (path.suffix == ".py" or DESIGN in path.parents) and not (ROOT / source).is_file():
            yield f"{source}: no such source file"
    for found in OTHER_FORMS.finditer(text):
        yield f"{found[0]}: not a form that this test can follow"


@pytest.mark.parametrize("path", CODE, ids=name)
def test_citations_in_code_lead_somewhere(path: Path) -> None:
    assert list(wrong(prose(path), path)) == []


@pytest.mark.parametrize("path", PAGES, ids=name)
def test_citations_in_pages_lead_somewhere(path: Path) -> None:
    assert list(wrong(prose(path), path)) == []


def test_there_are_citations() -> None:
    texts = [prose(path) for path in CODE]
    documents = [found for text in texts for found in DOCUMENT.finditer(text) if found["anchor"]]
    assert len(documents) >= 25
    assert sum(len(CAPTURE.findall(text)) for text in texts) >= 25


@pytest.mark.parametrize(
    "text",
    [
        "docs/design/nothing.md",
        "docs/design/freeswitch.md#the-line",
        "(freeswitch.md)",
        'docs/design/freeswitch.md, "The lane"',
        "captures/conversations.jsonl",
        "captures/nobody/*.jsonl",
        "tests/live/test_nothing.py",
        "the capture ``conversation``",
    ],
)
def test_what_is_not_there_is_found(text: str) -> None:
    assert list(wrong(text, ROOT / "media" / "lane.py")) != []


@pytest.mark.parametrize(
    "text",
    [
        "docs/design/freeswitch.md#the-lane",
        "README.md",
        "README.md beside this file, which media/sounds has not",
        "(captures/transfer_back.*.jsonl).",
        "tests/captures/logs/sptmru/lane_busy.log",
        "tests/live/test_ladder.py",
        "https://example.net/nothing.md",
    ],
)
def test_what_is_there_is_not(text: str) -> None:
    assert list(wrong(text, ROOT / "media" / "lane.py")) == []

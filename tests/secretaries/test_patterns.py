"""Patterns: the same texts as ``re`` finds, in a time that grows with the text only."""

from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.secretaries.patterns import Pattern

PATTERNS = [
    r"^\d{4}-\d{2}-\d{2}$",
    r"^[0-9*#A-Dw]{1,32}$",
    r"^[^@\s]+@[^@\s]+\.[a-z]{2,}$",
    r"^(?:\+?55)?\s*\(?\d{2}\)?[ -]?9?\d{4}-?\d{4}$",
    r"(ab|a)(bc)?c*$",
    r"^(a|b)*?c{2}$",
    r"x?y{0,2}z{2,}",
    r"^[]a-c]+\.\\$",
    r"^$|^-?(0|[1-9]\d*)(\.\d+)?$",
    r"(a*)*b",
    r"\u00e9+|é\x41",
    "",
]


@pytest.mark.parametrize("pattern", PATTERNS)
@given(text=st.text(alphabet="ab c@.-0159+()\\]xyzéA\n", max_size=12))
def test_what_re_finds_is_found(pattern: str, text: str) -> None:
    # JSON schema's $ is the very end; Python's is also there before a last line break.
    exact = pattern.replace("$", r"\Z")
    assert Pattern(pattern).found_in(text) == bool(re.search(exact, text))


@pytest.mark.parametrize("text", ["2026-11-30", "a@b.cd", "+55 (11) 91234-5678", "aaab", "zz"])
def test_whole_texts_are_found(text: str) -> None:
    for pattern in PATTERNS:
        exact = pattern.replace("$", r"\Z")
        assert Pattern(pattern).found_in(text) == bool(re.search(exact, text)), pattern


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*a){12}b", "^(([a-z])+.)+[A-Z]$"])
def test_none_takes_longer_than_its_work(pattern: str) -> None:
    hostile = "a" * 300
    began = time.thread_time()
    assert not Pattern(pattern).found_in(hostile + "!")
    assert time.thread_time() - began < 1e-3 + 1e-8 * Pattern(pattern).work(hostile)


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        (r"(a)\1", r"invalid escape sequence: \\1"),
        (r"a(?=b)", r"invalid perl operator: \(\?="),
        (r"a++", "bad repetition operator"),
        (r"(a{1,99}){1,99}", "invalid repetition size"),
        (r"a{900}b{900}", "more than 1000 states"),
    ],
)
def test_what_cannot_be_linear_is_refused(pattern: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        Pattern(pattern)


def test_a_repeated_nothing_takes_no_time() -> None:
    assert Pattern("a" + "(" * 20 + "){9}" + ")*" * 19 + "$").found_in("ba")


def test_what_is_no_pattern_is_refused() -> None:
    for text in ("(", "[a", "a{2,1}", "*"):
        with pytest.raises(ValueError, match=r"missing|invalid|no argument"):
            Pattern(text)

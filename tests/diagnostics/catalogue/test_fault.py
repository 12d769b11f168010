"""The catalogue as a whole, and the operators' table that is held against it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from esl_controller.diagnostics.catalogue import controller_log, switch_log
from esl_controller.diagnostics.catalogue.fault import Fault, fault
from tests.paths import ROOT

FAULTS = {each.name: each for each in (*switch_log.ALL, *controller_log.ALL)}
# What `explain` alone tells of: rare, or its line in the log says all that an operator needs.
WITHOUT_A_ROW = {
    *("destination out of order", "context not found", "no route", "codec", "too many calls"),
    *("controller's address", "event socket closed to it"),
    *("module not found", "library missing", "module does not fit", "module cannot be loaded"),
    *("mix type", "sample rate", "stream's address", "stream closed", "stream refused"),
    *("stream started twice", "stream without a call"),
    *("lane not opened", "file not found", "recording not written"),
    *("call not taken", "domain", "no lane", "no way", "model's quota", "stand-in"),
    *("record with holes", "begins anew", "taken over", "lost call"),
    *("transfer", "not recorded", "secretary", "bug"),
}


def test_a_fault_is_made_of_its_words() -> None:
    first = fault("a", "x", "means", "do")
    second = fault("b", r"y: (?P<what>\S+)", "means", "do", first, "z", row="`y`")
    assert (second.follows, second.row) == (("a", "z"), "`y`")
    assert (found := second.pattern.search("so y: 3 of 4"))
    assert found["what"] == "3"


def test_names_are_unique() -> None:
    assert len(FAULTS) == len(switch_log.ALL) + len(controller_log.ALL)


@pytest.mark.parametrize("module", [switch_log, controller_log])
def test_all_faults_are_looked_for(module: object) -> None:
    made = [each for each in vars(module).values() if isinstance(each, Fault)]
    assert sorted(each.name for each in made) == sorted(each.name for each in module.ALL)  # type: ignore[attr-defined]


def test_a_fault_follows_one_that_is_known() -> None:
    for faults in (switch_log.ALL, controller_log.ALL):
        names = {switch_log.STREAM_STOPPED, *(each.name for each in faults)}
        assert all(names.issuperset(each.follows) for each in faults)


# --- the operators' table -------------------------------------------------------------------------

ENGLISH, PORTUGUESE = "the log says", "o log diz"


def rows(head: str) -> list[list[str]]:
    """The table whose first column is named ``head``, wherever it stands: each row's cells."""
    pages = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    tables = [found for page in pages for found in _tables(page, head)]
    return [row for table in tables for row in table]


def _tables(page: Path, head: str) -> Iterator[list[list[str]]]:
    for lines in re.findall(r"(?:^\|.*\|\n)+", page.read_text() + "\n", re.M):
        first, _, *others = [line.strip("| ").split(" | ") for line in lines.splitlines()]
        if first[0] == head:
            yield others


def code(text: str) -> list[str]:
    """What stands in backticks, with one kind of quotation marks."""
    return [found.replace("'", '"') for found in re.findall(r"`([^`]+)`", text)]


def test_each_row_of_the_table_is_a_fault_of_the_catalogue_and_the_other_way_round() -> None:
    signs = [row[0] for row in rows(ENGLISH)]
    assert sorted(signs) == sorted(each.row for each in FAULTS.values() if each.row)
    assert {name for name, each in FAULTS.items() if not each.row} == WITHOUT_A_ROW


def test_the_table_names_what_the_catalogue_says_to_do() -> None:
    known = {each.row: f"{each.means} {each.do}".replace("'", '"') for each in FAULTS.values()}
    for sign, _, do in rows(ENGLISH):
        missing = [word for word in code(do) if word not in known[sign]]
        assert not missing, sign


def test_the_table_in_portuguese_has_the_same_rows() -> None:
    english, portuguese = rows(ENGLISH), rows(PORTUGUESE)
    if not portuguese:
        pytest.skip("there is no such table in Portuguese")
    assert [code(row[0]) for row in portuguese] == [code(row[0]) for row in english]
    assert [code(row[2]) for row in portuguese] == [code(row[2]) for row in english]

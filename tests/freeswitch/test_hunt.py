"""Which extension gets a call: the same as on a real FreeSWITCH."""

from __future__ import annotations

from itertools import groupby
from xml.etree import ElementTree

import pytest

from esl_controller.freeswitch.hunt import Takes, called, hunt, matches, switch_true
from tests.freeswitch.hunts import Hunt, hunts


@pytest.mark.parametrize("seen", hunts(), ids=lambda seen: f"{seen.number}-{len(seen.context)}")
def test_as_a_real_freeswitch_did(seen: Hunt) -> None:
    may: list[str | None] = []
    ran: list[str] = []
    for extension in ElementTree.fromstring(f"<context>{seen.context}</context>"):
        takes, actions = hunt(extension, called(seen.number))
        ran += [data for _, data in actions]
        if takes is not Takes.NO:
            may.append(extension.get("name"))
        if takes is Takes.YES:
            break
    else:
        may.append(None)
    assert seen.took in may
    assert set(seen.ran) <= set(ran)
    if seen.exact:
        assert may == [seen.took]
        assert tuple(data for data, _ in groupby(ran)) == seen.ran


def test_conditions_within_conditions_have_an_end() -> None:
    deep = "<condition>" * 300 + "</condition>" * 300
    takes, _ = hunt(ElementTree.fromstring(f"<extension>{deep}</extension>"), called("8000"))
    assert takes is Takes.NO


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        *((value, True) for value in ("yes", "ON", "true", "t", "enabled", "active", "allow")),
        *((value, True) for value in ("1", "2", "-1", "+7", "1.9", "00100")),
        *((value, False) for value in ("", "0", "0.9", "-", ".", "no", "false", "1x", " 1", "y")),
        (None, False),
    ],
)
def test_what_freeswitch_takes_for_true(value: str | None, expected: bool) -> None:
    assert switch_true(value) is expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("", True),
        (r"^80\d\d$", True),
        ("_NXXX", True),
        ("_ZXX", False),
        ("/^8000$/i", True),
        ("/^8000$", False),
        (r"^\Q8000\E$", True),
        (r"^\Q8.*\E$", False),
        (r"^\Q${caller_id_number}\E$", None),
        ("^9${caller_id_number}$", False),
        ("^${domain_name ${context}}$", None),
        ("^[${digits}]", None),
        ("^[[:digit:]]+$", None),
        ("^(*UTF8)8000$", None),
    ],
)
def test_an_expression(expression: str, expected: bool | None) -> None:
    assert matches(expression, "8000") is expected

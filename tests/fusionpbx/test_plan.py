"""The difference and its statements."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.freeswitch.dialplan import DialplanError
from esl_controller.fusionpbx.errors import FusionError
from esl_controller.fusionpbx.extension import assembled
from esl_controller.fusionpbx.plan import (
    Plan,
    agrees,
    to_install,
    to_restore,
    wanted,
)
from esl_controller.fusionpbx.rows import (
    DETAILS,
    DIALPLANS,
    Detail,
    Dialplan,
    Domain,
    StoredRows,
)
from esl_controller.fusionpbx.statements import as_text, parameterised, table

DOMAIN = Domain(UUID("6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01"), "pbx.example.net")
SECRETARY = "c8e3b7d4-21f9-4f6e-b1a7-5e2d9c4f8a02"
NOW = "2026-11-22T10:00:00+00:00"


def row(**values: Any) -> Dialplan:
    return wanted(DOMAIN, "8000", secretary_uuid=SECRETARY, **values)


ROW = row()
TABLES = {
    DIALPLANS: table(DIALPLANS, dict.fromkeys(ROW.row(), "text") | {"dialplan_uuid": "uuid"}),
    DETAILS: table(DETAILS, dict.fromkeys(ROW.detail_rows()[0], "text")),
}


def stored(dialplan: Dialplan = ROW) -> StoredRows:
    return StoredRows(dialplan.row(), tuple(dialplan.detail_rows()))


def test_a_new_one_is_inserted() -> None:
    plan = to_install(ROW, StoredRows(), TABLES, NOW)
    assert plan.changes
    assert plan.contexts == (DOMAIN.name,)
    verbs = [as_text(statement).split()[0] for statement in plan.statements()]
    assert verbs == ["INSERT"] * (1 + len(ROW.details))


def test_one_that_is_there_is_left_alone() -> None:
    plan = to_install(ROW, stored(), TABLES, NOW)
    assert not plan.changes
    assert plan.statements() == []
    assert plan.difference() == ""
    assert plan.contexts == (DOMAIN.name,), "its cache may be stale all the same"


@pytest.mark.parametrize(
    "same",
    [
        {"dialplan_enabled": "t"},
        {"dialplan_order": "200.0"},
        {"dialplan_xml": ROW.xml.replace("\t", "    ")},
        {"hostname": "pbx1"},
    ],
)
def test_what_means_the_same_is_left_alone(same: dict[str, str]) -> None:
    before = StoredRows({**ROW.row(), **same}, stored().details)
    assert not to_install(ROW, before, TABLES, NOW).changes


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("dialplan_enabled", "false"),
        ("dialplan_enabled", None),
        ("dialplan_continue", "true"),
        ("dialplan_order", "10"),
        ("dialplan_order", None),
        ("dialplan_context", "other"),
        ("dialplan_xml", ROW.xml.replace("8022", "8021")),
        ("dialplan_xml", None),
        ("dialplan_xml", "<"),
    ],
)
def test_what_differs_is_updated(column: str, value: str | None) -> None:
    plan = to_install(ROW, StoredRows({**ROW.row(), column: value}, stored().details), TABLES, NOW)
    [statement] = plan.statements()
    text, values = parameterised(statement)
    assert text == (
        f"UPDATE {DIALPLANS} SET {column}=CAST($1::VARCHAR AS text)"
        f" WHERE {DIALPLANS}.dialplan_uuid = CAST($2::VARCHAR AS uuid)"
    )
    assert values == [ROW.row()[column], str(ROW.uuid)]


def test_a_context_that_is_left_has_an_old_cache_too() -> None:
    before = stored(row(context="former"))
    assert to_install(ROW, before, TABLES, NOW).contexts == ("former", DOMAIN.name)


def test_a_detail_that_differs_has_all_written_anew() -> None:
    before = StoredRows(ROW.row(), stored().details[1:])
    verbs = [as_text(each).split()[0] for each in to_install(ROW, before, TABLES, NOW).statements()]
    assert verbs == ["DELETE", *["INSERT"] * len(ROW.details)]


def test_removal() -> None:
    plan = to_restore(str(ROW.uuid), StoredRows(), stored(), TABLES)
    assert [as_text(each).split()[:3] for each in plan.statements()] == [
        ["DELETE", "FROM", DETAILS],
        ["DELETE", "FROM", DIALPLANS],
    ]
    assert plan.difference().startswith("@@")
    assert not [line for line in plan.difference().splitlines() if line.startswith("+")]


def test_tables_that_are_not_fusionpbx() -> None:
    columns = dict.fromkeys(TABLES[DIALPLANS].columns.keys(), "text")
    del columns["dialplan_xml"]
    with pytest.raises(FusionError, match="v_dialplans has no column dialplan_xml"):
        to_install(ROW, StoredRows(), {**TABLES, DIALPLANS: table(DIALPLANS, columns)}, NOW)
    with pytest.raises(FusionError, match="has no column 'x; --'"):
        to_restore(str(ROW.uuid), StoredRows({"x; --": "1"}), StoredRows(), TABLES)


def test_the_difference_shows_no_control_characters() -> None:
    before = StoredRows({**ROW.row(), "dialplan_description": "\x1b[2Jgone"}, stored().details)
    text = to_install(ROW, before, TABLES, NOW).difference()
    assert "\x1b" not in text
    assert r"-dialplan_description: \x1b[2Jgone" in text


@pytest.mark.parametrize(
    ("details", "expected"),
    [
        (ROW.details, True),
        (ROW.details[:-1], False),
        ((), None),
        ((*ROW.details, Detail(9, 5, "condition", "wday", "2-6")), None),
        ((*ROW.details, Detail(9, 5, "regex", "destination_number", "1")), None),
        ((*ROW.details, Detail(9, 5, "action", "log", "x", enabled=False)), True),
    ],
)
def test_whether_page_and_xml_agree(details: tuple[Detail, ...], expected: bool | None) -> None:
    assert agrees(replace(ROW, details=details)) is expected


def test_xml_that_is_none_agrees_with_nothing() -> None:
    assert agrees(replace(ROW, xml="")) is False
    assert agrees(replace(ROW, xml=ROW.xml * 2)) is False


@pytest.mark.parametrize("context", ["public", "global", "x.public"])
def test_contexts_of_all(context: str) -> None:
    with pytest.raises(FusionError, match="is not one domain's"):
        row(context=context)


@given(
    st.fixed_dictionaries(
        {
            name: st.text(max_size=12)
            | st.sampled_from(["'; DROP TABLE x; --", "../..", '"/>', "$1"])
            for name in ("name", "context", "socket")
        }
    ),
    st.text(max_size=8),
)
def test_any_value_is_refused_or_comes_out_of_the_xml_alone(
    values: dict[str, str], number: str
) -> None:
    try:
        made = wanted(DOMAIN, number, secretary_uuid=SECRETARY, **values)  # type: ignore[arg-type]
    except (DialplanError, FusionError):
        return
    assert agrees(made)
    assert made.xml.count("<extension ") == 1
    assert assembled(made.name, made.uuid, ROW.details).count("\n") == ROW.xml.count("\n")


def test_plans_are_compared_by_what_is_stored() -> None:
    assert not Plan(str(ROW.uuid), stored(), stored(), TABLES).changes

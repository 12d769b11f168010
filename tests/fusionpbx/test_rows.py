"""Rows as FusionPBX may have them."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

import pytest

from esl_controller.fusionpbx.rows import Detail, Dialplan, number, truth, uuid_of

UUID_1 = "33333333-3333-4333-8333-333333333333"


def test_a_row_is_read_as_it_was_written() -> None:
    row = Dialplan(
        domain_uuid=UUID(UUID_1),
        uuid=uuid_of(UUID(UUID_1), "8000"),
        app_uuid=UUID(UUID_1),
        context="a",
        name="b",
        number="8000",
        order=200,
        continue_=False,
        enabled=True,
        xml="<extension/>",
        description="c",
        details=(
            Detail(0, 5, "condition", "destination_number", "^8000$", "never"),
            Detail(0, 10, "action", "set", "a=b", inline="true", enabled=False),
        ),
    )
    assert Dialplan.of(row.row(), row.detail_rows()) == row


def test_what_is_missing_is_empty() -> None:
    row = Dialplan.of({"dialplan_uuid": UUID_1}, [{"dialplan_uuid": UUID_1}])
    assert (row.domain_uuid, row.context, row.order, row.enabled) == (None, "", 0, False)
    assert row.details == (Detail(0, 0, "", "", ""),)
    assert row.details[0].enabled, "as FusionPBX takes it"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("t", True), ("false", False), ("", False), (None, False), ("TRUE", True)],
)
def test_truth(text: str | None, expected: bool) -> None:
    assert truth(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("200", 200), ("10.00", 10), (None, 0), ("", 0), ("x", 0), ("NaN", 0), ("Infinity", 0)],
)
def test_numbers(text: str | None, expected: int) -> None:
    assert number(text) == expected


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"update_date": "2026-11-22 10:00:00.5+00", "insert_date": "2020-01-01"}, 10),
        ({"insert_date": "2026-11-22"}, 0),
    ],
)
def test_when_it_was_changed(columns: dict[str, str | None], expected: int) -> None:
    changed = Dialplan.of({"dialplan_uuid": UUID_1, **columns}).changed_at
    assert changed is not None
    assert changed.replace(microsecond=0) == datetime(2026, 11, 22, expected, tzinfo=UTC)


def test_the_uuid_depends_on_domain_and_number_only() -> None:
    one, other = UUID(int=1), UUID(int=2)
    assert uuid_of(one, "8000") == uuid_of(one, "8000")
    assert len({uuid_of(a, b) for a in (one, other) for b in ("8000", "8001")}) == 4

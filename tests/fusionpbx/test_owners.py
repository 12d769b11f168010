"""What has a number besides a dialplan, as far as a FusionPBX has tables for it."""

from __future__ import annotations

import pytest

from esl_controller.fusionpbx.owners import KINDS, Kind, columns, owner

BY_TABLE = {kind.table: kind for kind in KINDS}
EXTENSION, FAX = BY_TABLE["v_extensions"], BY_TABLE["v_fax"]

COLUMNS = {
    "v_extensions": "extension number_alias effective_caller_id_name enabled",
    "v_voicemails": "voicemail_id voicemail_enabled",
    "v_ring_groups": "ring_group_extension ring_group_name ring_group_enabled",
    "v_call_center_queues": "queue_extension queue_name",
    "v_fifo": "fifo_extension fifo_name fifo_enabled",
    "v_ivr_menus": "ivr_menu_extension ivr_menu_name ivr_menu_enabled",
    "v_conferences": "conference_extension conference_name conference_enabled",
    "v_conference_centers": "conference_center_extension conference_center_name"
    " conference_center_enabled",
    "v_call_flows": "call_flow_extension call_flow_feature_code call_flow_name call_flow_enabled",
    "v_fax": "fax_extension fax_destination_number fax_name",
}
"""Of FusionPBX's tables, those columns that are asked for, as its app/*/app_config.php names them
(source of 2026-08-21)."""


@pytest.mark.parametrize(
    ("kind", "row", "told"),
    [
        (EXTENSION, {"extension": "1002", "enabled": "true"}, "the extension 1002"),
        (EXTENSION, {"effective_caller_id_name": "Ana", "enabled": "t"}, "the extension Ana"),
        (EXTENSION, {"effective_caller_id_name": "A\x1b[2J"}, "the extension A\\x1b[2J"),
        (EXTENSION, {"extension": "1002", "enabled": "false"}, "None"),
        (FAX, {"fax_name": None, "fax_extension": "", "fax_destination_number": "9"}, "the fax 9"),
    ],
)
def test_who_it_is(kind: Kind, row: dict[str, str | None], told: str) -> None:
    assert str(owner(kind, row)) == told


def test_columns_that_there_are() -> None:
    kind = BY_TABLE["v_call_flows"]
    older = {"call_flow_extension": "text", "call_flow_name": "text"}
    assert columns(kind, older) == (
        ["call_flow_extension"],
        ["call_flow_extension", "call_flow_name"],
    )
    assert columns(kind, {}) == ([], [])


def test_no_name_is_one_that_fusionpbx_does_not_have() -> None:
    """A wrong one would be dropped as if this FusionPBX were an older one, and never find a row."""
    assert {kind.table for kind in KINDS} == COLUMNS.keys()
    for kind in KINDS:
        there = dict.fromkeys(COLUMNS[kind.table].split(), "text")
        numbers, read = columns(kind, there)
        assert tuple(numbers) == kind.numbers
        assert set(read) == there.keys(), kind.table


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.what)
def test_each_kind_owns_its_number_unless_it_is_disabled(kind: Kind) -> None:
    row = dict.fromkeys(COLUMNS[kind.table].split(), "")
    for number in kind.numbers:
        enabled = {kind.enabled: "true"} if kind.enabled else {}
        assert str(owner(kind, {**row, number: "1002", **enabled})) == f"the {kind.what} 1002"
    if kind.enabled:
        assert owner(kind, {**row, kind.numbers[0]: "1002", kind.enabled: "false"}) is None

"""What has a number besides a dialplan, as far as a FusionPBX has tables for it."""

from __future__ import annotations

import pytest

from esl_controller.fusionpbx.owners import KINDS, Kind, columns, owner

BY_TABLE = {kind.table: kind for kind in KINDS}
EXTENSION, FAX = BY_TABLE["v_extensions"], BY_TABLE["v_fax"]


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

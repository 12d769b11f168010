"""The file that is put back by --restore."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.fusionpbx import backup
from esl_controller.fusionpbx.backup import Backup
from esl_controller.fusionpbx.errors import FusionError
from esl_controller.fusionpbx.rows import DETAILS, DIALPLANS, StoredRows, uuid_of

DOMAIN = UUID("6a1f0c52-8f0e-4a53-9d0c-0d7a3a5a1b01")
OWN = str(uuid_of(DOMAIN, "8000"))
ROW = {
    "dialplan_uuid": OWN,
    "dialplan_context": "a",
    "dialplan_name": None,
    "dialplan_xml": "<é'\n",
}
WHOLE = Backup("fusionpbx", DOMAIN, "8000", StoredRows(ROW, ({"dialplan_uuid": OWN},)))


@pytest.mark.parametrize("stored", [WHOLE.stored, StoredRows(ROW), StoredRows()])
def test_it_is_read_as_it_was_written(tmp_path: Path, stored: StoredRows) -> None:
    kept = Backup("fusionpbx", DOMAIN, "8000", stored)
    backup.write(tmp_path / "b.json", kept)
    assert backup.read(tmp_path / "b.json") == kept


def test_no_file_is_overwritten(tmp_path: Path) -> None:
    backup.write(tmp_path / "b.json", WHOLE)
    for path in (tmp_path / "b.json", tmp_path / "none" / "b.json"):
        with pytest.raises(FusionError, match="nothing was changed"):
            backup.write(path, WHOLE)


@pytest.mark.parametrize(
    ("change", "mistake"),
    [
        ({"format": "another"}, "is not a backup"),
        ({"domain_uuid": "x"}, "is not a backup"),
        ({"domain_uuid": None}, "is not a backup"),
        ({"number": 8000}, "is not a backup"),
        ({"number": "8001"}, "the extension's own"),
        ({DIALPLANS: [ROW, ROW]}, "is not a backup"),
        ({DIALPLANS: []}, "is not a backup"),
        ({DIALPLANS: [{**ROW, "dialplan_uuid": str(DOMAIN)}]}, "the extension's own"),
        ({DIALPLANS: [{**ROW, "dialplan_uuid": None}]}, "the extension's own"),
        ({DIALPLANS: [{**ROW, "dialplan_context": "../../x"}]}, "has no cache of its own"),
        ({DIALPLANS: [{**ROW, "dialplan_order": 1}]}, "is not a backup"),
        ({DIALPLANS: [{**ROW, "dialplan_name": "a\0"}]}, "is not a backup"),
        ({DIALPLANS: "x"}, "is not a backup"),
        ({DETAILS: [{"dialplan_uuid": str(DOMAIN)}]}, "the extension's own"),
        ({DETAILS: [{}]}, "the extension's own"),
        ({DETAILS: None}, "is not a backup"),
    ],
)
def test_one_that_was_tampered_with_is_refused(
    tmp_path: Path, change: dict[str, Any], mistake: str
) -> None:
    path = tmp_path / "b.json"
    backup.write(path, WHOLE)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(FusionError) as caught:
        backup.read(path)
    [line] = str(caught.value).splitlines()
    assert mistake in line


@given(st.binary(max_size=40) | st.sampled_from([b"[]", b"{}", b"null", b"1", b"[" * 100_000]))
def test_any_other_file_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("b") / "b.json"
    path.write_bytes(data)
    with pytest.raises(FusionError):
        backup.read(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FusionError, match="cannot read"):
        backup.read(tmp_path / "none")

"""A file with the rows as they were before a change, for ``fusionpbx --restore``."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

from esl_controller.fusionpbx import cache
from esl_controller.fusionpbx.errors import FusionError
from esl_controller.fusionpbx.rows import DETAILS, DIALPLANS, Row, StoredRows, uuid_of

_FORMAT = "esl-controller fusionpbx 1"


@dataclass(frozen=True)
class Backup:
    """The rows of our extension for ``number``, and which FusionPBX they are from."""

    database: str
    domain: UUID
    number: str
    stored: StoredRows

    @property
    def uuid(self) -> UUID:
        """The dialplan_uuid of all its rows."""
        return uuid_of(self.domain, self.number)


def write(path: Path, backup: Backup) -> None:
    """Write a new file that only this user can read. Raises FusionError."""
    rows = [backup.stored.dialplan] if backup.stored.dialplan else []
    content = {
        "format": _FORMAT,
        "database": backup.database,
        "domain_uuid": str(backup.domain),
        "number": backup.number,
        DIALPLANS: rows,
        DETAILS: list(backup.stored.details),
    }
    try:
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(opened, "w", encoding="utf-8") as file:
            json.dump(content, file, indent=1)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise FusionError(
            f"the backup {path} cannot be written: {error.strerror}; nothing was changed"
            " (--backup FILE)"
        ) from None


def read(path: Path) -> Backup:
    """Read a file that ``write`` made. Raises FusionError, also if it was tampered with."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT:
            raise ValueError
        backup = Backup(
            database=_string(content["database"]),
            domain=UUID(content["domain_uuid"]),
            number=_string(content["number"]),
            stored=_stored(content[DIALPLANS], content[DETAILS]),
        )
    except OSError as error:
        raise FusionError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise FusionError(f"{path} is not a backup of esl-controller fusionpbx") from None
    _check(path, backup)
    return backup


def _stored(dialplans: Any, details: Any) -> StoredRows:
    rows = [_row(each) for each in dialplans]
    if len(rows) > 1 or (details and not rows):
        raise ValueError
    return StoredRows(rows[0] if rows else None, tuple(_row(each) for each in details))


def _row(row: dict[str, Any]) -> Row:
    for name, value in row.items():
        if value is not None:
            _string(value)
        _string(name)
    return row


def _string(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError
    return value


def _check(path: Path, backup: Backup) -> None:
    """Only our own extension may be in it, in a context that has a cache of its own."""
    stored = backup.stored
    for row in (*([stored.dialplan] if stored.dialplan else []), *stored.details):
        if row.get("dialplan_uuid") != str(backup.uuid):
            raise FusionError(f"{path}: dialplan_uuid is not {backup.uuid}, the extension's own")
    if stored.dialplan:
        cache.key(stored.dialplan.get("dialplan_context") or "")

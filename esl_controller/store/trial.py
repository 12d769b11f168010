"""Whether the record can be written; nothing is left behind."""

from __future__ import annotations

import os
from pathlib import Path

from esl_controller.store.database import named
from esl_controller.store.errors import StoreError, failing
from esl_controller.store.sqlite import Sqlite


async def try_writing(url: str) -> str:
    """Make a table at ``url`` and roll it back; returns the record's name. Raises StoreError.

    The record's own tables are neither made nor migrated, nor is a SQLite file made.
    """
    there = named(url)
    with failing(f"the record at {there.name} cannot be written"):
        if isinstance(there, Sqlite) and _is_new(Path(there.name)):
            return there.name
        engine = there.engine(read_only=False)
        try:
            async with engine.connect() as connection, connection.begin() as attempt:
                await connection.exec_driver_sql("CREATE TABLE esl_controller_trial (one INTEGER)")
                await attempt.rollback()
        finally:
            await engine.dispose()
    return there.name


def _is_new(file: Path) -> bool:
    """Whether the file has still to be made. Raises StoreError if it cannot be."""
    folder = file.absolute().parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise StoreError(f"{folder} is not a folder that we may write to")
    return not file.exists()

"""The record in a SQLite file: whose it is, its pragmas, its transactions."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, event
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from esl_controller.store.errors import StoreError

BUSY_TIMEOUT_MS = 5_000


@dataclass(frozen=True)
class Sqlite:
    """The database in the file ``name``."""

    name: str

    def engine(self, *, read_only: bool) -> AsyncEngine:
        """Its connections; the file is made if need be. Raises StoreError, OSError."""
        path = Path(self.name)
        _check_file(path, read_only)
        query = {"uri": "true", "mode": "ro"} if read_only else {}
        database = path.absolute().as_uri() if read_only else self.name
        target = URL.create("sqlite+aiosqlite", database=database, query=query)
        # One connection: who waits for it goes on at once when it is free, while SQLite makes who
        # waits for its lock sleep for up to 100 ms.
        one = {"pool_size": 1, "max_overflow": 0}
        engine = create_async_engine(target, hide_parameters=True, **one)
        _prepare(engine, read_only)
        return engine

    def migration_engine(self) -> AsyncEngine:
        """The same, to be migrated over."""
        return self.engine(read_only=False)


def _check_file(path: Path, read_only: bool) -> None:
    """Raises StoreError or OSError here, for aiosqlite leaves a thread behind where it cannot open
    a file."""
    if not path.exists():
        if read_only:
            raise StoreError(f"there is no record at {path}: is [store] url the controller's?")
        # It holds what people said: nobody else's business. SQLite's other files follow it.
        path.touch(mode=0o600)
    if not path.is_file():
        raise StoreError(f"{path} is no file: [store] url must name one")
    if not os.access(path, os.R_OK if read_only else os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _prepare(engine: AsyncEngine, read_only: bool) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        pragmas = [f"busy_timeout = {BUSY_TIMEOUT_MS}", "foreign_keys = ON"]
        if not read_only:
            # Safe against our own death; a power cut may take the last moments.
            pragmas += ["journal_mode = WAL", "synchronous = NORMAL"]
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # The driver begins none around a CREATE TABLE. And one that reads and then writes fails at
        # once, without the busy timeout, if another process wrote in between.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

"""The record in a SQLite file: access to the file, pragmas, transactions."""

from __future__ import annotations

import contextlib
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
        """Its connections. A missing file is made, unless ``read_only``.

        Raises StoreError, OSError.
        """
        path = Path(self.name)
        _check_file(path, read_only)
        query = {"uri": "true", "mode": "ro"} if read_only else {}
        database = path.absolute().as_uri() if read_only else self.name
        target = URL.create("sqlite+aiosqlite", database=database, query=query)
        # One connection: a task that waits for it goes on as soon as it is free. With more, tasks
        # would wait for SQLite's lock, which makes them sleep for up to 100 ms.
        one = {"pool_size": 1, "max_overflow": 0}
        engine = create_async_engine(target, hide_parameters=True, **one)
        _prepare(engine, read_only)
        return engine

    def identity(self) -> tuple[int, int] | None:
        """Which file this is; None if there is none."""
        try:
            status = os.stat(self.name)
        except OSError:
            return None
        return status.st_dev, status.st_ino

    def forget(self) -> None:
        """Remove what SQLite keeps beside a file that was deleted: it belongs to no other."""
        for end in ("-wal", "-shm"):
            with contextlib.suppress(OSError):
                os.unlink(self.name + end)

    def migration_engine(self) -> AsyncEngine:
        """Its connection for migrations."""
        return self.engine(read_only=False)


def _check_file(path: Path, read_only: bool) -> None:
    """Raise StoreError or OSError if the file cannot be used: aiosqlite would leave a thread behind
    when it cannot open it."""
    if not path.exists():
        if read_only:
            raise StoreError(f"there is no record at {path}: is [store] url the controller's?")
        # Only we may read what people said. SQLite gives its other files the same mode.
        path.touch(mode=0o600)
    elif not read_only and path.stat().st_mode & 0o077:
        # Somebody else made it, or a copy of it.
        with contextlib.suppress(PermissionError):
            path.chmod(0o600)
    if not path.is_file():
        raise StoreError(f"{path} is not a file: [store] url must name one")
    if not os.access(path, os.R_OK if read_only else os.R_OK | os.W_OK):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))


def _prepare(engine: AsyncEngine, read_only: bool) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def prepare(connection: Any, _record: object) -> None:
        pragmas = [f"busy_timeout = {BUSY_TIMEOUT_MS}", "foreign_keys = ON"]
        if not read_only:
            # Nothing is lost if we are killed; a power cut may lose the last moments.
            pragmas += ["journal_mode = WAL", "synchronous = NORMAL"]
        cursor = connection.cursor()
        for pragma in pragmas:
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine.sync_engine, "begin")
    def begin(connection: Connection) -> None:
        # The driver begins no transaction before a CREATE TABLE. IMMEDIATE, because a transaction
        # that reads first and then writes fails at once, without the busy timeout, if another
        # process has written in between.
        connection.exec_driver_sql("BEGIN" if read_only else "BEGIN IMMEDIATE")

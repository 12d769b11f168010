"""Opening the database: its URL, its pragmas, its migrations, and what can be wrong with them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

BUSY_TIMEOUT_MS = 5_000
_MIGRATIONS = Path(__file__).parent / "migrations"
_NEWER = "was written by a newer esl-controller: start that one, or set another [store] url"
_OLDER = "was written by an older esl-controller: it is brought up to date when this one serves"


class StoreError(Exception):
    """The record of the calls cannot be used; its text is one line that says what to do."""


async def open_engine(url: str, *, read_only: bool = False) -> AsyncEngine:
    """Connect to ``url`` (sqlite:///PATH), and make or migrate its tables unless ``read_only``.

    Raises StoreError.
    """
    path = _path(url)
    with failing(f"the record at {path} cannot be {'read' if read_only else 'written'}"):
        _check_file(path, read_only)
        engine = _engine(path, read_only)
        try:
            async with engine.begin() as connection:
                await connection.run_sync(_check_current if read_only else _migrate)
        except BaseException:
            await engine.dispose()
            raise
        return engine


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Tell of a database's error as a StoreError that begins with ``what``."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(f"{what}: {one_line(error)}") from None


def one_line(error: Exception) -> str:
    """What went wrong, without the statement and its parameters: they hold what people said."""
    if isinstance(error, DBAPIError):
        return str(error.orig).partition("\n")[0]
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error).partition("\n")[0]


def _path(url: str) -> Path:
    if not url:
        raise StoreError("[store] url is empty: no record is kept")
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = URL.create("")
    if parsed.drivername != "sqlite" or parsed.host or parsed.database in (None, "", ":memory:"):
        raise StoreError("[store] url must be sqlite:///FILE, or sqlite:////FILE from the root on")
    return Path(str(parsed.database))


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


def _engine(path: Path, read_only: bool) -> AsyncEngine:
    query = {"uri": "true", "mode": "ro"} if read_only else {}
    database = path.absolute().as_uri() if read_only else str(path)
    target = URL.create("sqlite+aiosqlite", database=database, query=query)
    engine = create_async_engine(target, hide_parameters=True)

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

    return engine


def _migrate(connection: Connection) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    _check(connection, ScriptDirectory.from_config(config))
    command.upgrade(config, "head")


def _check_current(connection: Connection) -> None:
    scripts = ScriptDirectory(str(_MIGRATIONS))
    if _check(connection, scripts) != scripts.get_current_head():
        raise StoreError(f"the record at {connection.engine.url.database} {_OLDER}")


def _check(connection: Connection, scripts: ScriptDirectory) -> str | None:
    """The revision of the tables, None where there are none yet. Raises StoreError."""
    revision = MigrationContext.configure(connection).get_current_revision()
    if revision not in {None, *(script.revision for script in scripts.walk_revisions())}:
        raise StoreError(f"the record at {connection.engine.url.database} {_NEWER}")
    return revision

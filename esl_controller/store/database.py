"""Opening the database that ``[store] url`` names, and its migrations."""

from __future__ import annotations

import asyncio
from pathlib import Path

import structlog
from sqlalchemy import URL, Connection, column, inspect, make_url, select, table
from sqlalchemy.exc import ArgumentError
from sqlalchemy.ext.asyncio import AsyncEngine

from esl_controller.store.errors import StoreError, failing
from esl_controller.store.postgresql import Postgresql, lock_migrations
from esl_controller.store.sqlite import Sqlite

_MIGRATIONS = Path(__file__).parent / "migrations"
_VERSION = table("alembic_version", column("version_num"))  # where Alembic keeps the revision
_NONE = "there is no record at {}: is [store] url the controller's?"
_NEWER = (
    "the record at {} was written by a newer esl-controller:"
    " start that one, or set another [store] url"
)
_OLDER = (
    "the record at {} was written by an older esl-controller:"
    " it is brought up to date when this one serves"
)


log = structlog.stdlib.get_logger(__name__)


async def open_engine(url: str, *, read_only: bool = False) -> AsyncEngine:
    """Connect to ``url``; unless ``read_only``, make or migrate the tables there.

    ``url`` is sqlite:///FILE or postgresql://USER:PASSWORD@HOST:PORT/DATABASE. Raises StoreError.
    """
    database = named(url)
    with failing(f"the record at {database.name} cannot be {'read' if read_only else 'written'}"):
        if not read_only:
            await _migrate(database)
        engine = database.engine(read_only=read_only)
        if read_only:
            try:
                async with engine.connect() as connection:
                    await connection.run_sync(_check_current, database.name)
            except BaseException:
                await engine.dispose()
                raise
        return engine


class Presence:
    """Notices that the record's file was deleted, or another one put there: what we write would go
    into a file that nobody finds."""

    def __init__(self, url: str, engine: AsyncEngine) -> None:
        self._database = named(url)
        self._engine = engine
        self._identity = self._database.identity()

    async def ensure(self) -> None:
        """Begin a new record if the file is gone."""
        found = await asyncio.to_thread(self._database.identity)
        if found == self._identity:
            return
        log.error(
            "the file of the call record was deleted or replaced: what was in it is lost, a new"
            " record is begun",
            file=self._database.name,
        )
        await self._engine.dispose()
        if found is None:
            self._database.forget()
        await _migrate(self._database)
        self._identity = self._database.identity()


def named(url: str) -> Sqlite | Postgresql:
    """The database that ``url`` names, which is not touched. Raises StoreError."""
    if not url:
        raise StoreError("[store] url is empty: no record is kept")
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        parsed = URL.create("")
    if parsed.drivername in ("postgresql", "postgresql+asyncpg"):
        return Postgresql.at(parsed)
    if parsed.drivername != "sqlite" or parsed.host or parsed.database in (None, "", ":memory:"):
        raise StoreError(
            "[store] url must be sqlite:///FILE, or sqlite:////FILE with an absolute path,"
            " or postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    return Sqlite(str(parsed.database))


async def _migrate(database: Sqlite | Postgresql) -> None:
    engine = database.migration_engine()
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade, database.name)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection, name: str) -> None:
    if connection.dialect.name == "postgresql":
        lock_migrations(connection)
    if _revision(connection, name) != revisions()[-1]:
        _run_migrations(connection)


def _run_migrations(connection: Connection) -> None:
    # Alembic takes longer to import than it takes to find that nothing is to be done, as usual.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _check_current(connection: Connection, name: str) -> None:
    revision = _revision(connection, name)
    if revision != revisions()[-1]:
        raise StoreError((_NONE if revision is None else _OLDER).format(name))


def _revision(connection: Connection, name: str) -> str | None:
    """The revision of the tables, None if there are none yet. Raises StoreError."""
    if not inspect(connection).has_table(_VERSION.name):
        return None
    revision: str | None = connection.scalar(select(_VERSION.c.version_num))
    if revision not in {None, *revisions()}:
        raise StoreError(_NEWER.format(name))
    return revision


def revisions() -> list[str]:
    """The revisions of the migrations, oldest first: how their files' names begin."""
    files = (_MIGRATIONS / "versions").glob("[0-9]*.py")
    return sorted(file.name.partition("_")[0] for file in files)

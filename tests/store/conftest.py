"""A record of its own for each test, in each of the two databases, and calls to put into it."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

from esl_controller.store import Store
from tests import postgres


class Database(Protocol):
    """Where a record is, for tests that run on both databases."""

    url: str
    reason_away: str

    def sql(self, text: str) -> str:
        """What somebody else reads there, a row a line; or writes."""

    @contextmanager
    def away(self) -> Iterator[None]:
        """Nobody but the block can use it."""


class SqliteFile:
    """A SQLite file, whether there is one or not."""

    reason_away = "database is locked"

    def __init__(self, path: Path) -> None:
        self.url = f"sqlite:///{path}"
        self._path = path

    def sql(self, text: str) -> str:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            rows = connection.execute(text).fetchall()
        return "\n".join("|".join(map(str, row)) for row in rows)

    @contextmanager
    def away(self) -> Iterator[None]:
        with closing(sqlite3.connect(self._path, isolation_level=None)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Iterator[Database]:
    if request.param == "sqlite":
        yield SqliteFile(request.getfixturevalue("path"))
        return
    made = postgres.Database(request.getfixturevalue("postgresql"))
    yield made
    made.drop()


@pytest.fixture
def url(database: Database) -> str:
    return database.url


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with Store.open(url) as store:
        yield store

"""How old calls are deleted: by the statements in the docs."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from esl_controller.call.records import ToolUsed
from esl_controller.store import Store
from esl_controller.store.records import CallStarted, Change, MessageTaken, Noted
from esl_controller.store.schema import metadata
from tests.paths import ROOT
from tests.store.conftest import Database
from tests.store.samples import UUID, deliver, turn

PAGES = ["docs/record.md", "docs/pt/record.md"]
DAY_S = 86_400.0


def documented(page: str, database: Database) -> list[str]:
    """The page's statements for this database."""
    text = (
        (ROOT / page)
        .read_text()
        .partition("-- SQLite (sqlite3 esl-controller.db)\n")[2]
        .partition("```")[0]
    )
    sqlite, postgresql = text.split("-- PostgreSQL\n")
    return (sqlite if database.url.startswith("sqlite") else postgresql).splitlines()


def rows(database: Database) -> dict[str, int]:
    of_calls = metadata.tables.keys() - {"controllers", "secretaries"}
    return {name: int(database.sql(f"SELECT count(*) FROM {name}")) for name in of_calls}


def call(uuid: str, days: float) -> tuple[Change, ...]:
    """One of so many days ago, with something in every table."""
    began = time.time() - days * DAY_S
    return (
        CallStarted(uuid, "tenant", "clinic", "+5511", "8000", began),
        turn(1, uuid),
        ToolUsed(uuid, "call_1", "book", "{}", "{}", began, 180),
        MessageTaken(uuid, "Ana", "+5511", "Call me back", began),
        Noted(uuid, began, "the model was connected again"),
        deliver("http://h/", call_uuid=uuid),
    )


@pytest.mark.parametrize("page", PAGES)
async def test_old_calls_are_deleted_with_all_that_belongs_to_them(
    store: Store, database: Database, page: str
) -> None:
    new = UUID[::-1]
    for change in (*call(UUID, 91), *call(new, 89)):
        store.put(change)
    await store.flush()
    assert set(rows(database).values()) == {2}
    delete(database, documented(page, database))
    assert set(rows(database).values()) == {1}
    assert await store.call(UUID) is None
    assert await store.call(new) is not None


def delete(database: Database, statements: list[str]) -> None:
    """As an operator does, in one connection, while the controller runs."""
    assert statements
    if not database.url.startswith("sqlite"):
        database.sql("\n".join(statements))
        return
    with closing(sqlite3.connect(database.url.removeprefix("sqlite:///"))) as connection:
        connection.executescript("\n".join(statements))

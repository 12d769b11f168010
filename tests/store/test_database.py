"""Opening: what is made, and one line for what can be wrong with either database."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from esl_controller import store
from esl_controller.store.database import open_engine, revisions
from esl_controller.store.errors import StoreError
from tests.store.conftest import Database


async def made(url: str) -> None:
    await (await open_engine(url)).dispose()


async def refused(url: str, *, read_only: bool = False) -> str:
    with pytest.raises(StoreError) as caught:
        await open_engine(url, read_only=read_only)
    line = str(caught.value)
    assert "\n" not in line
    return line


async def test_opening_it_again_changes_nothing(database: Database) -> None:
    await made(database.url)
    database.sql("INSERT INTO calls (call_uuid) VALUES ('a')")
    await made(database.url)
    assert database.sql("SELECT call_uuid FROM calls") == "a"


def test_the_revisions_are_those_that_alembic_finds() -> None:
    folder = Path(store.__file__).parent / "migrations"
    scripts = ScriptDirectory(str(folder)).walk_revisions()
    assert revisions() == [script.revision for script in scripts][::-1]


async def test_a_migration_that_fails_leaves_nothing_behind(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upgrade(config: Config, revision: str) -> None:
        real(config, revision)
        raise OSError(28, "No space left on device")

    real = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", upgrade)
        assert (await refused(database.url)).endswith(" cannot be written: No space left on device")
    assert "there is no record at" in await refused(database.url, read_only=True)
    await made(database.url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "is empty: no record is kept"),
        ("calls.db", "must be sqlite:///FILE"),
        ("sqlite://", "must be sqlite:///FILE"),
        ("sqlite:///:memory:", "must be sqlite:///FILE"),
        ("sqlite://host/calls.db", "must be sqlite:///FILE"),
        ("mysql://u:hidden@h/db", "must be sqlite:///FILE"),
        ("postgresql+psycopg://u:hidden@h/db", "or postgresql://USER:PASSWORD@HOST/DATABASE"),
        ("postgresql://u:hidden@h:port/db", "or postgresql://USER:PASSWORD@HOST/DATABASE"),
        ("postgresql://u:hidden@h", "must name a database"),
        ("postgresql://u@h/db?password=hidden", "may have ?host=DIRECTORY and ?sslmode=MODE"),
    ],
)
async def test_a_url_that_is_none(url: str, words: str) -> None:
    line = await refused(url)
    assert words in line
    assert "hidden" not in line


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_record_of_a_newer_controller(database: Database, read_only: bool) -> None:
    await made(database.url)
    database.sql("UPDATE alembic_version SET version_num = '9999'")
    assert "newer esl-controller" in await refused(database.url, read_only=read_only)


async def test_a_reader_does_not_make_or_change_anything(database: Database) -> None:
    assert "there is no record at" in await refused(database.url, read_only=True)
    await made(database.url)
    engine = await open_engine(database.url, read_only=True)
    with pytest.raises(DBAPIError, match=r"read-?only"):
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM calls"))
    await engine.dispose()
    database.sql("UPDATE alembic_version SET version_num = '0001'")
    assert "older esl-controller" in await refused(database.url, read_only=True)


async def test_an_error_does_not_tell_what_people_said(url: str) -> None:
    engine = await open_engine(url)
    with pytest.raises(DBAPIError) as caught:
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO no_table VALUES (:a)"), {"a": "my number"})
    await engine.dispose()
    assert "my number" not in str(caught.value)

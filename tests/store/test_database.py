"""Opening: what is made, and one line for everything that can be wrong."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from esl_controller.store.database import StoreError, one_line, open_engine


async def made(url: str) -> None:
    await (await open_engine(url)).dispose()


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


async def refused(url: str, *, read_only: bool = False) -> str:
    with pytest.raises(StoreError) as caught:
        await open_engine(url, read_only=read_only)
    line = str(caught.value)
    assert "\n" not in line
    return line


async def test_the_file_is_ours_alone_and_can_be_read_while_it_is_written(
    url: str, path: Path
) -> None:
    engine = await open_engine(url)
    async with engine.begin() as connection:
        values = [
            (await connection.execute(text(f"PRAGMA {name}"))).scalar_one()
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        ]
    await engine.dispose()
    assert values == ["wal", 1, 5000]
    assert mode(path) == "600"


async def test_opening_it_again_changes_nothing(url: str, path: Path) -> None:
    await made(url)
    change(path, "INSERT INTO calls (call_uuid) VALUES ('a')")
    await made(url)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT call_uuid FROM calls").fetchall() == [("a",)]


async def test_a_migration_that_fails_leaves_nothing_behind(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def upgrade(config: Config, revision: str) -> None:
        real(config, revision)
        raise OSError("power cut")

    real = command.upgrade
    with monkeypatch.context() as patch:
        patch.setattr(command, "upgrade", upgrade)
        assert "power cut" in await refused(url)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("SELECT name FROM sqlite_master").fetchall() == []
    await made(url)


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("", "is empty: no record is kept"),
        ("calls.db", "must be sqlite:///FILE"),
        ("sqlite://", "must be sqlite:///FILE"),
        ("sqlite:///:memory:", "must be sqlite:///FILE"),
        ("sqlite://host/calls.db", "must be sqlite:///FILE"),
        ("mysql://u:hidden@h/db", "must be sqlite:///FILE"),
    ],
)
async def test_a_url_that_is_none(url: str, words: str) -> None:
    line = await refused(url)
    assert words in line
    assert "hidden" not in line


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    line = await refused(f"sqlite:///{tmp_path}/no/calls.db")
    assert line.endswith("calls.db cannot be written: No such file or directory")


async def test_a_directory_is_no_record(tmp_path: Path) -> None:
    before = threading.active_count()
    line = await refused(f"sqlite:///{tmp_path}")
    assert line == f"{tmp_path} is no file: [store] url must name one"
    assert threading.active_count() == before


async def test_a_file_of_somebody_else(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await made(url)
    # Root, who may run the tests, is refused nothing.
    monkeypatch.setattr(os, "access", lambda _path, mode: not mode & os.W_OK)
    assert await refused(url) == f"the record at {path} cannot be written: Permission denied"
    await (await open_engine(url, read_only=True)).dispose()


@pytest.fixture
def text_file(path: Path) -> Path:
    path.write_text("something else " * 100)
    return path


async def test_a_file_that_is_no_record(url: str, text_file: Path) -> None:
    before = threading.active_count()
    assert await refused(url) == (
        f"the record at {text_file} cannot be written: file is not a database"
    )
    assert threading.active_count() == before


@pytest.mark.parametrize("read_only", [False, True])
async def test_a_record_of_a_newer_controller(url: str, path: Path, read_only: bool) -> None:
    await made(url)
    change(path, "UPDATE alembic_version SET version_num = '9999'")
    assert "newer esl-controller" in await refused(url, read_only=read_only)


async def test_a_reader_does_not_make_or_change_anything(url: str, path: Path) -> None:
    assert "there is no record at" in await refused(url, read_only=True)
    sqlite3.connect(path).close()  # makes an empty file
    assert "older esl-controller" in await refused(url, read_only=True)
    await made(url)
    engine = await open_engine(url, read_only=True)
    with pytest.raises(OperationalError, match="readonly"):
        async with engine.begin() as connection:
            await connection.execute(text("DELETE FROM calls"))
    await engine.dispose()


async def test_an_error_does_not_tell_what_people_said(url: str) -> None:
    engine = await open_engine(url)
    with pytest.raises(OperationalError) as caught:
        async with engine.begin() as connection:
            await connection.execute(text("INSERT INTO no_table VALUES (:a)"), {"a": "my number"})
    await engine.dispose()
    assert "my number" not in str(caught.value)


def test_an_error_is_one_line_without_what_people_said() -> None:
    error = OperationalError("INSERT", {"text": "my number"}, sqlite3.OperationalError("busy\nx"))
    assert one_line(error) == "busy"
    assert one_line(FileNotFoundError(2, "No such file", "/x")) == "No such file"
    assert one_line(ValueError("a\nb")) == "a"

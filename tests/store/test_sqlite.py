"""The record in a file: whose it is, and one line for everything that can be wrong with it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from structlog.testing import capture_logs

from esl_controller.store import Store
from esl_controller.store.database import open_engine
from tests.store.samples import turn
from tests.store.test_database import made, refused


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def mode(path: Path) -> str:
    return f"{path.stat().st_mode & 0o777:o}"


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


async def test_a_record_that_others_could_read_is_ours_alone_from_now_on(
    url: str, path: Path
) -> None:
    await made(url)
    os.chmod(path, 0o666)
    await (await open_engine(url, read_only=True)).dispose()
    assert mode(path) == "666"
    await (await open_engine(url)).dispose()
    assert mode(path) == "600"


async def test_a_file_that_is_deleted_is_noticed_and_begun_anew(url: str, path: Path) -> None:
    with capture_logs() as logs:
        async with Store.open(url) as store:
            store.put(turn(1))
            await store.flush()
            os.unlink(path)
            store.put(turn(2))
            await store.flush()
            store.put(turn(3))
            await store.flush()
            assert store.dropped == 0
    with closing(sqlite3.connect(path)) as record:
        assert record.execute("SELECT number FROM turns ORDER BY 1").fetchall() == [(2,), (3,)]
    assert mode(path) == "600"
    (line,) = [each for each in logs if each["log_level"] == "error"]
    assert line["file"] == str(path)
    assert "deleted" in line["event"]


async def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    line = await refused(f"sqlite:///{tmp_path}/no/calls.db")
    assert line.endswith("calls.db cannot be written: No such file or directory")


async def test_a_directory_is_no_record(tmp_path: Path) -> None:
    before = threading.active_count()
    line = await refused(f"sqlite:///{tmp_path}")
    assert line == f"{tmp_path} is not a file: [store] url must name one"
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
    async with asyncio.timeout(5):
        while threading.active_count() > before:  # noqa: ASYNC110
            await asyncio.sleep(0.002)


async def test_a_reader_makes_no_file(url: str, path: Path) -> None:
    expected = f"there is no record at {path}: is [store] url the controller's?"
    assert await refused(url, read_only=True) == expected
    assert os.listdir(path.parent) == []
    sqlite3.connect(path).close()  # makes an empty file
    assert await refused(url, read_only=True) == expected

"""Whether a record can be written, and that trying leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from esl_controller.store import Store, StoreError
from esl_controller.store.trial import try_writing
from tests.store.conftest import Database, SqliteFile

TABLE = "esl_controller_trial"


async def test_a_record_that_is_there_is_left_as_it_is(database: Database) -> None:
    async with Store.open(database.url):
        pass
    assert await try_writing(database.url)
    database.sql(f"CREATE TABLE {TABLE} (one INTEGER)")  # as nobody could, were it left


async def test_a_record_that_is_busy_says_so(database: Database) -> None:
    async with Store.open(database.url):
        pass
    with database.away(), pytest.raises(StoreError, match=database.reason_away):
        await try_writing(database.url)


async def test_no_file_is_made(path: Path) -> None:
    assert await try_writing(SqliteFile(path).url) == str(path)
    assert not path.exists()  # noqa: ASYNC240


async def test_a_folder_that_is_not_there(path: Path) -> None:
    with pytest.raises(StoreError, match="not a folder that we may write to"):
        await try_writing(SqliteFile(path.parent / "nowhere" / "calls.db").url)

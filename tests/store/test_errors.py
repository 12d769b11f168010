"""Errors of two drivers in one line, and which of them may pass."""

from __future__ import annotations

import socket
import sqlite3

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, Text, insert, text
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from esl_controller.store.errors import StoreError, failing, is_refusal, one_line
from tests import postgres

_NUMBERS = Table("numbers", MetaData(), Column("n", Integer, primary_key=True), Column("t", Text))


@pytest.fixture(scope="module")
def url(postgresql: postgres.Server) -> str:
    return postgresql.url("postgres")


async def failed(url: str, words: str, **values: object) -> DBAPIError:
    """What PostgreSQL says to ``words`` (empty: to ``values`` as a row of numbers)."""
    engine: AsyncEngine = create_async_engine(url, hide_parameters=True)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_NUMBERS.metadata.create_all)
            with pytest.raises(DBAPIError) as caught:
                await connection.execute(text(words) if words else insert(_NUMBERS), values or None)
    finally:
        await engine.dispose()
    return caught.value


def test_an_error_is_one_line_without_what_people_said() -> None:
    error = OperationalError("INSERT", {"text": "my number"}, sqlite3.OperationalError("busy\nx"))
    assert one_line(error) == "busy"
    assert one_line(FileNotFoundError(2, "No such file", "/x")) == "No such file"
    assert one_line(ValueError("a\nb")) == "a"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ConnectionRefusedError(111, "refused"), "refused: is PostgreSQL running there"),
        (TimeoutError(), "no answer: is PostgreSQL running there"),
        (socket.gaierror(-2, "Name not known"), "Name not known: is PostgreSQL running there"),
        (OSError("Multiple exceptions"), "Multiple exceptions: is PostgreSQL running there"),
    ],
)
def test_a_server_that_is_not_reached(error: OSError, text: str) -> None:
    assert one_line(error).startswith(text)
    assert not is_refusal(error)
    with pytest.raises(StoreError, match=f"^it failed: {text}"), failing("it failed"):
        raise error


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"n": "my number", "t": "x"}, "a value does not fit its column (DataError)"),
        ({"n": 2**40, "t": "x"}, "a value does not fit its column (DataError)"),
        ({"n": 1, "t": "a\0b"}, "a value does not fit its column (CharacterNotInRepertoireError)"),
    ],
)
async def test_a_value_that_postgresql_refuses_is_not_told(
    url: str, values: dict[str, object], told: str
) -> None:
    error = await failed(url, "", **values)
    assert one_line(error) == told
    assert is_refusal(error)


@pytest.mark.parametrize(
    ("words", "told", "refusal"),
    [
        ("INSERT INTO numbers VALUES (NULL)", "not-null constraint", True),
        ("SELECT * FROM no_table", 'relation "no_table" does not exist', False),
        ("SELECT pg_cancel_backend(pg_backend_pid())", "canceling statement", False),
        ("SELECT pg_terminate_backend(pg_backend_pid())", "administrator command", False),
    ],
)
async def test_what_postgresql_may_take_later(
    url: str, words: str, told: str, refusal: bool
) -> None:
    error = await failed(url, words)
    assert told in one_line(error)
    assert is_refusal(error) is refusal


def test_what_sqlite_may_take_later() -> None:
    assert not is_refusal(OperationalError("", {}, sqlite3.OperationalError("database is locked")))
    assert is_refusal(IntegrityError("", {}, sqlite3.IntegrityError("NOT NULL failed")))
    assert not is_refusal(PoolTimeoutError("no connection is free"))
    assert is_refusal(KeyError("a mistake of ours"))

"""A database's errors as one line that contains no password and nothing anybody said."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import (
    DBAPIError,
    InterfaceError,
    InternalError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

# SQLSTATE classes: data, integrity constraint, program limit. All others are about the server.
_REFUSALS = ("22", "23", "54")
_ADVICE = {
    "28P01": "check user and password in [store] url",
    "3D000": "make it with createdb, or set another [store] url",
    "42501": "let the user of [store] url own the database, or grant it the right",
    "53300": "raise max_connections",
}
_UNREACHED = "is PostgreSQL running there, and is [store] url right?"


class StoreError(Exception):
    """The record of the calls cannot be used; the text is one line that says what to do."""


@contextmanager
def failing(what: str) -> Iterator[None]:
    """Raise a database's error as a StoreError whose text begins with ``what``."""
    try:
        yield
    except (SQLAlchemyError, OSError) as error:
        raise StoreError(f"{what}: {one_line(error)}") from None


def one_line(error: Exception) -> str:
    """What went wrong, without the statement and its parameters: these contain what people said."""
    if isinstance(error, DBAPIError):
        cause = _cause(error)
        state = _sqlstate(cause)
        if state.startswith("22") or isinstance(cause, ValueError):
            # The error's own text repeats the value.
            return f"a value does not fit its column ({type(cause).__name__})"
        text = str(cause).partition("\n")[0]
        return f"{text}: {_ADVICE[state]}" if state in _ADVICE else text
    if isinstance(error, OSError):
        text = (error.strerror or str(error) or "no answer").partition("\n")[0]
        away = isinstance(error, ConnectionError | TimeoutError | socket.gaierror)
        return f"{text}: {_UNREACHED}" if away or error.errno is None else text
    return str(error).partition("\n")[0]


def is_refusal(error: Exception) -> bool:
    """Whether the database refuses the change itself, so that writing it again is useless.

    Otherwise the database is away, busy or full, and the same change may be written later.
    """
    if isinstance(error, OSError | PoolTimeoutError):
        return False
    if not isinstance(error, DBAPIError):
        return True
    cause = _cause(error)
    if state := _sqlstate(cause):
        return state.startswith(_REFUSALS)
    away = isinstance(error, OperationalError | InterfaceError | InternalError)
    return isinstance(cause, ValueError) or not away


def _cause(error: DBAPIError) -> BaseException:
    """The driver's own error: SQLAlchemy wraps asyncpg's in one of its own."""
    cause = error.orig and error.orig.__cause__
    return cause or error.orig or error


def _sqlstate(cause: BaseException) -> str:
    return str(getattr(cause, "sqlstate", None) or "")

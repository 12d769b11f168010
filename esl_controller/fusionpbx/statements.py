"""FusionPBX's tables for SQLAlchemy, and statements as the driver or psql takes them. [core]

Values are text, whatever the types of their columns are: each goes in as text and PostgreSQL casts
it to the column's type, which is known only from the database itself (switches are boolean in new
installs and were text in older ones).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Cast, Column, Delete, Insert, MetaData, Table, Text, Update, cast, literal
from sqlalchemy.dialects.postgresql.asyncpg import PGCompiler_asyncpg, PGDialect_asyncpg
from sqlalchemy.sql.expression import ClauseElement
from sqlalchemy.types import UserDefinedType

from esl_controller.fusionpbx.errors import FusionError
from esl_controller.fusionpbx.rows import Row

Statement = Insert | Update | Delete
"""A statement that changes rows."""


class _ColumnType(UserDefinedType[str]):
    """A type by its name in PostgreSQL (udt_name of information_schema)."""

    cache_ok = True

    def __init__(self, name: str) -> None:
        self.name = name

    def get_col_spec(self, **_: Any) -> str:
        return self.name


def table(name: str, columns: Mapping[str, str]) -> Table:
    """A table with the name of each column's type."""
    for text in (*columns, *columns.values()):
        # SQLAlchemy quotes a column's name; a type's name stands in statements as it is.
        assert re.fullmatch(r"[a-z_][a-z0-9_]*", text), text
    return Table(
        name, MetaData(), *(Column(column, _ColumnType(kind)) for column, kind in columns.items())
    )


def insert(into: Table, row: Row) -> Insert:
    """Add ``row``."""
    return into.insert().values(_cells(into, row))


def update(of: Table, row: Row, uuid: str) -> Update:
    """Give the rows of a dialplan the values of ``row``."""
    return of.update().values(_cells(of, row)).where(_is(of, uuid))


def delete(from_: Table, uuid: str) -> Delete:
    """Remove the rows of a dialplan."""
    return from_.delete().where(_is(from_, uuid))


def _cells(table: Table, row: Row) -> dict[str, Cast[Any]]:
    return {name: _cell(table, name, value) for name, value in row.items()}


def _cell(table: Table, name: str, value: str | None) -> Cast[Any]:
    return cast(literal(value, Text()), table.columns[name].type)


def _is(table: Table, uuid: str) -> Any:
    return table.columns["dialplan_uuid"] == _cell(table, "dialplan_uuid", uuid)


class _Compiler(PGCompiler_asyncpg):
    """Writes literals that are right in every setting of PostgreSQL; SQLAlchemy would ask the
    server for its ``standard_conforming_strings``, and psql has a connection of its own."""

    def render_literal_value(self, value: Any, type_: Any) -> str:
        return quoted(value)


class _Dialect(PGDialect_asyncpg):
    statement_compiler = _Compiler
    supports_statement_cache = True


_DIALECT = _Dialect()  # type: ignore[no-untyped-call]


def parameterised(statement: ClauseElement) -> tuple[str, list[Any]]:
    """For asyncpg: the text, in which no value stands, and the values of $1, $2, ..."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"render_postcompile": True})
    values = compiled.params
    order: list[str] = getattr(compiled, "positiontup", None) or []
    return str(compiled), [values[name] for name in order]


def as_text(statement: ClauseElement) -> str:
    """For people, to be run by psql. Raises FusionError for what cannot stand in PostgreSQL."""
    compiled = statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True})
    return f"{compiled};"


def quoted(value: str | None) -> str:
    """A literal of SQL that holds whatever ``value`` is, in every setting of PostgreSQL."""
    if value is None:
        return "NULL"
    if "\0" in value:
        raise FusionError(f"{value!a} cannot stand in PostgreSQL")
    doubled = value.replace("'", "''")
    return "E'" + doubled.replace("\\", "\\\\") + "'" if "\\" in value else f"'{doubled}'"

"""FusionPBX's PostgreSQL: what is in its tables, and the one transaction that changes them."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import asyncpg
from sqlalchemy import (
    ColumnElement,
    Label,
    Select,
    Table,
    Text,
    cast,
    column,
    exists,
    func,
    literal,
    or_,
    select,
    table,
)

from esl_controller.fusionpbx import statements
from esl_controller.fusionpbx.config import Config
from esl_controller.fusionpbx.errors import FusionError, NoSuchDomain, shown
from esl_controller.fusionpbx.owners import KINDS, Owner, columns, owner
from esl_controller.fusionpbx.plan import Plan
from esl_controller.fusionpbx.rows import (
    APP_UUID,
    DETAILS,
    DIALPLANS,
    Dialplan,
    Domain,
    Row,
    StoredRows,
    truth,
)
from esl_controller.fusionpbx.statements import parameterised

Query = Select[*tuple[Any, ...]]

CONNECT_S = 5.0
ANSWER_S = 10.0
_CACHE_SETTINGS = ("method", "location")
_DOMAINS_SHOWN = 20  # of those that there are, where another one was named
_ADVICE = {
    "28P01": "check database.0.username and database.0.password in {}",
    "28000": "check database.0 in {}, and who may connect in pg_hba.conf",
    "3D000": "check database.0.name in {}",
    "42501": "database.0.username in {} may not do that",
}
_UNREACHED = "is PostgreSQL running there, and is database.0 in {} right?"
# FusionPBX's domains, and PostgreSQL's own tables, as far as they are read.
_DOMAINS = table("v_domains", column("domain_uuid"), column("domain_name"))
_COLUMNS = table(
    "columns",
    *map(column, ("table_schema", "table_name", "column_name", "udt_name", "ordinal_position")),
    schema="information_schema",
)
_CLASSES = table("pg_class", column("oid"), column("relnamespace"))
_NAMESPACES = table("pg_namespace", column("oid"), column("nspname"))


@dataclass(frozen=True)
class PagesCache:
    """Where FusionPBX's pages keep the cache; its Lua handler reads config.conf instead. What a
    setting does not say is as in resources/classes/cache.php."""

    method: str = "file"
    location: str = "/var/cache/fusionpbx"

    def __str__(self) -> str:
        return self.location if self.method == "file" else self.method

    def differs_from(self, config: Config) -> bool:
        """Whether the handler looks elsewhere."""
        if self.method != config.cache_method:
            return True
        return self.method == "file" and Path(self.location) != config.cache_location


class Database:
    """A connection. Made by ``connected``; every method raises FusionError."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], config: Config) -> None:
        self.tables: Mapping[str, Table] = {}
        self._connection = connection
        self._config = config

    async def domain(self, wanted: str) -> Domain:
        """The domain with that name or uuid. Raises NoSuchDomain, too."""
        with _failing("the domains cannot be read", self._config):
            lower = func.lower(literal(wanted, Text()))
            rows = await self._fetch(
                select(_text(_DOMAINS.c.domain_uuid), _text(_DOMAINS.c.domain_name)).where(
                    or_(
                        func.lower(_DOMAINS.c.domain_name) == lower,
                        cast(_DOMAINS.c.domain_uuid, Text) == lower,
                    )
                )
            )
            if len(rows) == 1:
                return Domain(UUID(rows[0]["domain_uuid"]), rows[0]["domain_name"])
            known = await self._fetch(
                select(_text(_DOMAINS.c.domain_name))
                .order_by(_DOMAINS.c.domain_name)
                .limit(_DOMAINS_SHOWN)
            )
        names = ", ".join(shown(row["domain_name"]) for row in known) or "none"
        how = "is several domains" if rows else "is no domain"
        raise NoSuchDomain(f"{wanted!a} {how} of this FusionPBX; there are: {names}")

    async def stored(self, uuid: UUID | str, *, lock: bool = False) -> StoredRows:
        """The rows with a dialplan_uuid; ``lock``: kept as they are until the transaction ends."""
        with _failing("the dialplans cannot be read", self._config):
            found = await self._of(DIALPLANS, uuid, lock=lock)
            details = await self._of(DETAILS, uuid, lock=lock)
        details.sort(key=lambda row: row["dialplan_detail_uuid"] or "")
        return StoredRows(found[0] if found else None, tuple(details))

    async def dialplans(self, context: str) -> list[Dialplan]:
        """The dialplans of a context in its order, the disabled ones included, without details.

        Rows of three contexts make up one that is served (docs/design/fusionpbx.md#what-is-served);
        those for one host count, too.
        """
        with _failing("the dialplans cannot be read", self._config):
            there = self.tables[DIALPLANS].columns
            rows = await self._rows(
                self._all(DIALPLANS)
                .where(_is_in(there["dialplan_context"], context, "${domain_name}", "global"))
                .order_by(there["dialplan_order"])
            )
        return [Dialplan.of(row) for row in rows]

    async def ours(self, *, orphaned: bool = False) -> list[Dialplan]:
        """The extensions that we installed; ``orphaned``: instead those whose domain is gone."""
        with _failing("the dialplans cannot be read", self._config):
            there = self.tables[DIALPLANS].columns
            domain = exists().where(_DOMAINS.c.domain_uuid == there["domain_uuid"])
            rows = await self._rows(
                self._all(DIALPLANS)
                .where(_is_in(there["app_uuid"], str(APP_UUID)), ~domain if orphaned else domain)
                .order_by(there["dialplan_context"], there["dialplan_number"])
            )
        return [
            Dialplan.of(row, (await self.stored(row["dialplan_uuid"] or "")).details)
            for row in rows
        ]

    async def owners(self, domain: UUID, number: str) -> list[Owner]:
        """What else has the number in a domain, and is enabled."""
        found: list[Owner | None] = []
        with _failing("the numbers cannot be read", self._config):
            for kind in KINDS:
                there = {
                    row["column_name"]: row["udt_name"]
                    for row in await self._fetch(_columns_of(kind.table))
                }
                numbers, read = columns(kind, there)
                if not numbers or "domain_uuid" not in there:
                    continue
                known = statements.table(kind.table, there).columns
                has = [_is_in(known[name], number) for name in numbers]
                rows = await self._rows(
                    select(*(_text(known[name]) for name in read)).where(
                        _is_in(known["domain_uuid"], str(domain)), or_(*has)
                    )
                )
                found += [owner(kind, row) for row in rows]
        return [each for each in found if each is not None]

    async def pages_cache(self) -> PagesCache | None:
        """Where FusionPBX's pages keep the cache; None if nothing there says so."""
        name, prefix = "v_default_settings", "default_setting_"
        with _failing("the default settings cannot be read", self._config):
            there = {
                row["column_name"]: row["udt_name"] for row in await self._fetch(_columns_of(name))
            }
            wanted = [f"{prefix}{each}" for each in ("category", "subcategory", "value", "enabled")]
            if not there.keys() >= set(wanted):
                return None
            known = statements.table(name, there).columns
            rows = await self._rows(
                select(*(_text(known[each]) for each in wanted)).where(
                    _is_in(known[wanted[0]], "cache"), _is_in(known[wanted[1]], *_CACHE_SETTINGS)
                )
            )
        found = {row[wanted[1]]: row[wanted[2]] for row in rows if truth(row[wanted[3]])}
        said = {key or "": value for key, value in found.items() if value}
        return PagesCache(**said) if rows else None

    async def apply(self, plan: Plan) -> None:
        """Make the plan's change, all of it or nothing."""
        with _failing("nothing was changed", self._config):
            async with self._connection.transaction():
                if await self.stored(plan.uuid, lock=True) != plan.before:
                    raise FusionError("somebody else has changed the rows meanwhile: begin again")
                for statement in plan.statements():
                    text, values = parameterised(statement)
                    await self._connection.execute(text, *values)

    def _all(self, name: str) -> Query:
        return select(*map(_text, self.tables[name].columns))

    async def _of(self, name: str, uuid: UUID | str, *, lock: bool) -> list[Row]:
        """A dialplan's rows in one of the two tables."""
        theirs = self.tables[name].columns["dialplan_uuid"]
        statement = self._all(name).where(_is_in(theirs, str(uuid)))
        return await self._rows(statement.with_for_update() if lock else statement)

    async def _rows(self, statement: Query) -> list[Row]:
        return [dict(row) for row in await self._fetch(statement)]

    async def _fetch(self, statement: Query) -> list[asyncpg.Record]:
        text, values = parameterised(statement)
        return list(await self._connection.fetch(text, *values))

    async def read_tables(self) -> None:
        """Learn the columns of the two tables, and their types."""
        with _failing("the tables cannot be read", self._config):
            for name in (DIALPLANS, DETAILS):
                rows = await self._fetch(_columns_of(name))
                if not rows:
                    raise FusionError(
                        f"the database {self._config.database!r} has no table {name}:"
                        " it is not FusionPBX's"
                    )
                columns = {row["column_name"]: row["udt_name"] for row in rows}
                self.tables = {**self.tables, name: statements.table(name, columns)}


def _columns_of(name: str) -> Query:
    """The columns of the table that is meant by ``name`` without a schema, with their types."""
    meant = (
        select(_NAMESPACES.c.nspname)
        .join_from(_CLASSES, _NAMESPACES, _NAMESPACES.c.oid == _CLASSES.c.relnamespace)
        .where(_CLASSES.c.oid == func.to_regclass(cast(name, Text)))
        .scalar_subquery()
    )
    return (
        select(_text(_COLUMNS.c.column_name), _text(_COLUMNS.c.udt_name))
        .where(_is_in(_COLUMNS.c.table_name, name), _COLUMNS.c.table_schema == meant)
        .order_by(_COLUMNS.c.ordinal_position)
    )


def _text(column: ColumnElement[Any]) -> Label[str]:
    """A column read as text, under its own name."""
    return cast(column, Text).label(getattr(column, "name", None))


def _is_in(column: ColumnElement[Any], *values: str) -> ColumnElement[bool]:
    """Whether a column, read as text, has one of these values."""
    return cast(column, Text).in_(values)


@contextlib.asynccontextmanager
async def connected(config: Config) -> AsyncIterator[Database]:
    """A connection to FusionPBX's database. Raises FusionError."""
    where = f"{config.database} at {config.host}:{config.port}"
    with _failing(f"FusionPBX's database {where} cannot be reached", config):
        connection = await asyncpg.connect(
            host=config.host,
            port=config.port,
            user=config.username,
            password=config.password,
            database=config.database,
            ssl=config.sslmode,
            timeout=CONNECT_S,
            command_timeout=ANSWER_S,
            # Times are read as text and written back, so always in the same zone.
            server_settings={"application_name": "esl-controller", "TimeZone": "UTC"},
        )
    try:
        database = Database(connection, config)
        await database.read_tables()
        yield database
    finally:
        await connection.close()


@contextlib.contextmanager
def _failing(what: str, config: Config) -> Iterator[None]:
    """Turn a database's error into a FusionError that begins with ``what``."""
    try:
        yield
    # UnicodeError: a host that cannot be a name.
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, UnicodeError) as error:
        text = shown(str(error).partition("\n")[0] or "no answer")
        state = str(getattr(error, "sqlstate", None) or "")
        advice = _UNREACHED if isinstance(error, OSError | UnicodeError) else _ADVICE.get(state, "")
        told = f"{text}: {advice.format(config.path)}" if advice else text
        raise FusionError(f"{what}: {told}") from None

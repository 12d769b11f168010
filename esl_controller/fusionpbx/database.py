"""FusionPBX's PostgreSQL: its tables, what is in them, and one transaction that changes it."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping
from uuid import UUID

import asyncpg

from esl_controller.fusionpbx.config import Config
from esl_controller.fusionpbx.errors import FusionError, NoSuchDomain, shown
from esl_controller.fusionpbx.plan import Plan
from esl_controller.fusionpbx.rows import (
    APP_UUID,
    DETAILS,
    DIALPLANS,
    Dialplan,
    Domain,
    Row,
    StoredRows,
    Table,
)

CONNECT_S = 5.0
ANSWER_S = 10.0
_ADVICE = {
    "28P01": "check database.0.username and database.0.password in {}",
    "28000": "check database.0 in {}, and who may connect in pg_hba.conf",
    "3D000": "check database.0.name in {}",
    "42501": "database.0.username in {} may not do that",
}
_UNREACHED = "is PostgreSQL running there, and is database.0 in {} right?"
_COLUMNS = """
SELECT column_name::text, udt_name::text FROM information_schema.columns
WHERE table_name = $1 AND table_schema = (
    SELECT nspname FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE pg_class.oid = to_regclass($1::text)
) ORDER BY ordinal_position
"""


class Database:
    """A connection. Made by ``connected``; every method raises FusionError."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record], config: Config) -> None:
        self.tables: Mapping[str, Table] = {}
        self._connection = connection
        self._config = config

    async def domain(self, wanted: str) -> Domain:
        """The domain of that name or uuid."""
        with _failing("the domains cannot be read", self._config):
            rows = await self._connection.fetch(
                "SELECT domain_uuid::text, domain_name::text FROM v_domains"
                " WHERE lower(domain_name) = lower($1) OR domain_uuid::text = lower($1)",
                wanted,
            )
            if len(rows) == 1:
                return Domain(UUID(rows[0]["domain_uuid"]), rows[0]["domain_name"])
            known = await self._connection.fetch(
                "SELECT domain_name::text FROM v_domains ORDER BY domain_name LIMIT 20"
            )
        names = ", ".join(shown(row["domain_name"]) for row in known) or "none"
        how = "is several domains" if rows else "is no domain"
        raise NoSuchDomain(f"{wanted!a} {how} of this FusionPBX; there are: {names}")

    async def stored(self, uuid: UUID | str, *, lock: bool = False) -> StoredRows:
        """What is there under a dialplan_uuid; ``lock`` keeps it so until the transaction ends."""
        with _failing("the dialplans cannot be read", self._config):
            where = "dialplan_uuid::text = $1" + (" FOR UPDATE" if lock else "")
            found = await self._rows(DIALPLANS, where, str(uuid))
            details = await self._rows(DETAILS, where, str(uuid))
        details.sort(key=lambda row: row["dialplan_detail_uuid"] or "")
        return StoredRows(found[0] if found else None, tuple(details))

    async def dialplans(self, context: str) -> list[Dialplan]:
        """All of a context in its order, without their details; disabled ones are not served.

        A context is made of three in the tables (docs/design/fusionpbx.md#what-is-served). Rows for
        one host count, too.
        """
        with _failing("the dialplans cannot be read", self._config):
            rows = await self._rows(
                DIALPLANS,
                "dialplan_context IN ($1, '${domain_name}', 'global')"
                # The table's column, a number: what is selected by that name is text.
                f" ORDER BY {DIALPLANS}.dialplan_order",
                context,
            )
        return [Dialplan.of(row) for row in rows]

    async def ours(self, *, orphaned: bool = False) -> list[Dialplan]:
        """All extensions that we installed; or ``orphaned``: those whose domain is gone."""
        domain = f"EXISTS (SELECT FROM v_domains d WHERE d.domain_uuid = {DIALPLANS}.domain_uuid)"
        with _failing("the dialplans cannot be read", self._config):
            rows = await self._rows(
                DIALPLANS,
                f"app_uuid::text = $1 AND {'NOT ' if orphaned else ''}{domain}"
                " ORDER BY dialplan_context, dialplan_number",
                str(APP_UUID),
            )
        return [
            Dialplan.of(row, (await self.stored(row["dialplan_uuid"] or "")).details)
            for row in rows
        ]

    async def apply(self, plan: Plan) -> None:
        """Change what the plan says, all or nothing."""
        with _failing("nothing was changed", self._config):
            async with self._connection.transaction():
                if await self.stored(plan.uuid, lock=True) != plan.before:
                    raise FusionError("somebody else has changed the rows meanwhile: begin again")
                for statement in plan.statements():
                    text, values = statement.parameterised()
                    await self._connection.execute(text, *values)

    async def _rows(self, table: str, where: str, value: str) -> list[Row]:
        cells = ", ".join(f"{name}::text AS {name}" for name in self.tables[table].columns)
        # Only names of columns stand in it, which Table has checked.
        found = await self._connection.fetch(
            f"SELECT {cells} FROM {table} WHERE {where}",  # noqa: S608
            value,
        )
        return [dict(row) for row in found]

    async def read_tables(self) -> None:
        """Find out the tables' columns and types."""
        with _failing("the tables cannot be read", self._config):
            for name in (DIALPLANS, DETAILS):
                rows = await self._connection.fetch(_COLUMNS, name)
                if not rows:
                    raise FusionError(
                        f"the database {self._config.database!r} has no table {name}:"
                        " it is not FusionPBX's"
                    )
                columns = {row["column_name"]: row["udt_name"] for row in rows}
                self.tables = {**self.tables, name: Table(name, columns)}


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
            # Times are read as text and written back: in one zone.
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
    """Tell of a database's error as a FusionError that begins with ``what``."""
    try:
        yield
    # UnicodeError: a host that can be no name.
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, UnicodeError) as error:
        text = shown(str(error).partition("\n")[0] or "no answer")
        state = str(getattr(error, "sqlstate", None) or "")
        advice = _UNREACHED if isinstance(error, OSError | UnicodeError) else _ADVICE.get(state, "")
        told = f"{text}: {advice.format(config.path)}" if advice else text
        raise FusionError(f"{what}: {told}") from None

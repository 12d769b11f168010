"""The record in PostgreSQL: its URL, and the time limits on it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection, NullPool, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from esl_controller.store.errors import StoreError

CONNECTIONS = 5  # of one controller: for the writer, the outbox and calls that are claimed
CONNECT_S = 5.0
ANSWER_S = 5.0  # for one statement
_MIGRATION_LOCK = int.from_bytes(b"esl-call", "big")  # any number that nobody else uses
_QUERY = {
    "host": "host",
    "ssl": "ssl",
    "sslmode": "ssl",
}  # a URL's parameter: asyncpg's


@dataclass(frozen=True)
class Postgresql:
    """The database at ``url``, through asyncpg. Its repr has no password."""

    url: URL

    @classmethod
    def at(cls, url: URL) -> Postgresql:
        """The database that ``[store] url`` names. Raises StoreError."""
        if not url.database:
            raise StoreError("[store] url must name a database: postgresql://USER@HOST/DATABASE")
        if not url.query.keys() <= _QUERY.keys():
            raise StoreError("[store] url may have ?host=DIRECTORY and ?sslmode=MODE, nothing else")
        query = {_QUERY[name]: value for name, value in url.query.items()}
        return cls(url.set(drivername="postgresql+asyncpg", query=query))

    @property
    def name(self) -> str:
        """Its URL for people, without user and password."""
        host = self.url.host or self.url.query.get("host", "localhost")
        return f"postgresql://{host}:{self.url.port or 5432}/{self.url.database}"

    def engine(self, *, read_only: bool) -> AsyncEngine:
        """Its connections, each made when it is needed and tested before it is used."""
        # Neither a silent server or network, nor the locks of a controller that hangs, may keep the
        # record waiting for ever.
        milliseconds = str(int(ANSWER_S * 1000))
        server_settings = {
            "application_name": "esl-controller",
            "statement_timeout": milliseconds,
            "idle_in_transaction_session_timeout": milliseconds,
            "default_transaction_read_only": "on" if read_only else "off",
        }
        return self._engine(
            pool_size=CONNECTIONS,
            max_overflow=0,
            pool_timeout=CONNECT_S,
            pool_pre_ping=True,
            connect_args={
                "timeout": CONNECT_S,
                "command_timeout": ANSWER_S,
                "server_settings": server_settings,
            },
        )

    def identity(self) -> None:
        """A server's database is not deleted while we are connected."""

    def forget(self) -> None:
        """There is nothing beside it."""

    def migration_engine(self) -> AsyncEngine:
        """Its connections, without time limits for statements: a migration may take long."""
        return self._engine(poolclass=NullPool, connect_args={"timeout": CONNECT_S})

    def _engine(self, **options: Any) -> AsyncEngine:
        # The lock for migrations and the epochs rely on reading what others have committed.
        return create_async_engine(
            self.url, hide_parameters=True, isolation_level="READ COMMITTED", **options
        )


def lock_migrations(connection: Connection) -> None:
    """Keep other controllers from migrating until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))

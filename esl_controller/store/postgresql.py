"""The record in PostgreSQL: its address, and how long it may keep us waiting."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import URL, Connection, NullPool, func, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from esl_controller.store.errors import StoreError

CONNECTIONS = 5  # of a controller: the writer, the webhooks, and calls that are taken over
CONNECT_S = 5.0
ANSWER_S = 5.0  # to one statement
_MIGRATION_LOCK = int.from_bytes(b"esl-call", "big")  # any number that is only ours
_QUERY = {"host": "host", "ssl": "ssl", "sslmode": "ssl"}  # of a URL, and what asyncpg calls it


@dataclass(frozen=True)
class Postgresql:
    """The database at ``url``, whose driver is asyncpg. Its repr has no password."""

    url: URL

    @classmethod
    def at(cls, url: URL) -> Postgresql:
        """What ``[store] url`` names. Raises StoreError."""
        if not url.database:
            raise StoreError("[store] url must name a database: postgresql://USER@HOST/DATABASE")
        if not url.query.keys() <= _QUERY.keys():
            raise StoreError("[store] url may have ?host=DIRECTORY and ?sslmode=MODE, nothing else")
        query = {_QUERY[name]: value for name, value in url.query.items()}
        return cls(url.set(drivername="postgresql+asyncpg", query=query))

    @property
    def name(self) -> str:
        """Its address for people: no user, no password."""
        host = self.url.host or self.url.query.get("host", "localhost")
        return f"postgresql://{host}:{self.url.port or 5432}/{self.url.database}"

    def engine(self, *, read_only: bool) -> AsyncEngine:
        """Its connections, each made when it is needed and tried before it is used."""
        # A server or a network that falls silent must not keep the record waiting for ever; nor
        # may locks of a controller that fell silent.
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

    def migration_engine(self) -> AsyncEngine:
        """Its connections without a limit of time: a migration takes as long as it takes."""
        return self._engine(poolclass=NullPool, connect_args={"timeout": CONNECT_S})

    def _engine(self, **options: Any) -> AsyncEngine:
        # The lock of the migrations, and the epochs, rely on reading what others committed.
        return create_async_engine(
            self.url, hide_parameters=True, isolation_level="READ COMMITTED", **options
        )


def lock_migrations(connection: Connection) -> None:
    """Have the migrations to ourselves until the transaction ends."""
    connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))

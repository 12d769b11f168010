"""Reading the record of the calls, and the webhooks that wait."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from esl_controller.events import Usage
from esl_controller.store import schema
from esl_controller.store.database import open_engine
from esl_controller.store.errors import failing
from esl_controller.store.records import (
    INTERRUPTED,
    CallSummary,
    Heartbeat,
    MessageTaken,
    Noted,
    StoredCall,
    ToolUsed,
    Turn,
    Unfinished,
)

_USAGE = {field.name for field in fields(Usage)}
_NOT_TOLD = ("owner", "epoch", "memory", "call_ended_url")


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Reader]:
    """A reader of a record that others may be writing. Raises StoreError."""
    engine = await open_engine(url, read_only=True)
    try:
        yield Reader(engine)
    finally:
        await engine.dispose()


class Reader:
    """What is written down. Each method raises StoreError where the database does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine

    async def call(self, call_uuid: str) -> StoredCall | None:
        """The whole record of a call, None if there is none."""
        calls, turns, tools = schema.calls, schema.turns, schema.tools
        messages, notes = schema.messages, schema.notes
        async with self._connection() as connection:
            found = await connection.execute(select(calls).where(calls.c.call_uuid == call_uuid))
            row = found.first()
            if row is None:
                return None

            async def parts(table: Table, *order: ColumnElement[Any]) -> list[dict[str, Any]]:
                query = select(table).where(table.c.call_uuid == call_uuid).order_by(*order)
                return [dict(part) for part in (await connection.execute(query)).mappings()]

            return StoredCall(
                **_call(row),
                turns=[Turn(**part) for part in await parts(turns, turns.c.number)],
                tools=[ToolUsed(**part) for part in await parts(tools, tools.c.at)],
                messages=[MessageTaken(**part) for part in await parts(messages, messages.c.at)],
                notes=[Noted(**part) for part in await parts(notes, notes.c.at)],
            )

    async def recent(self, limit: int) -> list[CallSummary]:
        """The last ``limit`` calls, the newest first."""
        query = (
            select(schema.calls)
            .order_by(schema.calls.c.started_at.desc().nulls_last())
            .limit(limit)
        )
        return [CallSummary(**_call(row)) for row in await self._all(query)]

    async def unfinished(self) -> list[Unfinished]:
        """The calls that live, or may go on, the oldest first."""
        calls = schema.calls
        query = (
            select(*(calls.c[field.name] for field in fields(Unfinished)))
            .where(calls.c.outcome.in_(("", INTERRUPTED)))
            .order_by(calls.c.started_at.nulls_first())
        )
        return [Unfinished(**row._mapping) for row in await self._all(query)]

    async def controllers(self) -> list[Heartbeat]:
        """The last heartbeat of each controller, by name."""
        query = select(schema.controllers).order_by(schema.controllers.c.name)
        return [Heartbeat(**row._mapping) for row in await self._all(query)]

    async def next_due(self) -> float | None:
        """When the next webhook is to be sent, None if none waits."""
        [(at,)] = await self._all(select(func.min(schema.deliveries.c.due_at)))
        return None if at is None else float(at)

    async def _all(self, query: Select[Any]) -> list[Row[Any]]:
        async with self._connection() as connection:
            return list(await connection.execute(query))

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[AsyncConnection]:
        with failing("the call record cannot be read"):
            async with self._engine.begin() as connection:
                yield connection


def _call(row: Row[Any]) -> dict[str, Any]:
    whole = {name: value for name, value in row._mapping.items() if name not in _NOT_TOLD}
    usage = Usage(**{name: whole.pop(name) for name in _USAGE})
    return {**whole, "usage": usage}

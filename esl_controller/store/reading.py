"""Reading the record of the calls, and when the next delivery is due."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import Row, Select, Table, func, select
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from esl_controller.call.agent import Usage
from esl_controller.call.records import ToolUsed, Turn
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
    UnfinishedCall,
)

_USAGE = {field.name for field in fields(Usage)}
FINISH_S = 1.0
_Found = TypeVar("_Found")
_Part = TypeVar("_Part", Turn, ToolUsed, MessageTaken, Noted)
_INTERNAL = ("owner", "epoch", "memory", "call_ended_url", "created_us", "secretary_id")


@asynccontextmanager
async def reading(url: str) -> AsyncIterator[Reader]:
    """Read a record that others may be writing. Raises StoreError."""
    engine = await open_engine(url, read_only=True)
    reader = Reader(engine)
    try:
        yield reader
    finally:
        await reader.finish()
        await engine.dispose()


class Reader:
    """Reads the record. Each method raises StoreError if the database does not answer."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._under_way: set[asyncio.Task[Any]] = set()

    async def finish(self) -> None:
        """Wait for transactions whose caller was cancelled, for at most ``FINISH_S``."""
        if self._under_way:
            await asyncio.wait(self._under_way, timeout=FINISH_S)

    async def call(self, call_uuid: str, last: int | None = None) -> StoredCall | None:
        """The whole record of a call, None if there is none. ``last``: of its turns, tools,
        messages and notes only so many of each, the newest."""
        calls = schema.calls

        async def read(connection: AsyncConnection) -> StoredCall | None:
            found = await connection.execute(select(calls).where(calls.c.call_uuid == call_uuid))
            row = found.first()
            if row is None:
                return None

            async def parts(kind: type[_Part], table: Table, order: str) -> list[_Part]:
                query = (
                    select(*(table.c[field.name] for field in fields(kind)))
                    .where(table.c.call_uuid == call_uuid)
                    .order_by(table.c[order] if last is None else table.c[order].desc())
                    .limit(None if last is None else last + 1)  # one more tells of more
                )
                found = [kind(*part) for part in await connection.execute(query)]
                return found if last is None else found[::-1]

            call = StoredCall(
                **_call(row),
                turns=await parts(Turn, schema.turns, "number"),
                tools=await parts(ToolUsed, schema.tools, "at"),
                messages=await parts(MessageTaken, schema.messages, "at"),
                notes=await parts(Noted, schema.notes, "at"),
            )
            return call if last is None else call.newest(last)

        return await self._whole(read)

    async def recent(self, limit: int) -> list[CallSummary]:
        """The last ``limit`` calls, the newest first."""
        query = (
            select(schema.calls)
            .order_by(schema.calls.c.started_at.desc().nulls_last())
            .limit(limit)
        )
        return [CallSummary(**_call(row)) for row in await self._all(query)]

    async def unfinished(self) -> list[UnfinishedCall]:
        """The calls that are live or may go on, the oldest first."""
        calls = schema.calls
        query = (
            select(*(calls.c[field.name] for field in fields(UnfinishedCall)))
            .where(calls.c.outcome.in_(("", INTERRUPTED)))
            .order_by(calls.c.started_at.nulls_first())
        )
        return [UnfinishedCall(**row._mapping) for row in await self._all(query)]

    async def controllers(self) -> list[Heartbeat]:
        """The last heartbeat of each controller, by name."""
        query = select(schema.controllers).order_by(schema.controllers.c.name)
        return [Heartbeat(**row._mapping) for row in await self._all(query)]

    async def last_secretaries(self, files: Collection[str]) -> dict[str, str]:
        """The secretary that came into force last of each of these files, as JSON."""
        kept = schema.secretaries.c
        query = (
            select(kept.file, kept.definition).where(kept.file.in_(files)).order_by(kept.kept_at)
        )
        return {row.file: row.definition for row in await self._all(query)}

    async def next_due(self) -> float | None:
        """When the next delivery is due, as Unix time; None if none waits."""
        [(at,)] = await self._all(select(func.min(schema.deliveries.c.due_at)))
        return None if at is None else float(at)

    async def _all(self, query: Select[Any]) -> list[Row[Any]]:
        async def read(connection: AsyncConnection) -> list[Row[Any]]:
            return list(await connection.execute(query))

        return await self._whole(read)

    async def _whole(self, work: Callable[[AsyncConnection], Awaitable[_Found]]) -> _Found:
        """Do ``work`` in a transaction, and finish it even if the caller is cancelled.

        A transaction that is cancelled half way may keep SQLite's lock, and then nobody can write.
        """
        return await asyncio.shield(self._start(work))

    def _start(self, work: Callable[[AsyncConnection], Awaitable[_Found]]) -> asyncio.Task[_Found]:
        task = asyncio.create_task(self._transaction(work))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)
        return task

    async def _transaction(self, work: Callable[[AsyncConnection], Awaitable[_Found]]) -> _Found:
        with failing("the call record cannot be read"):
            async with self._engine.begin() as connection:
                return await work(connection)


def _call(row: Row[Any]) -> dict[str, Any]:
    whole = {name: value for name, value in row._mapping.items() if name not in _INTERNAL}
    usage = Usage(**{name: whole.pop(name) for name in _USAGE})
    return {**whole, "usage": usage}

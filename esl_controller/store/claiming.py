"""What one controller has at a time: a call, which another may take over, and a webhook."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from sqlalchemy import ColumnElement, Row, Table, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esl_controller.store import schema
from esl_controller.store.records import HISTORY, Claimed, Delivery, ToolUsed, Turn
from esl_controller.store.statements import new_call


async def claim(connection: AsyncConnection, call_uuid: str, owner: str) -> Claimed:
    """Make a call ``owner``'s, known or not.

    Of a long call it returns the last ``HISTORY`` turns, and function calls.
    One statement counts the epoch up, so of two that claim at once the later one has the call.
    """
    calls = schema.calls
    await connection.execute(new_call(connection.dialect.name), [{"call_uuid": call_uuid}])
    claimed = await connection.execute(
        update(calls)
        .where(calls.c.call_uuid == call_uuid)
        .values(epoch=calls.c.epoch + 1, owner=owner, ended_at=None, cause="", outcome="")
        .returning(calls.c.epoch, calls.c.memory)
    )
    epoch, memory = claimed.one()

    async def last(table: Table, order: ColumnElement[Any]) -> list[Row[Any]]:
        query = select(table).where(table.c.call_uuid == call_uuid)
        found = await connection.execute(query.order_by(order.desc()).limit(HISTORY))
        return list(reversed(found.all()))

    return Claimed(
        epoch,
        memory,
        [Turn(**row._mapping) for row in await last(schema.turns, schema.turns.c.number)],
        [ToolUsed(**row._mapping) for row in await last(schema.tools, schema.tools.c.at)],
    )


async def lost(connection: AsyncConnection, epochs: Mapping[str, int]) -> list[str]:
    """Which of the calls, with the epoch under which each is ours, somebody else has by now."""
    calls = schema.calls
    query = select(calls.c.call_uuid, calls.c.epoch).where(calls.c.call_uuid.in_(epochs))
    return [uuid for uuid, epoch in await connection.execute(query) if epoch > epochs[uuid]]


async def take_due(
    connection: AsyncConnection, now: float, limit: int, until: float
) -> list[Delivery]:
    """Webhooks that are due at ``now``, put off until ``until`` so that nobody else takes them."""
    table = schema.deliveries
    # SQLite has no row locks and needs none: it has one writer.
    due = (
        select(table.c.id)
        .where(table.c.due_at <= now)
        .order_by(table.c.attempts, table.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    taken = await connection.execute(
        update(table)
        .where(table.c.id.in_(select(due.c.id)))
        .values(due_at=until)
        .returning(*(table.c[field.name] for field in fields(Delivery)))
    )
    found = [Delivery(**row._mapping) for row in taken]
    return sorted(found, key=lambda delivery: (delivery.attempts, delivery.at))

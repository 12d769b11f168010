"""Ending the record of a lost call: one that no controller has any more."""

from __future__ import annotations

import time

from sqlalchemy import case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esl_controller.store import schema
from esl_controller.store.records import LOST, DeliveryQueued, Noted, UnfinishedCall
from esl_controller.store.statements import entry, write


async def end_lost(
    connection: AsyncConnection, call: UnfinishedCall, note: str, seen_at: float | None
) -> bool:
    """End the record of ``call`` and queue its ``call_ended`` delivery, if it is still lost.

    The call ended at the last moment known of it: ``seen_at``, or what was recorded later. False if
    the call went on, or ended, meanwhile. One statement decides that, so only one of several
    controllers ends the call, and does all of it or nothing.
    """
    calls = schema.calls
    first, last = await _known(connection, call.call_uuid)
    ended_at = max((at for at in (first, last, seen_at) if at is not None), default=time.time())
    ended = await connection.execute(
        update(calls)
        .where(
            calls.c.call_uuid == call.call_uuid,
            calls.c.epoch == call.epoch,
            calls.c.outcome == call.outcome,
        )
        .values(
            outcome=LOST,
            cause=case((calls.c.cause == "", "its controller was lost"), else_=calls.c.cause),
            ended_at=func.coalesce(calls.c.ended_at, ended_at),
            # A call without a start would never be old enough to be deleted.
            started_at=func.coalesce(calls.c.started_at, ended_at if first is None else first),
        )
        .returning(calls.c.call_ended_url)
    )
    url = ended.scalar()
    if url is None:
        return False
    key = f"{call.call_uuid}-lost-{call.epoch}"
    changes = [entry(Noted(call.call_uuid, time.time(), note, key))]
    if url:
        changes.append(entry(DeliveryQueued(url, "call_ended", "", call.call_uuid, key)))
    await write(connection, changes)
    return True


async def _known(connection: AsyncConnection, call_uuid: str) -> tuple[float | None, float | None]:
    """When the first and the last recorded thing happened in a call."""
    calls, turns, tools, messages = schema.calls, schema.turns, schema.tools, schema.messages
    times: list[float] = []
    for column in (
        *(calls.c.started_at, turns.c.started_at, turns.c.ended_at),
        *(tools.c.at, messages.c.at),
    ):
        of_call = column.table.c.call_uuid == call_uuid
        query = select(func.min(column), func.max(column)).where(of_call)
        times += [at for at in (await connection.execute(query)).one() if at is not None]
    return min(times, default=None), max(times, default=None)

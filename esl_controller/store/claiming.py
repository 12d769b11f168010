"""Taking over a call from whoever had it, and noticing that somebody else did."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esl_controller.store import schema
from esl_controller.store.statements import new_call


async def claim(connection: AsyncConnection, call_uuid: str, owner: str) -> tuple[int, str]:
    """Make a call ``owner``'s; returns its new epoch, and what it remembers.

    One statement counts the epoch up, so of two that claim at once the later one has the call.
    """
    calls = schema.calls
    await connection.execute(new_call(connection.dialect.name), [{"call_uuid": call_uuid}])
    row = await connection.execute(
        update(calls)
        .where(calls.c.call_uuid == call_uuid)
        .values(epoch=calls.c.epoch + 1, owner=owner, ended_at=None, cause="", outcome="")
        .returning(calls.c.epoch, calls.c.memory)
    )
    epoch, memory = row.one()
    return int(epoch), str(memory)


async def lost(connection: AsyncConnection, epochs: Mapping[str, int]) -> list[str]:
    """Which of the calls, with the epoch under which each is ours, somebody else has by now."""
    calls = schema.calls
    query = select(calls.c.call_uuid, calls.c.epoch).where(calls.c.call_uuid.in_(epochs))
    return [uuid for uuid, epoch in await connection.execute(query) if epoch > epochs[uuid]]

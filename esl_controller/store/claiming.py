"""Claiming what one controller has at a time: a call, or a delivery that is due."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Mapping, Set
from dataclasses import fields
from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Table, case, func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from esl_controller.call.records import HISTORY, Claimed, ToolUsed, Turn
from esl_controller.store import schema
from esl_controller.store.identity import Identity, NotThisCall, misfit
from esl_controller.store.records import LAST_RETRY_S, RETRIES_GROW, Delivery, retry_s
from esl_controller.store.statements import lock

TOGETHER = 10  # calls claimed in one transaction: their turns are read in one go
JOIN_S = 0.5  # a claim tried for longer may fail soon, so no other call joins it
_Part = TypeVar("_Part", Turn, ToolUsed)


class Claims:
    """Calls that are claimed in one transaction: all that arrive before it begins.

    When a controller dies, another one gets all its calls at once. With one transaction each, the
    last of thirty calls would wait half a second.
    """

    def __init__(self, owner: str) -> None:
        self._owner = owner
        self._calls: dict[str, Identity | None] = {}
        self._taken: Set[str] = set()
        self._begun = False
        self._since = time.monotonic()

    def add(self, call_uuid: str, owner: str, comes: Identity | None = None) -> bool:
        """Claim this call with the others, for the channel that ``comes``; False if it is too late,
        or there are too many."""
        late = self._begun or time.monotonic() - self._since > JOIN_S
        full = len(self._calls) == TOGETHER
        if late or full or owner != self._owner or call_uuid in self._calls:
            return False
        self._calls[call_uuid] = comes
        return True

    async def take(self, connection: AsyncConnection) -> dict[str, Claimed | NotThisCall]:
        """Make the owner's these calls, known ones or not, and return what is recorded of each. Of
        a channel that is not the call's, that is why; and nothing is changed.

        Of a long call, that is the last ``HISTORY`` turns and as many function calls. One statement
        increments the epoch, so of two controllers that claim a call at once the later one has it.
        """
        self._begun = True
        calls = schema.calls
        await lock(connection, self._calls)
        refused = {
            uuid: NotThisCall(reason)
            for uuid, comes in self._calls.items()
            if comes is not None and (reason := await misfit_of(connection, uuid, comes))
        }
        self._taken = self._calls.keys() - refused.keys()
        claimed = await connection.execute(
            update(calls)
            .where(calls.c.call_uuid.in_(self._taken))
            .values(epoch=calls.c.epoch + 1, owner=self._owner, ended_at=None, cause="", outcome="")
            .returning(calls.c.call_uuid, calls.c.epoch, calls.c.memory, calls.c.secretary_id)
        )
        known = claimed.all()
        kept = schema.secretaries.c
        query = select(kept.id, kept.definition).where(kept.id.in_({row[3] for row in known}))
        secretaries = {row.id: row.definition for row in await connection.execute(query)}
        turns = await self._last(connection, Turn, schema.turns, schema.turns.c.number)
        tools = await self._last(connection, ToolUsed, schema.tools, schema.tools.c.at)
        return refused | {
            uuid: Claimed(epoch, memory, turns[uuid], tools[uuid], secretaries.get(secretary, ""))
            for uuid, epoch, memory, secretary in known
        }

    async def _last(
        self,
        connection: AsyncConnection,
        kind: type[_Part],
        table: Table,
        order: ColumnElement[Any],
    ) -> dict[str, list[_Part]]:
        """The last ``HISTORY`` rows of each call, in order."""
        back = func.row_number().over(partition_by=table.c.call_uuid, order_by=order.desc())
        numbered = (
            select(table, back.label("back")).where(table.c.call_uuid.in_(self._taken)).subquery()
        )
        query = (
            select(*(numbered.c[column.name] for column in table.c))
            .where(numbered.c.back <= HISTORY)
            .order_by(numbered.c.back.desc())
        )
        found = defaultdict[str, list[_Part]](list)
        for row in await connection.execute(query):
            found[row.call_uuid].append(kind(**row._mapping))
        return found


async def misfit_of(connection: AsyncConnection, call_uuid: str, comes: Identity) -> str:
    """Why the channel that ``comes`` is not the call that is recorded; empty if it may be."""
    calls = schema.calls
    query = select(calls.c.domain_uuid, calls.c.created_us, calls.c.outcome, calls.c.memory)
    row = (await connection.execute(query.where(calls.c.call_uuid == call_uuid))).one_or_none()
    if row is None:
        return ""
    # What a call must remember is stored from the first words on, that is, after the answer.
    known = Identity(row.domain_uuid, row.created_us, answered=bool(row.memory))
    return misfit(known, comes, row.outcome)


async def claimed_by_others(connection: AsyncConnection, epochs: Mapping[str, int]) -> list[str]:
    """Those of the calls whose epoch is higher by now than ours, which is given."""
    calls = schema.calls
    query = select(calls.c.call_uuid, calls.c.epoch).where(calls.c.call_uuid.in_(epochs))
    return [uuid for uuid, epoch in await connection.execute(query) if epoch > epochs[uuid]]


async def take_due(
    connection: AsyncConnection, now: float, limit: int, until: float
) -> list[Delivery]:
    """Take deliveries due at ``now``, and put them off until ``until`` for everybody else.

    One that is due later than any failure puts it off was written by a clock that was ahead.
    """
    table = schema.deliveries
    waits = {attempts: retry_s(attempts) for attempts in range(RETRIES_GROW)}
    latest = until + case(waits, value=table.c.attempts, else_=LAST_RETRY_S)
    # SQLite ignores FOR UPDATE and needs no row locks: it has one writer.
    due = (
        select(table.c.id)
        .where((table.c.due_at <= now) | (table.c.due_at > latest))
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

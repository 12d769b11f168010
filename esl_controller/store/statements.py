"""Changes as SQL: the same statements for SQLite and PostgreSQL."""

from __future__ import annotations

import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict
from functools import cache
from math import isfinite
from typing import Any, NamedTuple

from sqlalchemy import Table, UpdateBase, bindparam, case, delete, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.ext.asyncio import AsyncConnection

from esl_controller.call.records import ToolUsed, Turn
from esl_controller.store import records, schema
from esl_controller.store.records import (
    CallEnded,
    CallStarted,
    Change,
    ControllerLeft,
    DeliveryPostponed,
    DeliveryQueued,
    DeliverySettled,
    Heartbeat,
    MessageTaken,
    Noted,
    SecretaryKept,
    SnapshotSaved,
)

_JSON = ("arguments", "output")  # that models and servers write
# JSON texts of ours; their length is limited elsewhere.
_WHOLE = ("body", "calls", "definition", "snapshot")
_INTEGERS = 2**31 - 1  # the largest of an Integer column; PostgreSQL refuses a larger one
_BIG = {"created_us": 2**63 - 1}  # the same of a BigInteger column


class Entry(NamedTuple):
    """A change as the parameters of its statement."""

    kind: type[Change]
    call_uuid: str | None
    row: dict[str, Any]


def entry(change: Change) -> Entry:
    """The parameters for ``change``; its texts are cut at their limits."""
    row: dict[str, Any] = {name: _clean(name, value) for name, value in vars(change).items()}
    call_uuid = row.get("call_uuid")
    match change:
        case CallStarted():
            row |= {"key": row.pop("call_uuid"), "started_at": row.pop("at")}
        case CallEnded():
            row |= {"key": row.pop("call_uuid"), "ended_at": row.pop("at")}
            usage = asdict(row.pop("usage"))
            row |= {"mine": row["epoch"]}
            row |= {name: _clean(name, value) for name, value in usage.items()}
        case SnapshotSaved():
            row |= {"key": row.pop("call_uuid"), "mine": row["epoch"]}
            row["memory"] = row.pop("snapshot")
        case DeliveryQueued():
            now = time.time()
            row |= {"at": now, "due_at": now}
        case DeliveryPostponed() | DeliverySettled():
            row["key"] = row.pop("id")
        case ControllerLeft():
            row["key"] = row.pop("name")
    return Entry(type(change), call_uuid, row)


def _clean(name: str, value: object) -> object:
    """``value`` as every database takes it: one that it refuses costs the whole change."""
    if isinstance(value, int):
        largest = _BIG.get(name, _INTEGERS)
        return max(-largest, min(value, largest))
    if isinstance(value, float):
        return value if isfinite(value) else 0.0
    if not isinstance(value, str) or name in _WHOLE:
        return value
    # PostgreSQL refuses NUL, and no database takes half a surrogate pair.
    text = value.replace("\0", "").encode(errors="replace").decode()
    if name in _JSON:
        if len(text) <= records.JSON_LIMIT:
            return text
        begins = text[: records.TEXT_LIMIT]
        return json.dumps({"too_long": len(text), "begins": begins}, ensure_ascii=False)
    return text if len(text) <= records.TEXT_LIMIT else text[: records.TEXT_LIMIT - 1] + "…"


async def write(connection: AsyncConnection, entries: Sequence[Entry]) -> None:
    """Write ``entries``. Writing them again changes nothing."""
    dialect = connection.dialect.name
    # This makes the call if its CallStarted was dropped: the rest is recorded all the same.
    await lock(connection, {entry.call_uuid for entry in entries if entry.call_uuid is not None})
    for kind, statement in statements(dialect).items():
        if rows := [entry.row for entry in entries if entry.kind is kind]:
            await connection.execute(statement, rows)


async def lock(connection: AsyncConnection, call_uuids: Collection[str]) -> None:
    """Keep others from writing these calls until the transaction ends; make missing ones."""
    if call_uuids:
        # Sorted, or two controllers that lock the same calls could wait for each other for ever.
        rows = [{"call_uuid": uuid} for uuid in sorted(call_uuids)]
        await connection.execute(locked_call(connection.dialect.name), rows)


@cache
def locked_call(dialect: str) -> UpdateBase:
    """Makes the call ``call_uuid``, or locks it and changes nothing if there is one."""
    insert = _insert(dialect, schema.calls).values(call_uuid=bindparam("call_uuid"))
    # PostgreSQL also locks a row that WHERE keeps from being updated.
    return insert.on_conflict_do_update(
        index_elements=[schema.calls.c.call_uuid],
        set_={"cause": schema.calls.c.cause},
        where=schema.calls.c.call_uuid.is_(None),
    )


@cache
def statements(dialect: str) -> Mapping[type[Change], UpdateBase]:
    """The statement for each kind of change, in the order in which they must be written."""
    calls, deliveries, controllers = schema.calls, schema.deliveries, schema.controllers
    this_call = calls.c.call_uuid == bindparam("key")
    still_mine = calls.c.epoch <= bindparam("mine")
    this_delivery = deliveries.c.id == bindparam("key")
    return {
        CallStarted: update(calls).where(this_call, calls.c.started_at.is_(None)),
        SecretaryKept: _replace(dialect, schema.secretaries),
        SnapshotSaved: update(calls).where(this_call, still_mine),
        Turn: _replace(dialect, schema.turns),
        ToolUsed: _replace(dialect, schema.tools),
        MessageTaken: _replace(dialect, schema.messages),
        Noted: _replace(dialect, schema.notes),
        CallEnded: update(calls)
        .where(this_call, still_mine)
        .values(
            # By another controller's clock, or after a jump of ours, it may end before it began.
            ended_at=case(
                (calls.c.started_at > bindparam("ended_at"), calls.c.started_at),
                else_=bindparam("ended_at"),
            ),
            # A conversation that began anew does not know of the recording of the one before.
            recording=case(
                (bindparam("recording") == "", calls.c.recording),
                else_=bindparam("recording"),
            ),
        ),
        DeliveryQueued: _insert(dialect, deliveries).on_conflict_do_nothing(),
        DeliveryPostponed: update(deliveries).where(this_delivery),
        DeliverySettled: delete(deliveries).where(this_delivery),
        Heartbeat: _replace(dialect, controllers),
        ControllerLeft: delete(schema.controllers).where(
            schema.controllers.c.name == bindparam("key")
        ),
    }


def _insert(dialect: str, table: Table) -> sqlite.Insert | postgresql.Insert:
    # Both have ON CONFLICT; SQLAlchemy has no common name for it.
    return postgresql.insert(table) if dialect == "postgresql" else sqlite.insert(table)


def _replace(dialect: str, table: Table) -> UpdateBase:
    insert = _insert(dialect, table)
    rest = {
        column.name: insert.excluded[column.name] for column in table.c if not column.primary_key
    }
    return insert.on_conflict_do_update(index_elements=list(table.primary_key), set_=rest)

"""Changes as SQL: written twice they are there once, on two databases."""

from __future__ import annotations

import json

import pytest
from sqlalchemy import Dialect
from sqlalchemy.dialects.postgresql import dialect as postgresql
from sqlalchemy.dialects.sqlite import dialect as sqlite

from esl_controller.call.agent import Usage
from esl_controller.call.records import ToolUsed
from esl_controller.store import Store
from esl_controller.store.records import (
    JSON_LIMIT,
    TEXT_LIMIT,
    CallEnded,
    Change,
    ControllerLeft,
    DeliveryPostponed,
    DeliveryQueued,
    DeliverySettled,
    Heartbeat,
    Noted,
    SecretaryKept,
    SnapshotSaved,
)
from esl_controller.store.statements import entry, locked_call, statements, write
from tests.store.samples import AT, CALL, UUID, deliver, turn


async def test_what_is_written_twice_is_there_once(store: Store) -> None:
    changes = [
        *CALL,
        DeliveryPostponed("unknown", 1, AT),
        DeliverySettled("unknown"),
        deliver("http://h"),
    ]
    entries = [entry(change) for change in changes]
    for _ in range(2):
        async with store._engine.begin() as connection:
            await write(connection, entries)
    call = await store.call(UUID)
    assert call is not None
    parts = (call.turns, call.tools, call.messages, call.notes)
    assert [len(part) for part in parts] == [3, 1, 1, 1]
    assert len(await store.take_due(AT * 2, 10, AT * 3)) == 1


def test_texts_are_cut_and_cleaned() -> None:
    long = "x" * (JSON_LIMIT + 1)
    row = entry(ToolUsed(UUID, "1", long, long, long[:-1], AT, 1)).row
    assert row["name"] == "x" * (TEXT_LIMIT - 1) + "…"
    assert json.loads(row["arguments"]) == {"too_long": len(long), "begins": "x" * TEXT_LIMIT}
    assert row["output"] == long[:-1]
    assert entry(Noted(UUID, AT, "a\0b\ud800ç")).row["text"] == "ab?ç"


def test_what_no_database_takes_costs_itself_only() -> None:
    usage = Usage(input_text=2**63, input_audio=-(2**63), seconds=float("inf"))
    row = entry(CallEnded(UUID, float("nan"), "x", "completed", usage=usage)).row
    assert (row["input_text"], row["input_audio"]) == (2**31 - 1, 1 - 2**31)
    assert (row["seconds"], row["ended_at"]) == (0.0, 0.0)


@pytest.mark.parametrize("count", [2**63, -(2**63)])
async def test_the_end_of_a_call_is_written_whatever_a_model_counted(
    store: Store, count: int
) -> None:
    store.put(CallEnded(UUID, AT, "x", "completed", usage=Usage(output_text=count, cached=7)))
    await store.flush()
    call = await store.call(UUID)
    assert call is not None
    assert (call.outcome, call.usage.cached, store.dropped) == ("completed", 7, 0)


def test_a_snapshot_is_never_cut() -> None:
    long = "x" * 100_000
    assert entry(SnapshotSaved(UUID, 0, long)).row["memory"] == long


def test_the_body_of_a_delivery_is_never_cut() -> None:
    long = "x" * (JSON_LIMIT + 1)
    assert entry(DeliveryQueued("http://h", "k", long, UUID)).row["body"] == long


@pytest.mark.parametrize("dialect", [sqlite(), postgresql()])  # type: ignore[no-untyped-call]
def test_both_databases_have_a_form_of_every_statement(dialect: Dialect) -> None:
    others: list[Change] = [
        deliver("http://h"),
        DeliveryPostponed("x", 1, AT),
        DeliverySettled("x"),
        SecretaryKept("a", "a.toml", "{}", AT),
        SnapshotSaved(UUID, 0, ""),
        Heartbeat("a", "http://h", "ws://h", AT, AT, "ready"),
        ControllerLeft("a"),
    ]
    changes = [*CALL, turn(9), *others]
    assert {type(change) for change in changes} == set(statements(dialect.name))
    for one in map(entry, changes):
        statement = statements(dialect.name)[one.kind]
        assert str(statement.compile(dialect=dialect, column_keys=list(one.row)))
    assert "DO UPDATE" in str(locked_call(dialect.name).compile(dialect=dialect))

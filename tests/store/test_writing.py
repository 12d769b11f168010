"""The writer: order, limits, a database that is away, and an event loop that is not held up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence, Sized

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection
from structlog.testing import capture_logs

from esl_controller.call.records import Turn
from esl_controller.store import Store, sqlite, statements, writing
from esl_controller.store.records import BODY_LIMIT, DeliveryQueued
from esl_controller.store.statements import Entry
from tests.store.conftest import Database
from tests.store.samples import AT, ENDED, STARTED, UUID, deliver, turn


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 10)
    monkeypatch.setattr(writing, "FIRST_RETRY_S", 0.005)
    monkeypatch.setattr(writing, "LAST_RETRY_S", 0.02)


async def refusals(count: int, logs: Sized) -> None:
    while len(logs) < count:  # noqa: ASYNC110
        await asyncio.sleep(0.002)


async def numbers(store: Store, call_uuid: str = UUID) -> list[int]:
    call = await store.call(call_uuid)
    return [turn.number for turn in call.turns] if call else []


async def test_many_changes_are_one_transaction(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []

    async def write(connection: AsyncConnection, entries: Sequence[Entry]) -> None:
        sizes.append(len(entries))
        await statements.write(connection, entries)

    monkeypatch.setattr(writing, "write", write)
    for number in range(250):
        store.put(turn(number))
    await store.flush()
    assert sizes == [100, 100, 50]
    assert await numbers(store) == list(range(250))


async def test_what_comes_while_it_writes_is_written_next(store: Store) -> None:
    store.put(turn(1))
    await asyncio.sleep(0)
    store.put(turn(2))
    await store.flush()
    assert await numbers(store) == [1, 2]


async def test_flush_has_nothing_to_wait_for_where_nothing_was_put(store: Store) -> None:
    async with asyncio.timeout(1):
        await store.flush()


async def test_while_the_database_is_away_all_waits_in_its_order(
    store: Store, database: Database
) -> None:
    with capture_logs() as logs:
        with database.away():
            for number in range(150):
                store.put(turn(number))
                # The later one must win.
                store.put(Turn(UUID, 0, "caller", f"version {number}", "", AT))
            async with asyncio.timeout(5):
                await refusals(1, logs)
            flushed = asyncio.create_task(store.flush())
            await asyncio.sleep(0.05)
            assert not flushed.done()
        await flushed
    call = await store.call(UUID)
    assert call is not None
    assert [turn.number for turn in call.turns] == list(range(150))
    assert call.turns[0].text == "version 149"
    assert store.dropped == 0
    assert [line["event"] for line in logs] == [
        "the call record cannot be written now",
        "the call record is written again",
    ]
    assert database.reason_away in logs[0]["reason"]


async def test_above_the_limit_the_newest_is_dropped_and_counted(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "LIMIT", 10)
    with capture_logs() as logs:
        with database.away():
            for number in range(25):
                store.put(turn(number))
        await store.flush()
    assert await numbers(store) == list(range(10))
    assert store.dropped == 15
    assert [line["event"] for line in logs].count(
        "the call record has gaps from now on: too many changes wait"
    ) == 1
    store.put(turn(30))
    await store.flush()
    assert 30 in await numbers(store)


async def test_a_call_that_goes_wild_costs_no_other_call_its_record_and_not_its_own_end(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "LIMIT", 20)
    monkeypatch.setattr(writing, "CALL_LIMIT", 10)
    with capture_logs() as logs:
        with database.away():
            store.put(STARTED)
            for number in range(1000):
                store.put(turn(number))
            store.put(ENDED)
            store.put(turn(1, "other"))
        await store.flush()
    assert await numbers(store) == list(range(9))
    assert await numbers(store, "other") == [1]
    call = await store.call(UUID)
    assert call is not None
    assert call.cause == ENDED.cause
    assert store.dropped == 991
    gaps = [line for line in logs if "gaps" in line["event"]]
    assert [(line["call_uuid"], line["waiting"]) for line in gaps] == [(UUID, 10)]


async def test_a_full_queue_still_takes_the_end_of_a_call(
    store: Store, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "LIMIT", 10)
    with database.away():
        for number in range(25):
            store.put(turn(number, f"call {number}"))
        store.put(ENDED)
        store.put(DeliveryQueued("http://h", "call_ended", "", UUID))
    await store.flush()
    call = await store.call(UUID)
    assert call is not None
    assert call.cause == ENDED.cause
    assert [due.kind for due in await store.take_due(AT * 2, 10, AT * 3)] == ["call_ended"]


async def test_a_change_that_is_refused_does_not_take_the_others_with_it(store: Store) -> None:
    with capture_logs() as logs:
        store.put(turn(1))
        store.put(Turn(UUID, 2, "caller", "no time", "", None))  # type: ignore[arg-type]
        store.put(turn(3))
        await store.flush()
    assert await numbers(store) == [1, 3]
    assert store.dropped == 1
    [line] = logs
    assert line["change"] == "Turn"
    assert "not null" in line["reason"].replace("-", " ").lower()
    assert "no time" not in str(line)


async def test_a_delivery_that_is_too_long_is_refused(store: Store) -> None:
    with capture_logs() as logs:
        store.put(deliver("http://h", "x" * (BODY_LIMIT + 1)))
        store.put(deliver("http://h", "x" * BODY_LIMIT))
        await store.flush()
    [kept] = await store.take_due(AT * 2, 10, AT * 3)
    assert len(kept.body) == BODY_LIMIT
    assert (store.dropped, logs[0]["change"]) == (1, "DeliveryQueued")


async def test_a_call_whose_start_was_lost_is_written_all_the_same(store: Store) -> None:
    store.put(turn(1, "other"))
    await store.flush()
    assert await numbers(store, "other") == [1]


async def test_a_written_delivery_wakes_who_waits_for_it(store: Store) -> None:
    store.put(STARTED)
    await store.flush()
    assert not store.delivery_written.is_set()
    store.put(deliver("http://h"))
    async with asyncio.timeout(1):
        await store.delivery_written.wait()


async def _longest_turn_of_the_loop(store: Store, first: int) -> float:
    """Seconds that the event loop was held up while 1,000 changes were put and written."""
    worst = 0.0

    async def watch() -> None:
        nonlocal worst
        last = time.perf_counter()
        while True:
            await asyncio.sleep(0)
            now = time.perf_counter()
            worst, last = max(worst, now - last), now

    watching = asyncio.create_task(watch())
    await asyncio.sleep(0)
    for number in range(first, first + 1000):
        store.put(Turn(UUID, number, "agent", "some words " * 20, "some words", AT, AT + 1, 600))
        if number % 10 == 0:
            await asyncio.sleep(0)
    await store.flush()
    watching.cancel()
    return worst


async def test_a_thousand_changes_do_not_hold_up_the_event_loop(store: Store) -> None:
    # The best of some: a busy machine takes its own pauses.
    assert min([await _longest_turn_of_the_loop(store, 1000 * n) for n in range(5)]) < 0.02

"""A call that no controller has any more is ended in its record, once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace

import pytest

from esl_controller.call.outcome import INTERRUPTED as OF_A_CALL
from esl_controller.store import Store
from esl_controller.store.records import (
    INTERRUPTED,
    LOST,
    CallEnded,
    CallStarted,
    Change,
    ControllerLeft,
    DeliveryQueued,
    Heartbeat,
    StoredCall,
    UnfinishedCall,
)
from tests.store.conftest import Database
from tests.store.samples import AT, CALL, ENDED, MESSAGE, REPLY, STARTED, UUID, turn

URL = "http://h/ended"
BEGUN = replace(STARTED, owner="a", call_ended_url=URL)
LET_GO = CallEnded(UUID, AT + 20, "handed back to the switch", INTERRUPTED)


async def written(store: Store, changes: Sequence[Change]) -> None:
    for change in changes:
        store.put(change)
    await store.flush()


async def the_one(store: Store) -> UnfinishedCall:
    (call,) = await store.unfinished()
    return call


async def call_of(store: Store) -> StoredCall:
    call = await store.call(UUID)
    assert call is not None
    return call


async def test_only_calls_that_may_go_on_are_unfinished(store: Store) -> None:
    assert INTERRUPTED == OF_A_CALL
    await written(store, [BEGUN])
    assert await the_one(store) == UnfinishedCall(
        UUID, "tenant", "clinic", "+5511", "8000", AT, "a", 0, ""
    )
    await written(store, [LET_GO])
    assert (await the_one(store)).outcome == INTERRUPTED
    await written(store, [ENDED])
    assert await store.unfinished() == []


@pytest.mark.parametrize(
    ("happened", "seen_at", "at", "cause"),
    [
        ([], AT + 7, AT + 7, "its controller was lost"),
        ([REPLY, MESSAGE], AT + 2, AT + 6, "its controller was lost"),
        ([REPLY], None, AT + 5, "its controller was lost"),
        ([], None, AT, "its controller was lost"),
        ([REPLY, LET_GO], AT + 15, AT + 20, "handed back to the switch"),
    ],
)
async def test_a_lost_call_ends_at_the_last_moment_that_is_known_of_it(
    store: Store, happened: list[Change], seen_at: float | None, at: float, cause: str
) -> None:
    await written(store, [BEGUN, *happened])
    assert await store.end_lost(await the_one(store), "nobody came", seen_at)
    call = await call_of(store)
    assert (call.started_at, call.ended_at) == (AT, at)
    assert (call.outcome, call.cause) == (LOST, cause)
    assert [note.text for note in call.notes] == ["nobody came"]
    assert await store.unfinished() == []


async def test_one_delivery_is_queued_whoever_ends_it(url: str) -> None:
    async with Store.open(url) as store, Store.open(url) as other:
        await written(store, [BEGUN, REPLY])
        call = await the_one(store)
        ends = [one.end_lost(call, "nobody came", AT) for one in (store, other) * 5]
        assert sorted(await asyncio.gather(*ends)) == [*[False] * 9, True]
        (delivery,) = await store.take_due(AT * 2, 10, AT * 3)
        assert (delivery.url, delivery.kind, delivery.body) == (URL, "call_ended", "")
        assert len((await call_of(store)).notes) == 1


async def test_ending_a_call_wakes_the_outbox(store: Store) -> None:
    await written(store, [BEGUN])
    store.delivery_written.clear()
    await store.end_lost(await the_one(store), "", None)
    assert store.delivery_written.is_set()


async def test_without_a_url_there_is_no_delivery(store: Store) -> None:
    await written(store, [STARTED])
    assert await store.end_lost(await the_one(store), "", None)
    assert await store.take_due(AT * 2, 10, AT * 3) == []


@pytest.mark.parametrize("ended", [True, False])
async def test_a_call_that_goes_on_or_has_ended_meanwhile_is_left_alone(
    store: Store, ended: bool
) -> None:
    await written(store, [BEGUN])
    call = await the_one(store)
    if ended:
        await written(store, [ENDED])
    else:
        await store.claim(UUID, "b")
    assert not await store.end_lost(call, "nobody came", None)
    found = await call_of(store)
    assert (found.outcome, found.notes) == ("completed" if ended else "", [])


async def test_a_call_that_comes_back_after_all_goes_on_and_ends_properly(store: Store) -> None:
    await written(store, [BEGUN, REPLY])
    await store.end_lost(await the_one(store), "nobody came", None)
    claimed = await store.claim(UUID, "b")
    assert len(claimed.turns) == 1
    assert ((await call_of(store)).ended_at, (await the_one(store)).owner) == (None, "b")
    last = DeliveryQueued(URL, "call_ended", "", UUID)
    await written(store, [replace(ENDED, epoch=claimed.epoch), last])
    assert (await call_of(store)).outcome == "completed"
    deliveries = {one.id for one in await store.take_due(AT * 2, 10, AT * 3)}
    assert len(deliveries) == 2, "the later one tells how it ended"
    assert last.id in deliveries


async def test_a_call_whose_start_is_not_known_can_be_deleted_by_age(
    store: Store, database: Database
) -> None:
    await written(store, [turn(1)])
    assert (await the_one(store)).started_at is None
    assert await store.end_lost(await the_one(store), "", None)
    call = await call_of(store)
    assert (call.started_at, call.ended_at) == (AT + 1, AT + 1)
    database.sql("DELETE FROM calls")
    await store.claim(UUID, "a")
    assert await store.end_lost(await the_one(store), "", None)
    assert (await call_of(store)).started_at


async def test_others_calls_are_left_alone(store: Store) -> None:
    other = CallStarted(UUID[::-1], "tenant", "clinic", "+5511", "8000", AT)
    await written(store, [BEGUN, other, *CALL[1:-1]])
    call = next(one for one in await store.unfinished() if one.call_uuid == UUID)
    await store.end_lost(call, "", None)
    assert (await the_one(store)).call_uuid == UUID[::-1]


async def test_controllers_say_that_they_are_there_until_they_leave(store: Store) -> None:
    first = Heartbeat("a", "http://a", "ws://a", AT, AT, "ready", '{"x": {}}' + " " * 20_000)
    other = replace(first, name="b", state="draining")
    later = replace(first, seen_at=AT + 5)
    await written(store, [other, first])
    await written(store, [later])
    assert await store.controllers() == [later, other]
    await written(store, [other, ControllerLeft("b")])
    assert await store.controllers() == [later]

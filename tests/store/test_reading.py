"""What is read is what was put."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sqlalchemy import text

from esl_controller.store import Store, StoreError, reading
from esl_controller.store.records import (
    CallEnded,
    CallStarted,
    DeliveryPostponed,
    DeliverySettled,
    Noted,
    StoredCall,
)
from tests.store.samples import (
    AT,
    CALL,
    ENDED,
    GREETING,
    MESSAGE,
    NOTE,
    REPLY,
    STARTED,
    TOOL,
    USAGE,
    UUID,
    WISH,
    deliver,
)


async def test_a_call_comes_back_as_it_was_put(store: Store, url: str) -> None:
    for change in CALL:
        store.put(change)
    await store.flush()
    expected = StoredCall(
        call_uuid=UUID,
        domain_uuid="tenant",
        secretary="clinic",
        caller="+5511",
        destination="8000",
        started_at=AT,
        ended_at=AT + 9.5,
        cause="NORMAL_CLEARING",
        outcome="completed",
        recording="/var/calls/a.wav",
        usage=USAGE,
        turns=[GREETING, WISH, REPLY],
        tools=[TOOL],
        messages=[MESSAGE],
        notes=[NOTE],
    )
    assert await store.call(UUID) == expected
    async with reading(url) as reader:
        assert await reader.call(UUID) == expected
        assert await reader.call("other") is None


async def test_a_turn_that_is_put_again_is_replaced(store: Store) -> None:
    store.put(replace(WISH, text=""))
    await store.flush()
    store.put(replace(WISH, ended_at=None))
    store.put(WISH)
    await store.flush()
    call = await store.call(UUID)
    assert call is not None
    assert call.turns == [WISH]


async def test_of_a_call_that_came_back_the_first_start_and_the_last_end_stay(store: Store) -> None:
    again = replace(STARTED, secretary="other", at=AT + 4)
    for change in (STARTED, again, CallEnded(UUID, AT + 5, "", "let go"), again, ENDED):
        store.put(change)
        await store.flush()
    call = await store.call(UUID)
    assert call is not None
    assert (call.started_at, call.secretary) == (AT, "clinic")
    assert (call.ended_at, call.outcome) == (ENDED.at, "completed")


async def test_recent_calls_come_newest_first(store: Store) -> None:
    for at, uuid in ((2.0, "b"), (1.0, "a"), (3.0, "c")):
        store.put(CallStarted(uuid, "d", "s", "c", "n", at))
    store.put(Noted("no start", 9.0, "text"))
    await store.flush()
    assert [call.call_uuid for call in await store.recent(10)] == ["c", "b", "a", "no start"]
    assert [call.call_uuid for call in await store.recent(2)] == ["c", "b"]


async def test_when_the_next_delivery_is_due(store: Store) -> None:
    assert await store.next_due() is None
    first, later = deliver("http://h"), deliver("http://h")
    for change in (
        first,
        later,
        DeliveryPostponed(first.id, 3, AT),
        DeliveryPostponed(later.id, 1, AT * 3),
    ):
        store.put(change)
    await store.flush()
    assert await store.next_due() == AT
    for change in (first, later):
        store.put(DeliverySettled(change.id))
    await store.flush()
    assert await store.next_due() is None


async def test_a_database_that_does_not_answer_is_one_line(store: Store) -> None:
    async with store._engine.begin() as connection:
        await connection.execute(text("DROP TABLE deliveries"))
    with pytest.raises(StoreError, match=r"cannot be read: (no such table|relation)"):
        await store.next_due()

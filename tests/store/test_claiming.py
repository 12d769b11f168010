"""A call goes from one controller to another, and a delivery to one of them."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from esl_controller.call.records import HISTORY, Claimed
from esl_controller.store import NotThisCall, Store, StoreError
from esl_controller.store.claiming import TOGETHER, Claims
from esl_controller.store.records import (
    CallEnded,
    DeliveryPostponed,
    DeliverySettled,
    SecretaryKept,
    SnapshotSaved,
    StoredCall,
)
from tests.store.samples import AT, CALL, ENDED, STARTED, UUID, deliver, turn


async def stored(store: Store) -> StoredCall:
    await store.flush()
    call = await store.call(UUID)
    assert call is not None
    return call


async def test_who_claims_a_call_gets_its_record_and_its_snapshot(store: Store) -> None:
    for change in CALL:
        store.put(change)
    store.put(SnapshotSaved(UUID, 0, "what it knows"))
    claimed = await store.claim(UUID, "b")
    assert (claimed.epoch, claimed.snapshot) == (1, "what it knows")
    assert [len(claimed.turns), len(claimed.tools)] == [3, 1]
    call = await stored(store)
    assert (call.ended_at, call.outcome) == (None, ""), "it goes on"
    assert (call.turns, call.tools) == (claimed.turns, claimed.tools)
    assert (await store.claim(UUID, "c")).epoch == 2


async def test_a_conversation_that_begins_anew_leaves_the_recording_in_the_record(
    store: Store,
) -> None:
    for change in CALL:
        store.put(change)
    anew = await store.claim(UUID, "b")
    store.put(replace(ENDED, at=AT + 60, epoch=anew.epoch, recording=""))
    assert (await stored(store)).recording == ENDED.recording
    again = await store.claim(UUID, "c")
    store.put(replace(ENDED, at=AT + 90, epoch=again.epoch, recording="/var/calls/b.wav"))
    assert (await stored(store)).recording == "/var/calls/b.wav"


async def test_who_claims_a_call_gets_the_secretary_that_it_began_with(store: Store) -> None:
    long = '"' + "é" * 100_000 + '"'
    store.put(replace(STARTED, secretary_id="old"))
    store.put(SecretaryKept("old", "/s/ana.toml", long, AT))
    store.put(SecretaryKept("new", "/s/ana.toml", "{}", AT + 1))
    assert (await store.claim(UUID, "b")).secretary == long
    assert await store.last_secretaries(["/s/ana.toml", "/s/none.toml"]) == {"/s/ana.toml": "{}"}
    store.put(SecretaryKept("old", "/s/ana.toml", long, AT + 2))
    await store.flush()
    assert await store.last_secretaries(["/s/ana.toml"]) == {"/s/ana.toml": long}


async def test_who_claims_a_long_call_gets_its_last_turns(store: Store) -> None:
    for number in range(HISTORY + 5):
        store.put(turn(number))
    claimed = await store.claim(UUID, "b")
    assert [one.number for one in claimed.turns] == list(range(5, HISTORY + 5))


async def test_calls_claimed_at_once_are_few_transactions_and_each_gets_its_own(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuids = [f"call {number}" for number in range(25)]
    for number, uuid in enumerate(uuids):
        for one in range(number):
            store.put(replace(turn(one), call_uuid=uuid, text=f"{uuid}, {one}"))
        store.put(SnapshotSaved(uuid, 0, f"of {uuid}"))
    await store.flush()
    transactions = []
    take = Claims.take

    async def counted(
        claims: Claims, connection: AsyncConnection
    ) -> dict[str, Claimed | NotThisCall]:
        transactions.append(await take(claims, connection))
        return transactions[-1]

    monkeypatch.setattr(Claims, "take", counted)
    claimed = await asyncio.gather(*(store.claim(uuid, "b") for uuid in [*uuids, "unknown"]))
    *known, unknown = claimed
    assert (unknown.snapshot, unknown.turns) == ("", [])
    for number, (uuid, found) in enumerate(zip(uuids, known, strict=True)):
        assert (found.epoch, found.snapshot) == (1, f"of {uuid}")
        assert [said.text for said in found.turns] == [f"{uuid}, {at}" for at in range(number)]
    assert len(transactions) == 3
    assert max(map(len, transactions)) <= TOGETHER


async def test_two_controllers_that_claim_the_same_calls_at_once_do_not_wait_for_each_other(
    url: str,
) -> None:
    uuids = [f"call {number}" for number in range(15)]
    async with Store.open(url) as store, Store.open(url) as other:
        for number, uuid in enumerate(uuids):
            store.put(SnapshotSaved(uuid, 0, str(number)))
            other.put(SnapshotSaved(uuids[-1 - number], 0, str(number)))
        mine = [store.claim(uuid, "a") for uuid in uuids]
        theirs = [other.claim(uuid, "b") for uuid in reversed(uuids)]
        claimed = [one.epoch for one in await asyncio.gather(*mine, *theirs)]
    for here, there in zip(claimed[:15], reversed(claimed[15:]), strict=True):
        assert {here, there} == {1, 2}


async def test_a_claim_that_fails_fails_for_all_that_came_with_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def take(_: Claims, __: AsyncConnection) -> dict[str, Claimed]:
        raise OSError("away")

    with monkeypatch.context() as context:
        context.setattr(Claims, "take", take)
        claims = (store.claim(uuid, "b") for uuid in (UUID, "another"))
        failed = await asyncio.gather(*claims, return_exceptions=True)
        assert all(isinstance(one, StoreError) for one in failed)
    assert (await store.claim(UUID, "b")).epoch == 1


async def test_a_claim_that_failed_takes_nobody_along_who_comes_later(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    @asynccontextmanager
    async def refused() -> AsyncIterator[AsyncConnection]:
        raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
        yield

    with monkeypatch.context() as context:
        context.setattr(AsyncEngine, "begin", lambda _: refused())
        with pytest.raises(StoreError):
            await store.claim(UUID, "b")
    assert (await store.claim("another", "b")).epoch == 1


async def test_a_call_that_nobody_knows_can_be_claimed(store: Store) -> None:
    claimed = await store.claim(UUID, "b")
    assert (claimed.epoch, claimed.snapshot, claimed.turns) == (1, "", [])


async def test_who_lost_a_call_to_another_writes_in_vain_and_is_told(
    store: Store,
) -> None:
    for change in CALL:
        store.put(change)
    first = (await store.claim(UUID, "b")).epoch
    second = (await store.claim(UUID, "c")).epoch
    assert await store.claimed_by_others({UUID: first}) == [UUID]
    assert await store.claimed_by_others({UUID: second}) == []
    assert await store.claimed_by_others({}) == []
    store.put(SnapshotSaved(UUID, first, "old"))
    ended = next(change for change in CALL if isinstance(change, CallEnded))
    store.put(replace(ended, epoch=first, at=AT))
    assert (await stored(store)).ended_at is None
    store.put(SnapshotSaved(UUID, second, "new"))
    store.put(replace(ended, epoch=second, at=AT))
    assert (await stored(store)).ended_at == AT
    assert (await store.claim(UUID, "d")).snapshot == "new"


async def test_who_could_not_claim_a_call_has_it_with_what_it_writes(store: Store) -> None:
    earlier = (await store.claim(UUID, "b")).epoch
    store.put(SnapshotSaved(UUID, 70, "of one that was not there to be asked"))
    await store.flush()
    assert await store.claimed_by_others({UUID: earlier}) == [UUID]
    assert await store.claimed_by_others({UUID: 70}) == []
    assert (await store.claim(UUID, "d")).epoch == 71


async def test_deliveries_that_were_tried_least_are_taken_first(store: Store) -> None:
    first, second, later, done = (deliver(f"http://{n}") for n in range(4))
    for change in (first, second, later, done):
        store.put(change)
    store.put(DeliveryPostponed(first.id, 3, AT))
    store.put(DeliveryPostponed(later.id, 20, AT * 2 + 3000))
    store.put(DeliverySettled(done.id))
    await store.flush()
    [taken] = await store.take_due(AT * 2, 1, until=AT * 2 + 30)
    assert (taken.url, taken.attempts) == ("http://1", 0)
    assert [one.url for one in await store.take_due(AT * 2, 10, until=AT * 2 + 30)] == ["http://0"]
    assert await store.take_due(AT * 2, 10, until=AT * 2 + 30) == []
    due = await store.take_due(AT * 2 + 3000, 10, until=AT * 2 + 3030)
    assert [one.url for one in due] == ["http://1", "http://0", "http://2"]


async def test_controllers_that_take_deliveries_at_once_each_get_others(url: str) -> None:
    async with Store.open(url) as store, Store.open(url) as other:
        for number in range(100):
            store.put(deliver(f"http://{number}"))
        await store.flush()
        rounds = [one.take_due(AT * 2, 7, AT * 3) for _ in range(10) for one in (store, other)]
        taken = [one.id for due in await asyncio.gather(*rounds) for one in due]
    assert len(set(taken)) == len(taken) == 100


async def test_a_delivery_waits_no_longer_because_the_clock_was_set_back(store: Store) -> None:
    for attempts, after_s in ((0, 31.5), (1, 31.5), (3, 33.0), (20, 3600.0), (20, 3700.0)):
        one = deliver("http://h/")
        store.put(one)
        await store.flush()
        store.put(DeliveryPostponed(one.id, attempts, AT + after_s))
    await store.flush()
    due = await store.take_due(AT, 10, AT + 30.0)
    assert sorted(one.attempts for one in due) == [0, 1, 20]


async def test_no_call_ends_before_it_began(store: Store) -> None:
    store.put(STARTED)
    store.put(CallEnded(UUID, AT - 7200, "NORMAL_CLEARING", "completed"))
    assert (await stored(store)).ended_at == AT

"""A call goes from one controller to another: what is taken over, and who writes in vain."""

from __future__ import annotations

from dataclasses import replace

from esl_controller.store import Store
from esl_controller.store.records import CallEnded, Remembered, StoredCall

from .samples import AT, CALL, UUID


async def stored(store: Store) -> StoredCall:
    await store.flush()
    call = await store.call(UUID)
    assert call is not None
    return call


async def test_who_claims_a_call_gets_its_record_and_its_memory(store: Store) -> None:
    for change in CALL:
        store.put(change)
    store.put(Remembered(UUID, 0, "what it knows"))
    claimed = await store.claim(UUID, "b")
    assert (claimed.epoch, claimed.memory) == (1, "what it knows")
    assert len(claimed.call.turns) == 3
    assert claimed.call.ended_at is None, "it goes on"
    assert claimed.call.outcome == ""
    assert (await store.claim(UUID, "c")).epoch == 2


async def test_a_call_that_nobody_knows_can_be_claimed(store: Store) -> None:
    claimed = await store.claim(UUID, "b")
    assert (claimed.epoch, claimed.memory, claimed.call.turns) == (1, "", [])


async def test_who_lost_a_call_writes_in_vain_and_is_told(store: Store) -> None:
    for change in CALL:
        store.put(change)
    first = (await store.claim(UUID, "b")).epoch
    second = (await store.claim(UUID, "c")).epoch
    assert await store.lost({UUID: first}) == [UUID]
    assert await store.lost({UUID: second}) == []
    assert await store.lost({}) == []
    store.put(Remembered(UUID, first, "old"))
    ended = next(change for change in CALL if isinstance(change, CallEnded))
    store.put(replace(ended, epoch=first, at=AT))
    assert (await stored(store)).ended_at is None
    store.put(Remembered(UUID, second, "new"))
    store.put(replace(ended, epoch=second, at=AT))
    assert (await stored(store)).ended_at == AT
    assert (await store.claim(UUID, "d")).memory == "new"

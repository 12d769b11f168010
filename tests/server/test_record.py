"""The record as live calls use it, with stores that are away, slow, or not there at all."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from esl_controller.call.records import Claimed
from esl_controller.freeswitch.channel import Channel
from esl_controller.server import record
from esl_controller.server.record import CallRecords
from esl_controller.store import NotThisCall, StoreError
from esl_controller.store.identity import Identity
from tests.waiting import until

UUID = "8f045ec3-c1d9-47ba-8369-9955c1dfc4f2"
CREATED_US, NOW_US = 1_795_392_000_000_000, 1_795_392_042_000_000
CHANNEL = Channel.parse(
    {
        "Unique-ID": UUID,
        "Caller-Channel-Created-Time": str(CREATED_US),
        "Event-Date-Timestamp": str(NOW_US),
    }
)


class Store:
    """Answers, refuses, or keeps silent."""

    def __init__(self, answer: Any = None, *, silent: bool = False) -> None:
        self.answer, self.silent = answer, silent

    async def _answered(self) -> Any:
        if self.silent:
            await asyncio.Event().wait()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    async def claim(self, call_uuid: str, owner: str, comes: Identity) -> Any:
        return await self._answered()

    async def misfit(self, call_uuid: str, comes: Identity) -> Any:
        return await self._answered()

    async def claimed_by_others(self, epochs: Mapping[str, int]) -> Any:
        return await self._answered()

    async def flush(self) -> None:
        await self._answered()


def records(*answer: Any, silent: bool = False) -> CallRecords:
    return CallRecords(Store(*answer, silent=silent), "here")  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CLAIM_S", "STILL_OURS_S", "FLUSH_S", "WATCH_S"):
        monkeypatch.setattr(record, name, 0.01)


async def test_without_a_store_every_call_is_ours_and_begins_anew() -> None:
    none = CallRecords(None, "here")
    assert await none.claim(CHANNEL) is None
    assert await none.still_ours(UUID, 0)
    await none.flush()


async def test_a_call_is_claimed() -> None:
    assert await records(Claimed(3, "{}")).claim(CHANNEL) == Claimed(3, "{}")


@pytest.mark.parametrize("away", [records(StoreError("away")), records(silent=True)])
async def test_a_store_that_is_away_costs_what_was_said_and_not_the_call(away: CallRecords) -> None:
    # 42 s old: no earlier controller had so high an epoch.
    assert await away.claim(CHANNEL) == Claimed(43, "")
    assert await away.still_ours(UUID, 1)
    if away._store.silent:  # type: ignore[union-attr]
        await away.flush()


async def test_a_new_call_that_is_known_as_another_one_is_refused() -> None:
    with pytest.raises(NotThisCall, match="has ended"):
        await records("the call has ended").check_new(CHANNEL)
    for may_be in (records(""), records(StoreError("away")), records(silent=True)):
        await may_be.check_new(CHANNEL)
    await CallRecords(None, "here").check_new(CHANNEL)


async def test_a_call_that_was_claimed_is_not_ours() -> None:
    assert not await records([UUID]).still_ours(UUID, 1)
    assert await records([]).still_ours(UUID, 1)


class Session:
    epoch = 1
    stepped_back = False

    def step_back(self) -> None:
        self.stepped_back = True


async def test_of_our_calls_those_step_back_that_another_controller_has() -> None:
    taken, kept = Session(), Session()
    watching = asyncio.create_task(records(["taken"]).watch({"taken": taken, "kept": kept}))  # type: ignore[dict-item]
    await until(lambda: taken.stepped_back)
    watching.cancel()
    assert not kept.stepped_back

"""Controllers on one record: who is there, and which calls nobody has."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from esl_controller.freeswitch.dialplan import WAITS_MS
from esl_controller.server import heartbeats as janitor
from esl_controller.server.heartbeats import LOST_S, Heartbeats, Silences, last_had
from esl_controller.simulator.freeswitch import Ladder
from esl_controller.store import Store
from esl_controller.store.current_calls import as_dict
from esl_controller.store.records import (
    HEARTBEAT_LIMIT,
    INTERRUPTED,
    LOST,
    CallStarted,
    Heartbeat,
    StoredCall,
    UnfinishedCall,
)
from tests.calls.rig import greeted, rig
from tests.waiting import until

CALL = UnfinishedCall("uuid", "tenant", "clinic", "+5511", "8000", 0.0, "a", 0, "")
URL = "http://127.0.0.1:9/ended"  # nobody listens there
SECRETARY = f'name = "Ana"\n[events]\ncall_ended_url = "{URL}"\n'
GIVES_UP = Ladder(tries=1, anew=False)
UNFINISHED = ("", INTERRUPTED)
BEAT = Heartbeat("a", "http://a", "ws://a", 0.0, 100.0, "ready", '{"uuid": {}}')


def test_a_call_is_not_lost_before_the_dialplan_has_given_it_up() -> None:
    assert sum(WAITS_MS) / 1000 + 30 < LOST_S


def test_a_call_is_lost_that_nobody_has_had_for_long() -> None:
    silences = Silences()
    assert silences.lost([CALL], {}, 1000.0) == []
    assert silences.lost([CALL], {}, 1000.0 + LOST_S - 1) == []
    assert silences.lost([CALL], {}, 1000.0 + LOST_S) == [CALL]


def test_who_has_a_call_says_so_again_and_again() -> None:
    silences = Silences()
    for second in range(300):
        assert silences.lost([CALL], {"uuid": float(second)}, second) == []
    for second in range(300, 299 + int(LOST_S)):
        assert silences.lost([CALL], {"uuid": 299.0}, second) == [], "it may be dialled again"
    assert silences.lost([CALL], {"uuid": 299.0}, 299 + LOST_S) == [CALL]


@pytest.mark.parametrize("has_it_now", [{"uuid": 3.0}, {}])
def test_a_call_that_somebody_took_up_begins_anew(has_it_now: dict[str, float]) -> None:
    silences = Silences()
    assert silences.lost([CALL], {"uuid": 5.0}, 0.0) == []
    later = replace(CALL, epoch=1)
    assert silences.lost([later], has_it_now, LOST_S) == []
    assert silences.lost([later], has_it_now, 2 * LOST_S) == [later]


def test_what_was_not_seen_to_be_silent_is_not_lost() -> None:
    silences = Silences()
    assert silences.lost([CALL], {}, 0.0) == []
    silences.forget()
    assert silences.lost([CALL], {}, LOST_S) == []
    silences.lost([], {}, LOST_S + 1)
    assert silences.lost([CALL], {}, 2 * LOST_S) == [], "it had ended, and came back"


def test_the_latest_of_several_controllers_counts() -> None:
    first, second = replace(BEAT, name="b", seen_at=107.0), replace(BEAT, name="c", calls="{}")
    assert last_had([BEAT, first, second]) == {"uuid": 107.0}


@pytest.mark.parametrize(
    "calls",
    ["", "[", "[]", "1", '{"uuid": 1}', "[" * 5000, '{"a": {}}' + " " * HEARTBEAT_LIMIT],
)
async def test_a_report_that_cannot_be_read_ends_nothing(
    calls: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end the controller's own work for all calls, and the calls of whoever wrote it."""
    other = replace(BEAT, name="other", seen_at=time.time(), calls=calls)
    assert last_had([other]) == {}
    assert as_dict([], [other], other.seen_at)["controllers"][0]["calls"] == 0
    with hurried(monkeypatch, lost_s=0.6), capture_logs() as logs:
        await store.claim("of the other", "other")
        store.put(other)
        await store.flush()
        async with one(store, "first", []):
            await asyncio.sleep(2.5)
        assert (await shown(store, "of the other")).outcome == ""
    told = [line for line in logs if line["event"] == "a controller's report cannot be read"]
    assert [line["controllers"] for line in told] == [["other"]]


# --- with a record --------------------------------------------------------------------------------


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with Store.open(f"sqlite:///{tmp_path}/calls.db") as store:
        yield store


@contextmanager
def hurried(monkeypatch: pytest.MonkeyPatch, lost_s: float) -> Iterator[None]:
    with monkeypatch.context() as patched:
        patched.setattr(janitor, "BEAT_S", 0.5)
        patched.setattr(janitor, "LOST_S", lost_s)
        yield


@asynccontextmanager
async def one(store: Store, name: str, live: Collection[str]) -> AsyncIterator[None]:
    """A controller with these calls."""

    def heartbeat() -> Heartbeat:
        calls, now = json.dumps({uuid: {} for uuid in live}), time.time()
        return replace(BEAT, name=name, seen_at=now, calls=calls)

    task = asyncio.create_task(Heartbeats(store, heartbeat).run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def begun(store: Store, uuid: str) -> None:
    store.put(CallStarted(uuid, "tenant", "clinic", "+5511", "8000", 50.0, owner="a"))
    await store.flush()


async def shown(store: Store, uuid: str) -> StoredCall:
    call = await store.call(uuid)
    assert call is not None
    return call


async def ended(store: Store, uuid: str) -> StoredCall:
    async with asyncio.timeout(10):
        while (call := await shown(store, uuid)).outcome in UNFINISHED:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return call


async def names(store: Store) -> list[str]:
    return [each.name for each in await store.controllers()]


async def test_of_two_controllers_one_ends_what_a_third_one_lost(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hurried(monkeypatch, lost_s=2.0):
        await begun(store, "lost")
        await begun(store, "live")
        died_at = time.time() - 100
        store.put(replace(BEAT, name="third", calls='{"lost": {}}', seen_at=died_at))
        async with one(store, "first", ["live"]), one(store, "second", []):
            await ended(store, "lost")
            await asyncio.sleep(1.0)
        lost, live = await shown(store, "lost"), await shown(store, "live")
    assert (lost.outcome, lost.ended_at) == (LOST, died_at)
    assert len(lost.notes) == 1
    assert "no controller has had the call for 2 s" in lost.notes[0].text
    assert (live.outcome, live.notes) == ("", [])


async def test_a_controller_that_ends_is_gone_and_one_that_died_is_forgotten(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hurried(monkeypatch, lost_s=60.0):
        store.put(replace(BEAT, name="died", seen_at=time.time() - janitor.FORGOTTEN_S - 1))
        store.put(replace(BEAT, name="silent", seen_at=time.time() - 60))
        async with one(store, "first", []):
            async with asyncio.timeout(5):
                while await names(store) != ["first", "silent"]:  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
        await store.flush()
        assert await names(store) == ["silent"]


async def test_whose_heartbeats_are_not_written_judges_nobody(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After the record was away, those that live are heard of no sooner than we are."""
    with hurried(monkeypatch, lost_s=0.6):
        monkeypatch.setattr(store, "put", lambda change: None)
        await store.claim("lost", "a")
        async with one(store, "first", []):
            await asyncio.sleep(2.5)
        assert (await shown(store, "lost")).outcome == ""


async def test_a_call_that_nobody_takes_up_again_is_ended_by_a_running_controller(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with hurried(monkeypatch, lost_s=2.0):
        async with rig(
            model={"greeting": "caller_interrupts"}, secretary=SECRETARY, ladder=GIVES_UP
        ) as of:
            lost, live = await of.switch.call(), await of.switch.call()
            await greeted(live)
            store = of.controller.store
            assert store is not None
            (me,) = await store.controllers()
            assert json.loads(me.calls)[live.uuid]["state"] == "talking"
            assert (me.state, me.web) == ("ready", of.controller.web_url)
            session = of.controller.calls.calls[lost.uuid]
            await session.hand_back(asyncio.get_running_loop().time() + 5)
            await until(lambda: lost.uuid not in of.controller.calls.calls)
            assert (await of.record(lost.uuid))["outcome"] == INTERRUPTED
            assert (await ended(store, lost.uuid)).outcome == LOST
            (delivery,) = await store.take_due(time.time() + 99, 10, time.time() + 99)
            assert (delivery.url, delivery.call_uuid) == (URL, lost.uuid)
            assert (await of.record(live.uuid))["outcome"] == ""
            assert live.uuid in of.controller.calls.calls
            live.hangup()
            await live.ended()

"""The store as a whole: its end, its death, its loop."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import uvloop
from structlog.testing import capture_logs

from esl_controller.store import Store, StoreError, reading, sqlite
from esl_controller.store import store as store_module
from esl_controller.store.writing import Writer
from tests.store.conftest import Database
from tests.store.samples import UUID, deliver, turn


async def test_what_was_put_is_written_at_the_end(url: str) -> None:
    async with Store.open(url) as store:
        for number in range(300):
            store.put(turn(number))
    async with reading(url) as reader:
        call = await reader.call(UUID)
    assert call is not None
    assert len(call.turns) == 300


async def test_the_end_does_not_wait_for_a_database_that_is_away(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 10)
    monkeypatch.setattr(store_module, "CLOSE_S", 0.1)
    before = asyncio.all_tasks()
    with capture_logs() as logs:
        async with asyncio.timeout(5), AsyncExitStack() as stack:
            store = await stack.enter_async_context(Store.open(database.url))
            with database.away():
                store.put(turn(1))
                store.put(turn(2))
                await stack.aclose()
    assert logs[-1] == {
        "event": "the end of the call record was not written",
        "log_level": "error",
        "changes": 2,
    }
    assert asyncio.all_tasks() == before


async def test_what_was_put_is_written_when_the_block_fails(url: str) -> None:
    async def fail() -> None:
        async with Store.open(url) as store:
            store.put(turn(1))
            raise KeyError

    with pytest.raises(KeyError):
        await fail()
    async with reading(url) as reader:
        assert await reader.call(UUID)


async def test_a_record_that_cannot_be_opened_leaves_no_task(database: Database) -> None:
    async with Store.open(database.url):
        pass
    database.sql("UPDATE alembic_version SET version_num = '9999'")
    before = asyncio.all_tasks()
    with pytest.raises(StoreError):
        async with Store.open(database.url):
            pass
    assert asyncio.all_tasks() == before


_KILLED = """
import asyncio, os, signal, sys
from esl_controller.store import Store
from esl_controller.store.records import DeliveryQueued
from esl_controller.call.records import Turn

async def main(url):
    async with Store.open(url) as store:
        store.put(Turn("u", 1, "agent", "Hello", "Hello", 1.0))
        store.put(DeliveryQueued("http://127.0.0.1:9/", "message", "{}", "u"))
        await store.flush()
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(main(sys.argv[1]))
"""


async def test_what_was_written_outlives_a_kill(url: str) -> None:
    done = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", _KILLED, url], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (-9, "")
    async with reading(url) as reader:
        assert await reader.call("u")
    async with Store.open(url) as store:
        assert [one.kind for one in await store.take_due(2e9, 10, 3e9)] == ["message"]


def test_it_runs_on_uvloop(url: str) -> None:
    async def run() -> int:
        async with Store.open(url) as store:
            store.put(deliver("http://h"))
            await store.flush()
            return len(await store.take_due(2e9, 10, 3e9))

    assert uvloop.run(run()) == 1


async def test_who_waits_no_longer_leaves_no_lock(url: str) -> None:
    async def ask(store: Store) -> None:
        while True:
            await store.take_due(0.0, 1, 0.0)

    async with Store.open(url) as store:
        for tries in range(60):
            asks = [asyncio.create_task(ask(store)) for _ in range(2)]
            for _ in range(tries):
                store.put(turn(1))
                await asyncio.sleep(0.001)
            for one in asks:
                one.cancel()
            await asyncio.gather(*asks, return_exceptions=True)
            async with asyncio.timeout(2):
                await store.flush()


async def test_a_bug_that_ends_the_writer_does_not_stay_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(_: Writer) -> None:
        raise RuntimeError("bug")

    monkeypatch.setattr(Writer, "run", broken)
    monkeypatch.setattr(store_module, "CLOSE_S", 0.01)
    async with Store.open(f"sqlite:///{tmp_path}/calls.db") as store:
        with pytest.raises(RuntimeError, match="bug"):
            await store.writer_ended()

"""A real PostgreSQL that is away, refuses us, falls silent; and several controllers on it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import pytest
from structlog.testing import capture_logs

from esl_controller.store import Store, StoreError, postgresql, reading, writing
from esl_controller.store.database import open_engine
from tests import postgres
from tests.store.samples import UUID, turn
from tests.store.test_database import made, refused


@pytest.fixture
def server(postgresql: postgres.Server) -> postgres.Server:
    return postgresql


@pytest.fixture
def database(server: postgres.Server) -> Iterator[postgres.Database]:
    made = postgres.Database(server)
    yield made
    made.drop()


async def numbers(store: Store) -> list[int]:
    call = await store.call(UUID)
    return [turn.number for turn in call.turns] if call else []


@pytest.mark.parametrize("scheme", ["postgresql", "postgresql+asyncpg"])
async def test_two_ways_to_write_its_url(database: postgres.Database, scheme: str) -> None:
    await made(f"{scheme}://{database.url.partition('://')[2]}")


async def test_its_socket(database: postgres.Database) -> None:
    server = database.server
    url = f"postgresql://postgres:{postgres.PASSWORD}@:{server.port}/{database.name}"
    await made(f"{url}?host={server.socket_folder}")


async def test_encryption_is_asked_for(database: postgres.Database) -> None:
    assert "SSL" in await refused(f"{database.url}?sslmode=require")
    await made(f"{database.url}?sslmode=disable")


async def test_a_wrong_password(database: postgres.Database) -> None:
    url = database.server.url(database.name, password="hidden")
    assert await refused(url) == (
        f"the record at postgresql://127.0.0.1:{database.server.port}/{database.name} cannot be"
        ' written: password authentication failed for user "postgres": check user and password in'
        " [store] url"
    )


async def test_a_database_that_does_not_exist(server: postgres.Server) -> None:
    line = await refused(server.url("nowhere"))
    assert 'database "nowhere" does not exist: make it with createdb' in line
    assert postgres.PASSWORD not in line


async def test_a_server_that_is_not_there(server: postgres.Server) -> None:
    url = server.url("calls").replace(str(server.port), "1")
    for read_only in (False, True):
        line = await refused(url, read_only=read_only)
        assert line.startswith("the record at postgresql://127.0.0.1:1/calls cannot be")
        assert line.endswith("is PostgreSQL running there, and is [store] url right?")
        assert postgres.PASSWORD not in line


async def test_a_user_without_rights(database: postgres.Database) -> None:
    name = f"user_of_{database.name}"
    url = database.server.url(database.name, name, "other")
    database.sql(f"CREATE ROLE {name} LOGIN PASSWORD 'other'")
    try:
        assert "permission denied for schema public: let the user" in await refused(url)
        await made(database.url)
        assert "permission denied for table" in await refused(url, read_only=True)
        database.sql(f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}")
        # There is nothing to make any more.
        await made(url)
    finally:
        database.sql(f"DROP OWNED BY {name};\nDROP ROLE {name}")


async def test_controllers_that_start_at_once_make_the_tables_once(
    database: postgres.Database,
) -> None:
    starts = (made(database.url) for _ in range(8))
    async with asyncio.timeout(10):
        assert await asyncio.gather(*starts, return_exceptions=True) == [None] * 8
    assert database.sql("SELECT count(*) FROM alembic_version") == "1"


async def test_a_server_that_stops_for_a_while_takes_nothing_away(
    server: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writing, "GATHER_S", 0.05)
    database = postgres.Database(server)
    count = 0

    async def talk(store: Store) -> None:
        nonlocal count
        while True:
            store.put(turn(count))
            count += 1
            await asyncio.sleep(0.005)

    with capture_logs() as logs:
        async with Store.open(database.url) as store:
            talking = asyncio.create_task(talk(store))
            await asyncio.sleep(0.3)
            await asyncio.to_thread(server.stop)
            before = count
            await asyncio.sleep(2)
            with pytest.raises(StoreError, match="is PostgreSQL running there"):
                await store.call(UUID)
            during = count - before
            await asyncio.to_thread(server.start)
            await asyncio.sleep(0.3)
            talking.cancel()
            await store.flush()
            assert await numbers(store) == list(range(count))
    database.drop()
    assert during > 100
    assert store.dropped == 0
    assert [line["event"] for line in logs] == [
        "the call record cannot be written now",
        "the call record is written again",
    ]


async def test_a_server_that_falls_silent_does_not_hold_anybody_up_for_ever(
    server: postgres.Server, database: postgres.Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgresql, "ANSWER_S", 0.3)
    monkeypatch.setattr(postgresql, "CONNECT_S", 0.3)
    async with Store.open(database.url) as store:
        store.put(turn(1))
        await store.flush()
        with server.silent():
            store.put(turn(2))
            asked = asyncio.create_task(store.call(UUID))
            await asyncio.wait([asked], timeout=5)
            assert isinstance(asked.done() and asked.exception(), StoreError)
        await store.flush()
        assert await numbers(store) == [1, 2]
        assert store.dropped == 0


async def test_a_connection_that_was_ended_is_replaced_before_it_is_used(
    database: postgres.Database,
) -> None:
    async with Store.open(database.url) as store:
        assert await store.call(UUID) is None
        with database.away():
            pass
        assert await store.call(UUID) is None


async def test_a_reader_beside_a_writer(database: postgres.Database) -> None:
    async with Store.open(database.url) as store:
        store.put(turn(1))
        await store.flush()
        async with reading(database.url) as reader:
            assert await reader.call(UUID) == await store.call(UUID)


async def test_its_address_is_told_without_user_and_password(database: postgres.Database) -> None:
    engine = await open_engine(database.url)
    assert postgres.PASSWORD not in f"{engine!r} {engine.url!r}"
    await engine.dispose()


async def test_a_server_that_is_silent_does_not_hold_up_the_end(
    server: postgres.Server, database: postgres.Database
) -> None:
    """A controller that stops has 10 s, and may take 5 of them to hand its calls over."""
    async with AsyncExitStack() as stack:
        store = await stack.enter_async_context(Store.open(database.url))
        await asyncio.gather(*(store.call(UUID) for _ in range(4)))
        with server.silent():
            store.put(turn(1))
            began = time.monotonic()
            with capture_logs() as logs:
                await stack.aclose()
            assert time.monotonic() - began < 5.0
        assert "the end of the call record was not written" in [line["event"] for line in logs]

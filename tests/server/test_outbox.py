"""Deliveries to receivers that accept them, refuse them, or are not there."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import re
import sqlite3
import time
from collections.abc import AsyncIterator, Callable, Iterator, MutableMapping
from contextlib import closing
from dataclasses import asdict, fields
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import orjson
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from structlog.testing import capture_logs

from esl_controller.call.agent import Usage
from esl_controller.call.records import ToolUsed, Turn
from esl_controller.server import outbox
from esl_controller.server.outbox import Outbox
from esl_controller.session.webhook_http import signature, webhook_session
from esl_controller.store import Store, records, sqlite
from esl_controller.store.records import CallStarted, Delivery, DeliveryQueued, Noted, StoredCall
from tests import postgres
from tests.lateness import LoopWatch
from tests.paths import ROOT

UUID = "0b6a7e5e-2f0f-4f0c-9f53-6b3d9f0f7a11"
LOOPBACK = ip_network("127.0.0.0/8")
SECRET = "s3cret-of-webhooks"


class Receiver:
    """Answers with ``statuses`` in turn, then always with 204; None: does not answer."""

    def __init__(self, *statuses: int | None) -> None:
        self.statuses = list(statuses)
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.times: list[float] = []
        self._changed = asyncio.Condition()

    async def handle(self, request: web.Request) -> web.Response:
        body = await request.read()
        async with self._changed:
            self.got.append((dict(request.headers), body))
            self.times.append(time.monotonic())
            self._changed.notify_all()
        status = self.statuses.pop(0) if self.statuses else 204
        if status is None:
            await asyncio.sleep(60)
        return web.Response(status=status or 204, headers={"Location": "/elsewhere"})

    async def received(self, count: int, within_s: float = 5) -> None:
        async with asyncio.timeout(within_s), self._changed:
            await self._changed.wait_for(lambda: len(self.got) >= count)

    def ids(self) -> list[str]:
        return [headers["X-Esl-Controller-Id"] for headers, _ in self.got]


@contextlib.asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[str]:
    """The URL of ``receiver``."""
    application = web.Application()
    application.router.add_post("/hook", receiver.handle)
    application.router.add_get("/elsewhere", receiver.handle)
    async with TestServer(application, host="127.0.0.1") as server:
        yield str(server.make_url("/hook"))


@contextlib.asynccontextmanager
async def running(store: Store, secret: str = SECRET) -> AsyncIterator[None]:
    task = asyncio.create_task(Outbox(store, secret, lambda: webhook_session([LOOPBACK])).run())
    try:
        yield
        assert not task.done(), task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def nothing_waits(store: Store) -> None:
    async with asyncio.timeout(5):
        while await store.next_due() is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(records, "FIRST_RETRY_S", 0.02)
    monkeypatch.setattr(outbox, "TIMEOUT_S", 0.2)
    monkeypatch.setattr(outbox, "READ_AGAIN_S", 0.02)


@pytest.fixture
def logs() -> Iterator[list[MutableMapping[str, Any]]]:
    with capture_logs() as lines:
        yield lines


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path}/calls.db"


@pytest.fixture
async def store(url: str) -> AsyncIterator[Store]:
    async with Store.open(url) as store:
        yield store


async def test_an_event_is_delivered_once_and_signed(store: Store) -> None:
    receiver = Receiver()
    async with listening(receiver) as hook, running(store):
        put = DeliveryQueued(hook, "message", '{"name": "José"}', UUID)
        store.put(put)
        await receiver.received(1)
        await nothing_waits(store)
    [(headers, body)] = receiver.got
    assert json.loads(body) == {"name": "José"}
    assert headers["Content-Type"] == "application/json"
    assert headers["X-Esl-Controller-Event"] == "message"
    assert headers["X-Esl-Controller-Id"] == put.id
    timestamp = headers["X-Esl-Controller-Timestamp"]
    assert abs(int(timestamp) - time.time()) < 5
    expected = hmac.new(SECRET.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    assert headers["X-Esl-Controller-Signature"] == f"sha256={expected.hexdigest()}"


async def test_the_database_is_read_only_when_something_is_due(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    real = store.take_due

    async def take_due(now: float, limit: int, until: float) -> list[Delivery]:
        reads.append(now)
        return await real(now, limit, until)

    monkeypatch.setattr(store, "take_due", take_due)
    receiver = Receiver()
    async with listening(receiver) as hook, running(store):
        store.put(DeliveryQueued(hook, "message", "{}", UUID))
        await receiver.received(1)
        await nothing_waits(store)
        await asyncio.sleep(0.1)
    # At the start, with the delivery, and after it.
    assert len(reads) <= 4


@pytest.mark.parametrize("page", ["docs/webhooks.md", "docs/pt/webhooks.md"])
def test_the_docs_tell_how_to_check_a_signature(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    [code] = [part for part in re.findall(r"```python\n(.*?)```", text, re.S) if "hmac" in part]
    names: dict[str, Callable[[dict[str, str], bytes, str], bool]] = {}
    exec(code, names)
    body = b'{"a": 1}'

    def accepted(age_s: float, sent: bytes = body, secret: str = SECRET) -> bool:
        timestamp = str(int(time.time() - age_s))
        headers = {
            "X-Esl-Controller-Timestamp": timestamp,
            "X-Esl-Controller-Signature": signature(secret, timestamp, body),
        }
        return names["is_genuine"](headers, sent, SECRET)

    assert accepted(0)
    assert not accepted(0, sent=b'{"a": 2}')
    assert not accepted(0, secret="other")
    assert not accepted(3600)


async def test_the_record_of_the_call_is_sent_as_it_is_then(store: Store) -> None:
    receiver = Receiver(500)
    async with listening(receiver) as hook, running(store):
        store.put(CallStarted(UUID, "tenant", "clinic", "+5511", "8000", 1.0))
        store.put(Turn(UUID, 1, "caller", "", "", 2.0))
        store.put(DeliveryQueued(hook, "call_ended", "", UUID))
        await receiver.received(1)
        store.put(Turn(UUID, 1, "caller", "late words", "", 2.0))
        await store.flush()
        await receiver.received(2)
        call = await store.call(UUID)
    assert call is not None
    assert json.loads(receiver.got[-1][1]) == call.as_dict()
    assert call.turns[0].text == "late words"


async def test_of_a_call_without_end_the_newest_is_sent_and_nobody_waits_for_it(
    store: Store, url: str, watched_loop: LoopWatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "TIMEOUT_S", 10.0)  # the watch leaves the other threads little time
    store.put(CallStarted(UUID, "tenant", "clinic", "+5511", "8000", 1.0))
    store.put(Noted(UUID, 2.0, "an old note"))
    store.put(Noted(UUID, 30_000.0, "a new note"))
    await store.flush()
    turns = [Turn(UUID, number, "agent", "x" * 400, "", 3.0 + number) for number in range(20_000)]
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
        columns = [field.name for field in fields(Turn)]
        places = ", ".join("?" * len(columns))
        query = f"INSERT INTO turns ({', '.join(columns)}) VALUES ({places})"
        database.executemany(query, [tuple(asdict(turn).values()) for turn in turns])
    receiver = Receiver()
    async with listening(receiver) as hook, watched_loop, running(store):
        store.put(DeliveryQueued(hook, "call_ended", "", UUID))
        await receiver.received(1, within_s=30)
    [(_, body)] = receiver.got
    told = json.loads(body)
    assert [turn["number"] for turn in told["turns"]] == [*range(19_000, 20_000)]
    assert told["shortened"] is True
    whole = await store.call(UUID)
    assert whole is not None
    assert len(whole.turns) == 20_000, "esl-controller calls show has all"


def test_a_record_is_sent_in_so_many_bytes_without_what_is_oldest() -> None:
    def body(*turns: Turn, tools: int = 0) -> dict[str, Any]:
        used = [
            ToolUsed(UUID, f"c{number}", "find", "{}", json.dumps("é" * 4000), 10.0 + number, 1)
            for number in range(tools)
        ]
        notes = [Noted(UUID, 1.0, "old"), Noted(UUID, 1_000.0, "new")]
        whole = StoredCall(
            *(UUID, "d", "s", "c", "n", 1.0, None, "", "", "", Usage()),
            *(turns, used, [], notes),
        )
        sent = outbox.record_body(whole)
        assert len(sent) <= outbox.RECORD_LIMIT
        found: dict[str, Any] = json.loads(sent)
        assert sent == orjson.dumps(whole.as_dict()) or found["shortened"]
        return found

    first = Turn(UUID, 1, "agent", "Hello", "Hello", 2.0)
    assert "shortened" not in body(first, tools=30)
    cut = body(first, tools=200)
    assert cut["turns"] == []
    assert [note["text"] for note in cut["notes"]] == ["new"]
    kept = [tool["call_id"] for tool in cut["tools"]]
    assert kept == [f"c{number}" for number in range(200 - len(kept), 200)]
    size = len(orjson.dumps(cut["tools"][0]))
    assert len(orjson.dumps(cut)) > outbox.RECORD_LIMIT - size, "more would have had room"


@pytest.mark.parametrize("status", [302, 404, 500, None])
async def test_what_is_not_taken_is_sent_again(
    store: Store, status: int | None, logs: list[MutableMapping[str, Any]]
) -> None:
    receiver = Receiver(status, status, status)
    async with listening(receiver) as hook, running(store):
        store.put(DeliveryQueued(hook, "message", "{}", UUID))
        await receiver.received(4)
        await nothing_waits(store)
    assert len(receiver.got) == 4
    assert len(set(receiver.ids())) == 1
    gaps = [b - a for a, b in zip(receiver.times, receiver.times[1:], strict=False)]
    assert all(gap >= least for gap, least in zip(gaps, (0.02, 0.04, 0.08), strict=True))
    failed = [line for line in logs if line["event"] == "delivery failed"]
    reason = "no answer within 0.2 s" if status is None else f"127.0.0.1 answered {status}"
    assert [(line["reason"], line["again_in_s"]) for line in failed] == [
        (reason, 0.02),
        (reason, 0.04),
        (reason, 0.08),
    ]


@pytest.mark.parametrize(
    "hook",
    [
        "http://127.0.0.1:9/hidden?token=hidden",
        "http://127.0.0.1:99999/hidden",
        "http://a..b/hidden",
        "ftp://127.0.0.1/hidden",
        "hidden",
    ],
)
async def test_a_receiver_that_is_not_there(
    store: Store, hook: str, logs: list[MutableMapping[str, Any]]
) -> None:
    async with running(store):
        store.put(DeliveryQueued(hook, "message", "{}", UUID))
        async with asyncio.timeout(5):
            while len(logs) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    assert {line["event"] for line in logs} == {"delivery failed"}
    assert "hidden" not in str(logs)


async def test_a_receiver_that_does_not_speak_http(
    store: Store, logs: list[MutableMapping[str, Any]]
) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example.net ESMTP\r\n")
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, running(store):
        store.put(DeliveryQueued(f"http://127.0.0.1:{port}/hidden", "message", "{}", UUID))
        async with asyncio.timeout(5):
            while not logs:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
    assert logs[0]["event"] == "delivery failed"
    assert "hidden" not in str(logs)


async def test_a_delivery_is_given_up_at_last(
    store: Store, monkeypatch: pytest.MonkeyPatch, logs: list[MutableMapping[str, Any]]
) -> None:
    monkeypatch.setattr(outbox, "GIVE_UP_S", 0.1)
    monkeypatch.setattr(records, "LAST_RETRY_S", 0.05)
    monkeypatch.setattr(outbox, "GIVE_UP_TRIES", 2)
    receiver = Receiver(*[500] * 100)
    async with listening(receiver) as hook, running(store):
        store.put(DeliveryQueued(hook, "message", "{}", UUID))
        await receiver.received(1)
        await nothing_waits(store)
    assert 2 <= len(receiver.got) <= 6
    assert logs[-1]["event"] == "delivery given up"
    call = await store.call(UUID)
    assert call is not None
    [note] = call.notes
    assert note.text == "delivery of message given up: 127.0.0.1 answered 500"


async def test_a_restart_loses_no_delivery(url: str) -> None:
    receiver = Receiver(None)
    async with listening(receiver) as hook:
        async with Store.open(url) as store:
            store.put(DeliveryQueued(hook, "message", '{"n": 1}', UUID))
        async with Store.open(url) as store, running(store):
            # Stopped between the request and its answer: it is sent again.
            await receiver.received(1)
        async with Store.open(url) as store, running(store):
            await receiver.received(2)
            await nothing_waits(store)
    assert [body for _, body in receiver.got] == [b'{"n": 1}'] * 2
    assert len(set(receiver.ids())) == 1


async def test_many_deliveries_and_a_receiver_that_is_down(store: Store) -> None:
    bad, good = Receiver(*[500] * 1000), Receiver()
    async with listening(bad) as down, listening(good) as up, running(store):
        for number in range(40):
            store.put(DeliveryQueued(down, "message", "{}", UUID))
            store.put(DeliveryQueued(up, "message", str(number), UUID))
        await good.received(40)
    assert sorted(int(body) for _, body in good.got) == list(range(40))


async def test_unsigned_deliveries_are_logged_once(
    store: Store, logs: list[MutableMapping[str, Any]]
) -> None:
    receiver = Receiver()
    async with listening(receiver) as hook, running(store, secret=""):
        for _ in range(3):
            store.put(DeliveryQueued(hook, "message", "{}", UUID))
        await receiver.received(3)
    assert all("X-Esl-Controller-Signature" not in headers for headers, _ in receiver.got)
    warnings = [line["event"] for line in logs if line["log_level"] == "warning"]
    assert warnings == ["deliveries are not signed: ESL_CONTROLLER_WEBHOOK_SECRET is not set"]


async def test_deliveries_wait_while_the_database_is_away(
    url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    logs: list[MutableMapping[str, Any]],
) -> None:
    monkeypatch.setattr(sqlite, "BUSY_TIMEOUT_MS", 10)
    receiver = Receiver()
    async with listening(receiver) as hook, Store.open(url) as store:
        store.put(DeliveryQueued(hook, "message", "{}", UUID))
        await store.flush()
        with closing(sqlite3.connect(tmp_path / "calls.db", isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            async with running(store):
                async with asyncio.timeout(5):
                    while not logs:  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
                other.execute("ROLLBACK")
                await receiver.received(1)
    assert logs[0]["event"] == "deliveries wait"
    assert logs[0]["reason"] == "the call record cannot be read: database is locked"


async def test_of_two_controllers_one_delivers(
    postgresql: postgres.Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "TIMEOUT_S", 10.0)  # who gets no answer sends it again
    receiver = Receiver()
    made = postgres.Database(postgresql)
    async with (
        listening(receiver) as hook,
        Store.open(made.url) as store,
        Store.open(made.url) as other,
        running(store),
        running(other),
    ):
        for number in range(100):
            (store, other)[number % 2].put(DeliveryQueued(hook, "message", str(number), UUID))
        await receiver.received(100)
        await nothing_waits(store)
    assert sorted(int(body) for _, body in receiver.got) == list(range(100))
    made.drop()


async def test_what_a_dead_controller_had_taken_is_sent_by_another(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LOOK_AGAIN_S", 0.05)
    receiver = Receiver()
    async with listening(receiver) as hook, Store.open(url) as other:
        store.put(DeliveryQueued(hook, "message", "{}", UUID))
        await store.flush()
        now = time.time()
        assert len(await store.take_due(now, 1, until=now + 0.3)) == 1
        async with running(other):
            await receiver.received(1)
            assert time.time() >= now + 0.3
            await nothing_waits(store)


async def test_what_another_controller_left_behind_is_found(
    store: Store, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "LOOK_AGAIN_S", 0.05)
    receiver = Receiver()
    async with listening(receiver) as hook, Store.open(url) as other, running(other):
        await asyncio.sleep(0.05)
        store.put(DeliveryQueued(hook, "message", "{}", UUID))
        await receiver.received(1)


async def test_who_stops_gives_back_what_it_was_sending(store: Store) -> None:
    receiver = Receiver(None)
    async with listening(receiver) as hook:
        async with running(store):
            store.put(DeliveryQueued(hook, "message", "{}", UUID))
            await receiver.received(1)
        await store.flush()
        at = await store.next_due()
    assert at is not None
    assert at <= time.time()

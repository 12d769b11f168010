"""PostgreSQL that goes away for ten seconds in the middle of whole calls, and comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

import pytest
from structlog.testing import capture_logs

from esl_controller.simulator.freeswitch import CallStandIn
from esl_controller.simulator.model.session import ModelSession
from esl_controller.store import postgresql as store_postgresql
from tests import postgres
from tests.calls.rig import Rig, greeted, rig, words
from tests.waiting import until

AWAY_S = 10.0
CALLS = 5
GAP_S = 0.25  # so late may a loaded machine be; who waits for a database is later

Absence = Callable[[postgres.Server], AbstractContextManager[None]]


@contextmanager
def crashed(server: postgres.Server) -> Iterator[None]:
    """It ends at once, and is started again."""
    server.stop(immediate=True)
    try:
        yield
    finally:
        server.start()


@contextmanager
def silent(server: postgres.Server) -> Iterator[None]:
    """It is there, and answers nothing."""
    with server.silent():
        yield


@asynccontextmanager
async def away(
    server: postgres.Server, how: Absence, seconds: float = AWAY_S
) -> AsyncIterator[None]:
    """In this block, which lasts so long at least, there is no database."""
    with ExitStack() as stack:
        await asyncio.to_thread(stack.enter_context, how(server))
        back_at = time.monotonic() + seconds
        try:
            yield
            await asyncio.sleep(back_at - time.monotonic())
        finally:
            await asyncio.to_thread(stack.close)


@dataclass
class Talk:
    """A call, and the model's side of it."""

    call: CallStandIn
    model: ModelSession

    @property
    def said(self) -> list[tuple[str, str]]:
        """By whom, and what, as the model knows it."""
        bodies = [item.body for item in self.model.conversation.items]
        who = {"assistant": "agent", "user": "caller"}
        return [(who[body["role"]], body["content"][0]["transcript"]) for body in bodies]

    async def turn(self) -> None:
        """The caller says something, and hears the whole answer."""
        answers = len(self.model.record.spoken)
        self.call.speak(*words())
        await until(lambda: len(self.model.record.spoken) > answers, 15)
        await greeted(self.call)

    async def turns(self, over: asyncio.Event) -> None:
        """One after the other until it is ``over``."""
        while not over.is_set():
            await self.turn()


async def begin(of: Rig) -> Talk:
    """A new call that hears us."""
    sessions = len(of.model.sessions)
    call = await of.switch.call()
    await call.wait_heard()
    return Talk(call, of.model.sessions[sessions])


@pytest.mark.parametrize("how", [crashed, silent])
async def test_calls_go_on_and_the_record_misses_nothing(
    postgresql: postgres.Server, how: Absence
) -> None:
    database = postgres.Database(postgresql)
    over = asyncio.Event()
    with capture_logs() as logs:
        async with rig(settings={"STORE_URL": database.url}) as of:
            talks = [await begin(of) for _ in range(CALLS)]
            await asyncio.gather(*(greeted(talk.call) for talk in talks))
            async with asyncio.TaskGroup() as group:
                async with away(postgresql, how):
                    before = [len(talk.said) for talk in talks]
                    for talk in talks:
                        group.create_task(talk.turns(over))
                    began = time.monotonic()
                    new = await begin(of)
                    assert time.monotonic() - began < 2, "a new call waits for the database"
                    await greeted(new.call)
                    await new.turn()
                    new.call.hangup()
                assert all(len(t.said) > b for t, b in zip(talks, before, strict=True))
                over.set()
            assert max(talk.call.longest_gap() for talk in talks) < GAP_S
            for talk in talks:
                talk.call.hangup()
            await of.no_calls()
            store = of.controller.store
            assert store is not None
            for talk in (*talks, new):
                stored = await of.record(talk.call.uuid)
                assert [(turn["who"], turn["text"]) for turn in stored["turns"]] == talk.said
                assert stored["outcome"] == "completed"
            assert store.dropped == 0
    database.drop()
    assert [line["event"] for line in logs if line["log_level"] == "warning"] == [
        "the call record cannot be written now"
    ]


@pytest.mark.parametrize("how", [crashed, silent])
async def test_who_has_a_call_is_asked_again_afterwards(
    postgresql: postgres.Server, how: Absence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_postgresql, "ANSWER_S", 0.5)
    database = postgres.Database(postgresql)
    async with rig(settings={"STORE_URL": database.url}) as of:
        talk = await begin(of)
        async with away(postgresql, how, seconds=2.5):
            pass
        store = of.controller.store
        assert store is not None
        await store.flush()
        await store.claim(talk.call.uuid, "somebody else")
        await of.no_lanes(5)
        talk.call.hangup()
    database.drop()

"""Two controllers over one PostgreSQL, as processes: each goes on with the other's calls."""

from __future__ import annotations

import asyncio
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from esl_controller.server import record as server_record
from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction, Ladder, SwitchStandIn
from esl_controller.simulator.freeswitch.outbound import OutboundConnection
from esl_controller.simulator.freeswitch.wire import SocketCommand
from esl_controller.simulator.model import ModelStandIn, ScriptedCall
from esl_controller.store import reading
from esl_controller.store.records import StoredCall
from tests import postgres
from tests.calls.rig import greeted, rig, words
from tests.live.freeswitch import free_port
from tests.live.processes import Serving, serving
from tests.waiting import until

SECOND = "8002"  # the number that only the second controller is dialled for
LADDER = Ladder(tries=600, wait=0.1)

Said = Mapping[int, list[str]]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Said:
    """The commands that came to the switch, by the port of the controller that they came from."""
    commands: dict[int, list[str]] = defaultdict(list)
    answer = OutboundConnection.command

    async def noted(self: OutboundConnection, command: SocketCommand) -> bytes:
        port = self._writer.get_extra_info("peername")[1]
        commands[port].append(command.line)
        return await answer(self, command)

    monkeypatch.setattr(OutboundConnection, "command", noted)
    return commands


@pytest.fixture
def database(postgresql: postgres.Server) -> Iterator[postgres.Database]:
    made = postgres.Database(postgresql)
    yield made
    made.drop()


@dataclass
class Pair:
    """A switch that dials the first of two controllers if that is there, and else the second."""

    switch: SwitchStandIn
    model: ModelStandIn
    database: postgres.Database
    environments: list[dict[str, str]]
    stack: AsyncExitStack
    controllers: dict[int, Serving] = field(default_factory=dict)

    def port(self, number: int) -> int:
        """Where a controller listens for calls."""
        return int(self.environments[number]["ESL_CONTROLLER_ESL_PORT"])

    async def start(self, number: int) -> None:
        """Start a controller, and wait until its first call is like any other."""
        serves = serving(self.environments[number])
        started = await self.stack.enter_async_context(serves)
        await until(lambda: any(line["event"] == "settled" for line in started.lines), 20)
        self.controllers[number] = started

    async def end(self, number: int, how: signal.Signals) -> None:
        """End a controller, and wait until a model has the next session for its call."""
        sessions = len(self.model.sessions)
        process = self.controllers.pop(number).process
        process.send_signal(how)
        await process.wait()
        await until(lambda: len(self.model.sessions) > sessions, 10)

    @contextmanager
    def frozen(self, number: int) -> Iterator[None]:
        """In this block a controller does nothing, and its connections stay."""
        process = self.controllers[number].process
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    async def calls(self, number: int) -> int:
        """How many live calls a controller has."""
        return int((await self.controllers[number].get("/readyz"))["calls"])

    async def greeted(self, call: CallStandIn) -> None:
        """Wait until the greeting has been heard, and is written: who goes on knows of its end."""
        await greeted(call)
        await self.record(call, lambda stored: stored.turns and stored.turns[0].ended_at)

    async def turn(self, call: CallStandIn) -> None:
        """The caller says something, and hears the whole answer."""
        record = self.model.sessions[-1].record
        before = len(record.spoken)
        call.speak(*words())
        await until(lambda: len(record.spoken) > before, 15)
        await greeted(call)

    async def record(
        self, call: CallStandIn, complete: Callable[[StoredCall], object]
    ) -> StoredCall:
        """What is written down of the call, once it is ``complete``."""
        async with asyncio.timeout(10), reading(self.database.url) as reader:
            while True:
                stored = await reader.call(call.uuid)
                if stored is not None and complete(stored):
                    return stored
                await asyncio.sleep(0.05)


@asynccontextmanager
async def pair(
    database: postgres.Database, folder: Path, secretary: str = "", **model: Any
) -> AsyncIterator[Pair]:
    """Both controllers are ready."""
    (folder / "default.toml").write_text(secretary)
    ports = [free_port(), free_port()]
    first, second = (f"127.0.0.1:{port}" for port in ports)
    options = {"greeting": "caller_interrupts", "think_ms": 20, **model}
    to_second = [
        DialplanAction("set", "socket_resume=true"),
        DialplanAction("socket", f"{second} async full"),
    ]
    async with AsyncExitStack() as stack:
        standin = await stack.enter_async_context(ModelStandIn(**options))
        switch = SwitchStandIn(
            [first, second],
            ladder=LADDER,
            extensions={SECOND: [*to_second, DialplanAction("hangup")]},
        )
        await stack.enter_async_context(switch)
        shared = {
            "OPENAI_API_KEY": "sk-test",
            "ESL_CONTROLLER_AGENT_BASE_URL": standin.base_url,
            "ESL_CONTROLLER_MEDIA_PORT": "0",
            "ESL_CONTROLLER_ESL_MAX_LOAD": "0",
            "ESL_CONTROLLER_STORE_URL": database.url,
            "ESL_CONTROLLER_SECRETARIES_FOLDER": str(folder),
            "ESL_CONTROLLER_LOG_FORMAT": "json",
        }
        environments = [{**shared, "ESL_CONTROLLER_ESL_PORT": str(port)} for port in ports]
        of = Pair(switch, standin, database, environments, stack)
        await asyncio.gather(of.start(0), of.start(1))
        yield of


def media_urls(commands: list[str]) -> set[str]:
    """Where the switch was told to send callers' audio, without the call's path."""
    starts = [line.split() for line in commands if " start ws://" in line]
    return {line[-3].partition("/stream/")[0] for line in starts}


async def test_each_goes_on_with_the_calls_of_the_other(
    database: postgres.Database, tmp_path: Path, said: Said
) -> None:
    async with pair(database, tmp_path) as of:
        call = await of.switch.call()
        await of.greeted(call)
        await of.end(0, signal.SIGKILL)
        await of.turn(call)
        assert await of.calls(1) == 1
        await of.start(0)
        await of.end(1, signal.SIGTERM)
        await of.turn(call)
        assert await of.calls(0) == 1
        call.hangup()
        stored = await of.record(call, lambda stored: stored.outcome)
        first, second = (media_urls(said[of.port(number)]) for number in (0, 1))
    assert [turn.who for turn in stored.turns] == ["agent", "caller", "agent", "caller", "agent"]
    assert len(stored.notes) == 2
    # The first one has started anew meanwhile, on another port.
    assert [len(first), len(second)] == [2, 1]
    assert not first & second


async def test_one_that_was_frozen_steps_back_from_a_call_that_the_other_has(
    database: postgres.Database, tmp_path: Path, said: Said
) -> None:
    async with pair(database, tmp_path, "[limits]\nidle_s = 3") as of:
        call = await of.switch.call()
        await greeted(call)
        with of.frozen(0):
            assert "+OK" in await of.switch.api("uuid_transfer", f"{call.uuid} {SECOND}")
            await until(lambda: len(of.model.sessions) == 2, 10)
            await of.turn(call)
            await of.turn(call)
            commands = len(said[of.port(0)])
        # By now it would ask whether the caller is still there.
        log = of.controllers[0].lines
        await until(lambda: any("steps back" in line["event"] for line in log), 5)
        await of.turn(call)
        assert await of.calls(0) == 0
        assert await of.calls(1) == 1
        # It may have asked whether the switch is still there, which does nothing to the call.
        later = [line for line in said[of.port(0)][commands:] if "uuid_exists" not in line]
        assert later == []
        assert call.cause == ""
        call.hangup()
        stored = await of.record(call, lambda stored: stored.outcome)
    assert [turn.who for turn in stored.turns] == ["agent", *["caller", "agent"] * 3]
    assert stored.outcome == "completed"


async def test_who_lost_a_call_and_is_not_told_yet_does_not_hang_it_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(server_record, "WATCH_S", 60.0)
    model = {"script": (ScriptedCall(1, "end_call"),)}
    async with rig(model=model) as of:
        call = await of.switch.call()
        await greeted(call)
        call.speak(*words())
        store, record = of.controller.store, of.model.sessions[0].record
        assert store is not None
        await until(lambda: len(record.spoken) == 2, 15)  # greeting and farewell
        await store.claim(call.uuid, "somebody else")
        await of.no_lanes()
        await asyncio.sleep(0.1)
        assert call.cause == ""
        assert of.switch.sessions[call.uuid].controlled, "the connection was closed"
        call.hangup()


async def test_a_call_that_is_lost_while_nobody_can_read_its_record_is_kept(
    database: postgres.Database, tmp_path: Path
) -> None:
    """It begins anew, and what was said before stays."""
    async with pair(database, tmp_path) as of:
        call = await of.switch.call()
        await of.greeted(call)
        await of.end(0, signal.SIGKILL)
        await of.turn(call)
        await of.record(call, lambda stored: len(stored.turns) == 3)
        await of.start(0)
        with database.away():
            await of.end(1, signal.SIGKILL)
            await greeted(call)
        await of.record(call, lambda stored: len(stored.turns) == 4)
        await asyncio.sleep(2 * server_record.WATCH_S)
        await of.turn(call)
        assert await of.calls(0) == 1
        call.hangup()
        stored = await of.record(call, lambda stored: stored.outcome)
    who = ["agent", "caller", "agent"]
    assert [turn.who for turn in stored.turns] == [*who, *who]

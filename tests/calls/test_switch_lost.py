"""FreeSWITCH dies, hangs, or cannot be reached any more, with calls up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.request import urlopen

import pytest
from structlog.testing import capture_logs

from esl_controller.freeswitch import channel_commands
from esl_controller.freeswitch import connection as module
from esl_controller.server import listener as server
from esl_controller.simulator.freeswitch import Ladder, SwitchStandIn
from tests.calls.rig import Rig, greeted, rig
from tests.live.freeswitch import free_port
from tests.waiting import until

GIVES_UP = Ladder(tries=1, anew=False)
LATE_S = 3.0


class Wire:
    """The network between a switch and a controller. Made by ``wired``."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self.delay_s = 0.0  # what the switch says comes this much later
        self.asked = 0  # pieces that came from the controller
        self._to = port
        self._open: list[asyncio.Event] = []
        self._ends: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def swallow(self) -> None:
        """Of the connections that there are, take what is sent, and pass nothing on."""
        for connection in self._open:
            connection.clear()

    def cut(self) -> None:
        """Break all connections, as a process that dies does."""
        for end in self._ends:
            end.transport.abort()

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection to the controller."""
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self._to)
        self._ends |= {writer, to_writer}
        passing = asyncio.Event()
        passing.set()
        self._open.append(passing)
        for source, sink in ((reader, to_writer), (to_reader, writer)):
            task = asyncio.create_task(self._pump(source, sink, passing, slow=source is reader))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        passing: asyncio.Event,
        *,
        slow: bool,
    ) -> None:
        later = asyncio.get_running_loop().call_later
        try:
            while data := await source.read(65536):
                self.asked += not slow
                await passing.wait()
                if slow and self.delay_s:
                    later(self.delay_s, sink.write, data)
                else:
                    sink.write(data)
        except ConnectionError:
            pass
        finally:
            later(self.delay_s if slow else 0, sink.close)

    async def close(self) -> None:
        """Leave nothing behind."""
        self.cut()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def wired(
    of: Rig, ladder: Ladder = GIVES_UP, **switch_options: Any
) -> AsyncIterator[tuple[Wire, SwitchStandIn]]:
    """Another switch of ``of``'s controller, which reaches it over a wire."""
    wire = Wire(of.controller.calls.port)
    server = await asyncio.start_server(wire.carry, "127.0.0.1", 0)
    wire.port = server.sockets[0].getsockname()[1]
    async with SwitchStandIn(f"127.0.0.1:{wire.port}", ladder=ladder, **switch_options) as switch:
        yield wire, switch
        await wire.close()
        server.close()
        await server.wait_closed()


async def nothing_is_left(of: Rig, timeout: float) -> None:
    """Sessions, lanes, their ports and WebSockets are gone."""
    await of.no_calls(timeout)
    await of.no_lanes()
    await until(lambda: not of.controller.ports.taken)
    await until(lambda: not of.controller.streams._open)


async def takes_calls(of: Rig) -> None:
    """As if nothing had been: ready, and the next call is as good as any."""
    web = f"{of.controller.web_url}/readyz"
    with await asyncio.to_thread(urlopen, web, timeout=2) as reply:
        assert reply.status == 200
    call = await of.switch.call()
    await greeted(call)
    call.hangup()
    await call.ended()


async def test_a_switch_that_dies_takes_its_calls_along_and_nothing_else() -> None:
    async with rig(model={"greeting": "caller_interrupts"}) as of:
        stays = await of.switch.call()
        async with wired(of) as (wire, switch):
            calls = [await switch.call() for _ in range(3)]
            await greeted(calls[-1])
            wire.cut()
            await until(lambda: len(of.controller.calls.calls) == 1)
            for call in calls:
                record = await of.record(call.uuid)
                assert record["outcome"] == "interrupted"
                assert record["cause"] == "the Event Socket connection was lost"
                assert record["ended_at"] is not None
        assert stays.uuid in of.controller.calls.calls
        stays.hangup()
        await stays.ended()
        await nothing_is_left(of, 5)
        await takes_calls(of)


async def test_a_switch_that_is_silent_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """No connection breaks: TCP goes on to acknowledge, or only tries."""
    async with rig(model={"greeting": "caller_interrupts"}) as of, wired(of) as (wire, switch):
        monkeypatch.setattr(module, "PING_S", 0.5)
        calls = [await switch.call() for _ in range(3)]
        await greeted(calls[-1])
        await impatient(monkeypatch, wire)
        await asyncio.sleep(1.0)
        assert len(of.controller.calls.calls) == 3, "it answers"
        wire.swallow()
        await nothing_is_left(of, 3)
        for call in calls:
            record = await of.record(call.uuid)
            assert record["outcome"] == "interrupted"
            assert record["cause"].startswith("the switch no longer answers: no reply to api")
        monkeypatch.undo()
        await takes_calls(of)


async def impatient(monkeypatch: pytest.MonkeyPatch, wire: Wire) -> None:
    """The switch is given half a second for each answer. The question that may be on its way keeps
    the time that it was given: from the one after it on."""
    monkeypatch.setattr(channel_commands, "COMMAND_S", 0.5)
    asked = wire.asked
    await until(lambda: wire.asked >= asked + 2)


@asynccontextmanager
async def muted(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[tuple[Rig, Wire, SwitchStandIn]]:
    """A controller that also reaches the switch's own Event Socket."""
    monkeypatch.setattr(module, "PING_S", 0.5)
    port = free_port()
    reach = {"FREESWITCH_PORT": str(port)}
    async with rig(model={"greeting": "caller_interrupts"}, settings=reach) as of:
        event_socket = ("127.0.0.1", port)
        async with wired(of, Ladder(wait=0.05), event_socket=event_socket) as (wire, switch):
            yield of, wire, switch


async def test_a_call_on_a_mute_connection_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing tells the switch: without us the caller would hear silence for good."""
    async with muted(monkeypatch) as (of, wire, switch):
        call = await switch.call()
        await greeted(call)
        first = of.controller.calls.calls[call.uuid]
        await impatient(monkeypatch, wire)
        wire.swallow()
        await until(lambda: of.controller.calls.taken == 2, 5)
        again = of.controller.calls.calls[call.uuid]
        assert "the switch no longer answers" in first.call.cause
        await until(lambda: again.call.state.value == "talking")
        assert (again.epoch, call.cause) == (1, "")
        assert 0.4 < again.channel.away_s < 5, "the next controller knows how long it was"
        monkeypatch.undo()
        await until(lambda: (again.call.hearing, again.call.speaking_by) == ("stream", "lane"))
        await asyncio.sleep(0.5)
        assert of.controller.calls.taken == 2, "the old connection stays open"
        call.hangup()
        await call.ended()
        await nothing_is_left(of, 5)
        await until(lambda: not of.controller.calls._mute)


async def test_a_caller_who_was_transferred_is_not_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with muted(monkeypatch) as (of, wire, switch):
        call = await switch.call()
        await greeted(call)
        await impatient(monkeypatch, wire)
        await switch.api("uuid_setvar", f"{call.uuid} socket_resume")
        with capture_logs() as logs:
            wire.swallow()
            await until(lambda: any("taken back" in line["event"] for line in logs), 5)
        assert [line["reason"] for line in logs if "taken back" in line["event"]] == [
            "it was transferred"
        ]
        assert of.controller.calls.taken == 1


async def test_a_stop_does_not_wait_for_a_switch_that_is_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each call's command would be waited for, one call after the other."""
    async with rig(model={"greeting": "caller_interrupts"}) as of, wired(of) as (wire, switch):
        monkeypatch.setattr(server, "HAND_BACK_S", 0.5)
        calls = [await switch.call() for _ in range(4)]
        await greeted(calls[-1])
        wire.swallow()
        async with asyncio.timeout(3):
            await of.controller.calls.stop(0.5)
        for call in calls:
            assert (await of.record(call.uuid))["outcome"] == "interrupted"


async def test_a_call_comes_back_once_its_switch_can_be_reached_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "PING_S", 0.5)
    async with rig(model={"greeting": "caller_interrupts"}) as of:
        call = await of.switch.call()
        await greeted(call)
        session = of.controller.calls.calls[call.uuid]
        monkeypatch.setattr(channel_commands, "COMMAND_S", 0.5)
        monkeypatch.setattr(of.switch, "api", silent)
        await session.wait_over()
        monkeypatch.undo()
        await until(lambda: of.controller.calls.taken == 2)
        assert "the switch no longer answers" in session.call.cause
        again = of.controller.calls.calls[call.uuid]
        await until(lambda: again.call.state.value == "talking")
        assert again.epoch == 1
        call.hangup()
        await call.ended()


async def silent(name: str, arg: str) -> str:
    """A switch that does not come round to it."""
    await asyncio.sleep(2)
    return "+OK"


@pytest.mark.parametrize("playback", ["lane", "file"])
@pytest.mark.parametrize("state", ["preparing", "talking"])
async def test_a_hangup_that_is_told_late_is_no_fault(playback: str, state: str) -> None:
    """Lane and stream end with the call, and we find that out before we are told of the hangup."""
    with capture_logs() as logs:
        async with rig(settings={"MEDIA_PLAYBACK": playback}) as of, wired(of) as (wire, switch):
            call = await switch.call()
            await until(lambda: call.uuid in of.controller.calls.calls)
            session = of.controller.calls.calls[call.uuid]
            await until(lambda: session.call.state.value == state)
            if state == "talking":
                await greeted(call)
            wire.delay_s = LATE_S
            call.hangup()
            await of.no_calls(2 * LATE_S)
            record = await of.record(call.uuid)
    assert record["notes"] == []
    assert record["cause"] == "NORMAL_CLEARING"
    # On a busy machine the conversation has begun before the caller is gone.
    assert record["outcome"] in ("completed", *(["no audio"] if state == "preparing" else []))
    assert not [line for line in logs if line["log_level"] in ("warning", "error")]

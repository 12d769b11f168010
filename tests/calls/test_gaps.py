"""What comes, or is decided, at a moment when a call changes hands or ends."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from esl_controller.server import app
from esl_controller.server import record as server_record
from esl_controller.session.closing import HUNG_UP
from esl_controller.simulator.freeswitch import DialplanAction, SwitchStandIn
from esl_controller.simulator.freeswitch.stream import AudioStream
from esl_controller.simulator.model import ModelFaults, ScriptedCall
from esl_controller.simulator.model_base.record import SessionRecord
from media.stream import StreamHandler
from tests.calls.rig import Rig, greeted, rig, words
from tests.calls.test_killed import company
from tests.calls.test_talking import SALES, say
from tests.server.test_outbox import Receiver, listening
from tests.waiting import until

TRANSFER = (ScriptedCall(1, "transfer_call", '{"destination": "sales"}'),)


def connections(of: Rig) -> int:
    """How many Event Socket connections the controller holds."""
    return len(of.controller.calls._connections)


def requests(record: SessionRecord) -> list[dict[str, Any]]:
    """The replies that a session of the model was asked for."""
    return [event for event in record.client_events if event["type"] == "response.create"]


async def test_a_caller_who_is_transferred_to_nobody_leaves_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The call ends while the session still says goodbye to the model and the module."""
    there = {"1001": [DialplanAction("hangup", "USER_BUSY")]}
    async with rig(model={"script": TRANSFER}, secretary=SALES, extensions=there) as of:
        call = await of.switch.call()
        await greeted(call)
        drop = of.controller.streams.drop

        async def slow(handler: StreamHandler) -> None:
            await call.ended()
            await asyncio.sleep(0.1)
            await drop(handler)

        monkeypatch.setattr(of.controller.streams, "drop", slow)
        await say(call)
        assert await call.ended(15) == "USER_BUSY"
        await of.no_calls()
        await until(lambda: connections(of) == 0, 2)
        assert (await of.record(call.uuid))["outcome"] == "not reached"


async def test_a_transfer_waits_until_it_is_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    """A controller that is killed meanwhile leaves a record of where the caller was to go."""
    there = {"1001": [DialplanAction("hangup", "USER_BUSY")]}
    async with rig(model={"script": TRANSFER}, secretary=SALES, extensions=there) as of:
        store = of.controller.store
        assert store is not None
        flush, asked, may_write = store.flush, asyncio.Event(), asyncio.Event()

        async def slow() -> None:
            asked.set()
            await may_write.wait()
            await flush()

        call = await of.switch.call()
        await greeted(call)
        monkeypatch.setattr(server_record, "FLUSH_S", 10.0)
        monkeypatch.setattr(store, "flush", slow)
        await say(call)
        await asyncio.wait_for(asked.wait(), 15)
        await asyncio.sleep(0.3)
        assert call.cause == "", "the transfer was made before it was written down"
        may_write.set()
        assert await call.ended(15) == "USER_BUSY"
        await of.no_calls()


async def test_a_call_that_goes_on_elsewhere_in_mid_apology_has_ended_only_then() -> None:
    receiver = Receiver()
    model = {"faults": ModelFaults(refuse_key="http")}
    async with listening(receiver) as url:
        told = f'[events]\ncall_ended_url = "{url}"\n'
        async with rig(model=model, secretary=told) as of:
            call = await of.switch.call()
            await call.wait_heard()
            of.switch.sessions[call.uuid].connections[-1].cut()
            assert await call.ended(20) == "NORMAL_TEMPORARY_FAILURE"
            await of.no_calls()
            assert of.controller.calls.taken == 2
            assert (await of.record(call.uuid))["outcome"] == "model lost"
            await receiver.received(1)
            await asyncio.sleep(0.5)
    assert len(receiver.got) == 1


async def test_a_lane_without_a_socket_keeps_no_port() -> None:
    """One of thousands, and one less with each call: at last there would be none."""
    # An address that is not ours; when too many files are open, it is the same.
    async with rig(settings={"MEDIA_LANE_HOST": "203.0.113.1"}) as of:
        call = await of.switch.call()
        await call.wait_heard()
        assert [each.call.speaking_by for each in of.controller.calls.calls.values()] == ["file"]
        call.hangup()
        await of.no_calls()
        assert not of.controller.ports.taken


@asynccontextmanager
async def standby(of: Rig) -> AsyncIterator[SwitchStandIn]:
    """A switch that dials the controller of ``of``, and then another one on the same record."""
    async with app.running(of.controller.settings) as second:
        targets = [f"127.0.0.1:{each.calls.port}" for each in (of.controller, second)]
        async with SwitchStandIn(targets) as switch:
            yield switch


async def test_who_takes_a_call_over_owes_the_answer_that_was_asked_for_just_before() -> None:
    async with rig(model={"think_ms": 5000}) as of, standby(of) as switch:
        call = await switch.call()
        await greeted(call)
        await say(call)
        await until(lambda: len(requests(of.model.sessions[0].record)) == 2)
        await of.controller.calls.stop()
        await until(lambda: len(of.model.sessions) == 2)
        await until(lambda: len(requests(of.model.sessions[1].record)) == 1)
        call.hangup()
        await call.ended()


async def test_a_record_that_cannot_be_written_leaves_time_for_every_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    stopped: set[AudioStream] = set()
    really_stop = AudioStream.stop

    def stop(stream: AudioStream, text: str = "") -> None:
        stopped.add(stream)
        really_stop(stream, text)

    async with rig() as of:
        calls = [await of.switch.call() for _ in range(4)]
        await asyncio.gather(*map(greeted, calls))
        with monkeypatch.context() as patch:
            patch.setattr(of.controller.store, "flush", asyncio.Event().wait)
            patch.setattr(AudioStream, "stop", stop)
            async with asyncio.timeout(3):
                await of.controller.calls.stop()
            assert len(stopped) == len(calls)
        for call in calls:
            call.hangup()
            await call.ended()


async def test_the_end_of_a_call_that_another_controller_has_is_told_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whoever lost it still has its connection, and has not looked at the record since."""
    monkeypatch.setattr(server_record, "WATCH_S", 60.0)
    receiver = Receiver()
    async with listening(receiver) as url:
        told = f'[events]\ncall_ended_url = "{url}"\n'
        async with rig(secretary=told) as of, app.running(of.controller.settings) as second:
            call = await of.switch.call()
            await greeted(call)
            there = f"127.0.0.1:{second.calls.port} async full"
            of.switch.extensions["8001"] = [
                DialplanAction("socket", there),
                DialplanAction("hangup"),
            ]
            await of.switch.api("uuid_transfer", f"{call.uuid} 8001 XML default")
            await until(lambda: call.uuid in second.calls.calls)
            await until(lambda: second.calls.calls[call.uuid].call.state.value == "talking")
            assert call.uuid in of.controller.calls.calls
            call.hangup()
            await of.no_calls()
            await until(lambda: not second.calls.calls)
            await receiver.received(1)
            await asyncio.sleep(1.0)
    assert len(receiver.got) == 1


async def test_who_begins_to_speak_while_others_are_handed_over_is_heard_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with rig(model={"think_ms": 20}) as of:
        calls = [await of.switch.call() for _ in range(2)]
        await asyncio.gather(*map(greeted, calls))
        first, second = (of.controller.calls.calls[call.uuid] for call in calls)
        hand_back = first.hand_back

        async def slow(deadline: float) -> None:
            calls[1].speak(*words())
            await until(lambda: not second.call.conversation.idle)
            await hand_back(deadline)

        monkeypatch.setattr(first, "hand_back", slow)
        await of.controller.calls.stop(8.0)
        record = await of.record(calls[1].uuid)
        assert [turn["who"] for turn in record["turns"]] == ["agent", "caller", "agent"]
        for call in calls:
            call.hangup()
            await call.ended()


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("hold", '{"seconds": 60}'),
        ("collect_digits", '{"name": "pin", "count": 4, "timeout_s": 30}'),
        ("transfer_call", '{"destination": "sales"}'),
    ],
)
async def test_a_function_that_is_under_way_at_the_hangup_leaves_an_entry(
    name: str, arguments: str
) -> None:
    tools = '[tools]\nenabled = ["hold", "collect_digits", "transfer_call"]\n'
    script = (ScriptedCall(1, name, arguments),)
    async with rig(model={"script": script}, secretary=tools + SALES) as of:
        call = await of.switch.call()
        await greeted(call)
        await say(call)
        where = {"transfer_call": "leaves"}.get(name, "waits")
        session = of.controller.calls.calls[call.uuid]
        await until(lambda: f"{where}: " in session.call.describe())
        call.hangup()
        await of.no_calls()
        (entry,) = (await of.record(call.uuid))["tools"]
    assert (entry["name"], entry["output"]) == (name, HUNG_UP)


async def test_a_webhook_that_is_under_way_at_the_hangup_leaves_an_entry() -> None:
    """Nobody knows whether it was done."""
    asked = asyncio.Event()
    async with company(asked.set) as url:
        find = f'[[tools.webhooks]]\nname = "find"\ndescription = "Find it."\nurl = "{url}"\n'
        async with rig(model={"script": (ScriptedCall(1, "find"),)}, secretary=find) as of:
            call = await of.switch.call()
            await greeted(call)
            await say(call)
            await asyncio.wait_for(asked.wait(), 10)
            call.hangup()
            await of.no_calls()
            (entry,) = (await of.record(call.uuid))["tools"]
    assert (entry["name"], entry["output"]) == ("find", HUNG_UP)

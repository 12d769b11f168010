"""Calls that get a new park: how soon the caller hears us again, and what survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from aiohttp import web

from esl_controller.call.instructions import CONTINUE
from esl_controller.session.next_park import NextPark
from esl_controller.session.session import CallSession
from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction
from esl_controller.simulator.freeswitch.apps import APPLICATIONS
from esl_controller.simulator.freeswitch.events import CodecName
from esl_controller.simulator.freeswitch.session import SwitchSession
from esl_controller.simulator.model import ScriptedCall
from tests.calls.rig import Rig, asked, greeted, rig, words
from tests.calls.test_killed import Wire, wire
from tests.calls.test_resume import sessions, shop
from tests.calls.test_talking import SALES, outputs, replies, say
from tests.waiting import until

__all__ = ["wire"]  # a fixture

# It connects and thinks as long as a real one does.
MODEL: dict[str, Any] = {"greeting": "greeting", "think_ms": 400}
HEARD_AGAIN_S = 0.3


def live(of: Rig, call: CallStandIn) -> CallSession:
    """The session of a call."""
    return of.controller.calls.calls[call.uuid]


async def parked(of: Rig, call: CallStandIn, parks: int = 1) -> None:
    """Wait until a lane is open in that park."""
    session = live(of, call)
    await until(lambda: session.channel.parks == parks and session.call.speaking_by == "lane", 3)


async def quiet(of: Rig, call: CallStandIn) -> None:
    """Wait until nobody speaks."""
    session = live(of, call)
    await until(lambda: session.call.conversation.idle, 10)


async def test_heard_again_within_300_ms(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the CODEC event, which FreeSWITCH sends some 40 ms after the re-INVITE; and from the
    moment when it dials us."""
    dials: list[float] = []
    now = asyncio.get_running_loop().time
    dial = APPLICATIONS["socket"]

    async def dialled(session: SwitchSession, data: str) -> None:
        dials.append(now())
        await dial(session, data)

    monkeypatch.setitem(APPLICATIONS, "socket", dialled)
    since_event, since_dial = [], []
    async with rig(model=MODEL) as here:
        codecs: tuple[CodecName, ...] = ("PCMA", "L16", "PCMA")
        for codec in codecs:
            call = await here.switch.call()
            await call.wait_heard()
            await asyncio.sleep(0.5)
            call.change_codec(codec)
            channel = here.switch.sessions[call.uuid].channel
            told = now() + 0.04
            again = await call.wait_heard(timeout=3)
            since_event.append(again - told)
            since_dial.append(again - dials[-1])
            assert channel.variables["controller_parks"] == "1"
            call.hangup()
            await here.no_calls()
        assert len(here.model.sessions) == 3, "connected once a call"
    assert median(since_event) < HEARD_AGAIN_S, since_event
    assert median(since_dial) < HEARD_AGAIN_S / 2, since_dial


async def test_the_record_does_not_change_hands() -> None:
    async with rig(model=MODEL) as here:
        call = await here.switch.call()
        await call.wait_heard()
        await asyncio.sleep(0.5)
        session = live(here, call)
        codecs: tuple[CodecName, ...] = ("PCMA", "L16", "PCMU")
        for parks, codec in enumerate(codecs, 1):
            call.change_codec(codec)
            await parked(here, call, parks)
            await asyncio.sleep(0.3)
        await quiet(here, call)
        assert live(here, call) is session
        assert here.controller.calls.taken == 1
        call.hangup()
        await here.no_calls()
        store = here.controller.store
        assert store is not None
        assert await store.claimed_by_others({call.uuid: session.epoch}) == []
        stored = await here.record(call.uuid)
        assert stored["outcome"] == "completed"
        (turn,) = stored["turns"]
        assert turn["interrupted_ms"] is None


async def test_who_hangs_up_after_it_has_heard_no_more_than_was_heard() -> None:
    async with rig(model=MODEL) as here:
        call = await here.switch.call()
        began = await call.wait_heard()
        await asyncio.sleep(0.7)
        now = asyncio.get_running_loop().time
        lost = now()
        call.change_codec("L16")
        again = await call.wait_heard(timeout=2)
        await asyncio.sleep(0.3)
        call.hangup()
        heard_ms = (lost - began + now() - again) * 1000
        await here.no_calls()
        (turn,) = (await here.record(call.uuid))["turns"]
        # The greeting begins with some silence; up to 200 ms are said twice.
        assert heard_ms - 500 < turn["interrupted_ms"] <= heard_ms + 150


async def test_the_caller_interrupts_in_the_middle_of_it() -> None:
    """The model hears words that began in one park and end in the next as one turn."""
    async with rig(model=MODEL) as here:
        call = await here.switch.call()
        await call.wait_heard()
        await asyncio.sleep(0.5)
        pcm, rate = words("caller")
        call.speak(pcm, rate)
        await asyncio.sleep(0.15)
        call.change_codec("PCMA")
        await parked(here, call)
        record = here.model.sessions[0].record
        await asked(record, "conversation.item.truncate")
        await until(lambda: len(replies(here)) == 2)
        call.hangup()
        await here.no_calls()
        turns = (await here.record(call.uuid))["turns"]
        assert [turn["who"] for turn in turns[:2]] == ["agent", "caller"]
        assert turns[0]["interrupted_ms"] is not None
        assert record.violations == record.refusals == 0


@asynccontextmanager
async def company() -> AsyncIterator[tuple[web.AppRunner, asyncio.Event, list[Any]]]:
    """A server that answers once it may, and notes what it was asked."""
    may, got = asyncio.Event(), []

    async def find(request: web.Request) -> web.Response:
        got.append(await request.json())
        await may.wait()
        return web.json_response({"free": True})

    app = web.Application()
    app.add_routes([web.post("/find", find)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield runner, may, got
    finally:
        await runner.cleanup()


async def test_a_function_that_is_being_asked_is_asked_once_and_answers() -> None:
    script = (ScriptedCall(1, "find", "{}"),)
    async with company() as (server, may, got):
        host, port = server.addresses[0]
        url = f"http://{host}:{port}/find"
        tool = f'[[tools.webhooks]]\nname = "find"\ndescription = "Find it."\nurl = "{url}"'
        async with rig(model={"script": script}, secretary=tool) as here:
            call = await here.switch.call()
            await greeted(call)
            await say(call)
            await until(lambda: bool(got))
            call.change_codec("PCMA")
            await parked(here, call)
            may.set()
            await until(lambda: bool(outputs(here)))
            assert outputs(here) == [{"free": True}]
            await call.wait_heard()
            assert len(got) == len(here.model.sessions) == 1
            call.hangup()
            await server.cleanup()  # its tasks are none that the controller has left


async def test_keys_before_and_after_it_are_one_number() -> None:
    script = (ScriptedCall(1, "collect_digits", '{"name": "pin", "count": 4, "timeout_s": 5}'),)
    tools = '[tools]\nenabled = ["collect_digits"]'
    async with rig(model={"script": script}, secretary=tools) as here:
        call = await here.switch.call()
        await greeted(call)
        await say(call)
        session = live(here, call)
        await until(lambda: "waits: digits" in session.call.describe())
        call.dtmf("73")
        await asyncio.sleep(0.3)
        call.change_codec("L16")
        await parked(here, call)
        call.dtmf("91")
        await until(lambda: bool(outputs(here)))
        assert outputs(here)[0]["digits"] == "7391"
        call.hangup()


async def test_a_transfer_out_of_a_new_park() -> None:
    script = (ScriptedCall(1, "transfer_call", '{"destination": "Sales"}'),)
    there = {"1001": [DialplanAction("answer"), DialplanAction("park")]}
    async with rig(model={"script": script}, secretary=SALES, extensions=there) as here:
        call = await here.switch.call()
        await greeted(call)
        call.change_codec("PCMA")
        await parked(here, call)
        await say(call)
        await here.no_calls()
        await asyncio.sleep(0.5)
        assert here.switch.sessions[call.uuid].channel.profile.number == "1001"
        assert not call.cause
        call.hangup()
        assert (await here.record(call.uuid))["outcome"] == "transferred"


@pytest.mark.parametrize("codec", ["PCMA", "L16"])
async def test_a_call_that_cannot_keep_its_session_goes_on_as_after_a_restart(
    codec: CodecName, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(NextPark, "is_in", lambda self, channel: False)
    async with rig(model=MODEL) as here:
        call = await here.switch.call()
        began = await call.wait_heard()
        await asyncio.sleep(0.7)
        changed = asyncio.get_running_loop().time()
        first = live(here, call)
        call.change_codec(codec)
        await until(lambda: live(here, call) is not first)
        await call.wait_heard(timeout=3)
        await call.wait_silence(0.8)
        session = live(here, call)
        assert session.call.speaking_by == "lane"
        assert len(here.model.sessions) == 2
        assert any(CONTINUE in r.get("instructions", "") for r in replies(here, 1))
        call.hangup()
        await here.no_calls()
        record = await here.record(call.uuid)
        heard_ms = (changed - began) * 1000
        # The greeting begins with some silence before its first word.
        assert heard_ms - 300 < record["turns"][0]["interrupted_ms"] <= heard_ms + 150
        assert record["outcome"] == "completed"
        (note,) = record["notes"]
        assert "in a new park" in note["text"]


async def test_a_controller_that_is_killed_on_the_way(tmp_path: Path, wire: Wire) -> None:
    """FreeSWITCH dials another one, which goes on from what was heard."""
    async with shop(tmp_path, greeting="greeting") as of:
        controller = await of.controller()
        await until(lambda: any(line["event"] == "settled" for line in controller.lines), 20)
        call = await of.switch.call()
        began = await call.wait_heard()
        await asyncio.sleep(1.0)
        wire.words, wire.doomed = "uuid_transfer", controller
        lost = asyncio.get_running_loop().time()
        call.change_codec("L16")
        await until(lambda: wire.doomed is None)
        await of.controller()
        await until(lambda: sessions(of, 2), 20)
        again = await call.wait_heard(timeout=10)
        assert again > lost
        await until(lambda: any(CONTINUE in words for words in of.asked(1)))
        record = await of.record(call, lambda stored: stored.turns[0].ended_at)
        heard_ms = (lost - began) * 1000
        assert record.turns[0].interrupted_ms is not None
        assert heard_ms - 300 < record.turns[0].interrupted_ms <= heard_ms + 150
        call.hangup()


async def test_a_full_controller_gets_its_own_call_back() -> None:
    async with rig(model=MODEL, settings={"ESL_MAX_CALLS": "1"}) as here:
        call = await here.switch.call()
        await call.wait_heard()
        await asyncio.sleep(0.3)
        assert not here.controller.calls.ready
        call.change_codec("PCMA")
        await parked(here, call)
        await until(lambda: not here.controller.calls.ready)
        call.hangup()

"""Controllers that are killed at the moment when they do something that must happen once.

The controllers are processes, as in operation, and die by SIGKILL; switch and model stand in.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from esl_controller.call.instructions import CONTINUE
from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction
from esl_controller.simulator.freeswitch.apps import APPLICATIONS
from esl_controller.simulator.freeswitch.outbound import OutboundConnection
from esl_controller.simulator.freeswitch.session import SwitchSession
from esl_controller.simulator.freeswitch.wire import SocketCommand
from esl_controller.simulator.model import ScriptedCall
from media.frame import Samples
from media.resample import convert
from media.sounds.music import loop
from tests.calls.rig import greeted
from tests.calls.test_resume import Shop, sessions, shop
from tests.calls.test_talking import SALES, say
from tests.live.processes import Serving
from tests.session.test_session import correlation, frames
from tests.waiting import until

TOOLS = '[tools]\nenabled = ["end_call", "hold", "collect_digits"]\n'
TRANSFER = ScriptedCall(1, "transfer_call", '{"destination": "sales"}')
END = ScriptedCall(1, "end_call")
HOLD_S = 7.0
IN_MID_WORD_S = 0.6  # into words of 1.5 s or more
OVERLAP_S = 0.3  # after a death, all that was on its way has come
WRITTEN_S = 0.5  # what happened is written down, on a busy machine too


@dataclass
class Wire:
    """What the switch was told by all controllers; ``doomed`` dies when it hears ``words``."""

    lines: list[str] = field(default_factory=list)
    words: str = ""
    doomed: Serving | None = None

    def hears(self, line: str) -> None:
        """A command has come, and is about to be obeyed."""
        self.lines.append(line)
        if self.doomed is not None and self.words in line:
            self.doomed.kill()
            self.doomed = None

    def count(self, words: str) -> int:
        """How many commands have these words in them."""
        return sum(words in line for line in self.lines)


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """All that controllers say to the switch on their calls' connections."""
    heard = Wire()
    obey = OutboundConnection.command

    async def command(self: OutboundConnection, command: SocketCommand) -> bytes:
        headers = " ".join(f"{name}: {value}" for name, value in command.headers)
        heard.hears(f"{command.line} {headers}".strip())
        return await obey(self, command)

    monkeypatch.setattr(OutboundConnection, "command", command)
    return heard


@dataclass
class Sales:
    """The extension that callers are transferred to."""

    arrived: list[str] = field(default_factory=list)

    async def arrive(self, session: SwitchSession, _: str) -> None:
        """The application that notes each caller."""
        self.arrived.append(session.channel.uuid)


def sales(of: Shop) -> Sales:
    """Let it answer."""
    there = Sales()
    of.switch.applications = {**APPLICATIONS, "arrive": there.arrive}
    talks = DialplanAction("playback", "tone_stream://%(1000,0,700);loops=-1")
    of.switch.extensions["1001"] = [DialplanAction("answer"), DialplanAction("arrive"), talks]
    return there


async def greeted_by(of: Shop) -> tuple[Serving, CallStandIn]:
    """The controller that has a call, in which the greeting was heard. Another one stands by."""
    controller = await of.controller()
    call = await of.switch.call()
    await asyncio.gather(greeted(call), of.controller())
    return controller, call


def results(of: Shop, session: int) -> list[Any]:
    """The results of function calls that a session of the model was told."""
    outputs = [item for item in of.told(session) if item["type"] == "function_call_output"]
    return [json.loads(item["output"]) for item in outputs]


def spoken(of: Shop, session: int, number: int, rate: int) -> Samples:
    """What a session of the model said, as a caller at ``rate`` hears it."""
    said = list(of.model.sessions[session].record.spoken.values())[number]
    return convert(said.samples, said.format.rate, rate)


def music(call: CallStandIn) -> bool:
    """Whether all of the last second was hold music."""
    last = b"".join(frame for _, frame in call.heard[-50:])
    rounds = np.tile(loop(call.rate), 2)
    return correlation(rounds, np.frombuffer(last, "<i2")) > 0.95


# --- a transfer -----------------------------------------------------------------------------------


async def test_a_transfer_that_was_being_announced_takes_place_once(
    tmp_path: Path, wire: Wire
) -> None:
    async with shop(tmp_path, SALES, greeting="caller_interrupts", script=(TRANSFER,)) as of:
        there = sales(of)
        first, call = await greeted_by(of)
        await say(call)
        await until(lambda: len(of.asked(0)) == 3, 10)  # greeting, answer, announcement
        await call.wait_heard()
        await asyncio.sleep(IN_MID_WORD_S)
        first.kill()
        await until(lambda: bool(there.arrived), 15)
        stored = await of.record(call, lambda stored: stored.outcome)
        [asked] = of.asked(1)
        assert asked.endswith(CONTINUE), "it was announced anew"
        assert wire.count("uuid_transfer") == 1
        assert there.arrived == [call.uuid]
        assert call.cause == ""
    assert stored.outcome == "transferred"


@pytest.mark.parametrize("moment", ["socket_resume", "sched_del", "silence", "uuid_transfer"])
async def test_a_transfer_that_is_under_way_takes_place_once(
    tmp_path: Path, wire: Wire, moment: str
) -> None:
    async with shop(tmp_path, SALES, greeting="caller_interrupts", script=(TRANSFER,)) as of:
        there = sales(of)
        wire.doomed, call = await greeted_by(of)
        wire.words = moment
        await say(call)
        await until(lambda: bool(there.arrived), 15)
        await asyncio.sleep(1.0)  # nobody throws the caller out of there
        session = of.switch.sessions[call.uuid]
        assert there.arrived == [call.uuid]
        assert session.channel.profile.number == "1001"
        limited = call.uuid in of.switch.scheduled
        assert not limited, "the limit of the time with us would end the call"
        assert wire.count("uuid_transfer") == 1
        assert [words for n in range(1, len(of.model.sessions)) for words in of.asked(n)] == []


# --- a hold ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ended_by", ["a key", "time"])
async def test_a_hold_goes_on_and_ends_as_it_would_have(tmp_path: Path, ended_by: str) -> None:
    script = (ScriptedCall(1, "hold", json.dumps({"seconds": HOLD_S})),)
    async with shop(tmp_path, TOOLS, greeting="caller_interrupts", script=script) as of:
        first, call = await greeted_by(of)
        await say(call)
        await until(lambda: music(call), 10)
        killed = time.monotonic()
        first.kill()
        await until(lambda: sessions(of, 2), 10)
        await asyncio.sleep(OVERLAP_S)
        await until(lambda: music(call), 10)
        assert of.asked(1) == [], "the model spoke into the hold"
        if ended_by == "a key":
            call.dtmf("5")
        await until(lambda: bool(of.asked(1)), HOLD_S + 2)
        lasted = time.monotonic() - killed + 1.0
        await greeted(call)  # the model
        reason = "the caller pressed a key" if ended_by == "a key" else "the time is over"
        assert results(of, 1) == [{"hold": "over", "reason": reason}]
        assert len(of.asked(1)) == 1
        if ended_by == "time":
            assert HOLD_S - 1 < lasted < HOLD_S + 1, "it began anew"
        call.hangup()
        stored = await of.record(call, lambda stored: stored.outcome)
    assert stored.outcome == "completed"


# --- digits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("secure", [False, True])
async def test_digits_are_collected_anew_and_told_once(tmp_path: Path, secure: bool) -> None:
    asked = json.dumps({"name": "pin", "count": 8, "timeout_s": 20, "secure": secure})
    script = (ScriptedCall(1, "collect_digits", asked),)
    async with shop(tmp_path, TOOLS, greeting="caller_interrupts", script=script) as of:
        first, call = await greeted_by(of)
        await say(call)
        collecting = of.model.sessions[0].record.sent
        await until(lambda: collecting["response.function_call_arguments.done"] == 1, 10)
        call.dtmf("7364918")
        await until(lambda: not of.switch.sessions[call.uuid].channel.dtmf)
        await asyncio.sleep(WRITTEN_S)
        first.kill()
        await until(lambda: sessions(of, 2) and bool(of.asked(1)), 10)
        await greeted(call)  # the model, which asks again once the caller has said something
        await say(call)
        anew = of.model.sessions[1].record.sent
        await until(lambda: anew["response.function_call_arguments.done"] == 1, 10)
        await asyncio.sleep(OVERLAP_S)
        call.dtmf("26480157")
        await until(lambda: len(results(of, 1)) == 2, 10)
        interrupted, collected = results(of, 1)
        assert "asked for again" in interrupted["error"]
        assert collected["status"] == "complete"
        assert collected.get("digits") == (None if secure else "26480157")
        await greeted(call)
        assert len(results(of, 1)) == 2
        call.hangup()
        await of.record(call, lambda stored: stored.outcome)
    if secure:
        kept = b"".join(file.read_bytes() for file in tmp_path.iterdir())  # noqa: ASYNC240
        assert b"7364918" not in kept
        assert b"26480157" not in kept


# --- keys that the model presses ------------------------------------------------------------------


async def test_keys_that_were_pressed_are_not_pressed_again(tmp_path: Path, wire: Wire) -> None:
    script = (ScriptedCall(1, "send_dtmf", '{"digits": "1"}'),)
    tools = '[tools]\nenabled = ["send_dtmf"]\n'
    async with shop(tmp_path, tools, greeting="caller_interrupts", script=script) as of:
        wire.doomed, call = await greeted_by(of)
        wire.words = "uuid_send_dtmf"
        await say(call)
        await until(lambda: sessions(of, 2), 15)
        await until(lambda: bool(of.asked(1)), 10)
        assert len(results(of, 1)) == 1, "the model knows of them"
        assert wire.count("uuid_send_dtmf") == 1
        call.hangup()
        await of.record(call, lambda stored: stored.outcome)


# --- the farewell ---------------------------------------------------------------------------------


async def test_the_last_sample_of_a_farewell_is_heard_before_one_hangup(
    tmp_path: Path, wire: Wire
) -> None:
    async with shop(tmp_path, TOOLS, greeting="caller_interrupts", script=(END,)) as of:
        first, call = await greeted_by(of)
        await say(call)
        await until(lambda: len(of.asked(0)) == 3, 10)  # greeting, answer, farewell
        await call.wait_heard()
        await asyncio.sleep(IN_MID_WORD_S)
        first.kill()
        assert await call.ended(20) == "NORMAL_CLEARING"
        [asked] = of.asked(1)
        assert asked.endswith(CONTINUE)
        assert correlation(frames(call), spoken(of, 1, 0, call.rate)) > 0.95
        assert wire.count("call-command: hangup") == 1
        stored = await of.record(call, lambda stored: stored.outcome)
    assert stored.outcome == "completed"


async def test_a_hangup_is_the_end_also_of_who_asked_for_it(tmp_path: Path, wire: Wire) -> None:
    async with shop(tmp_path, TOOLS, greeting="caller_interrupts", script=(END,)) as of:
        wire.doomed, call = await greeted_by(of)
        wire.words = "call-command: hangup"
        await say(call)
        assert await call.ended(20) == "NORMAL_CLEARING"
        assert correlation(frames(call), spoken(of, 0, -1, call.rate)) > 0.95
        await asyncio.sleep(WRITTEN_S)
        assert sessions(of, 1)
        assert not of.switch.sessions


# --- a webhook ------------------------------------------------------------------------------------


@asynccontextmanager
async def company(asked: Callable[[], None]) -> AsyncIterator[str]:
    """A server that is told of each question, and never answers: its URL."""

    async def find(request: web.Request) -> web.Response:
        await request.read()
        asked()
        await asyncio.Event().wait()
        raise AssertionError

    application = web.Application()
    application.router.add_post("/find", find)
    runner = web.AppRunner(
        application, access_log=None, handler_cancellation=True, shutdown_timeout=0.1
    )
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/find"
    finally:
        await runner.cleanup()


async def test_a_webhook_is_asked_once_and_the_model_knows_that_nobody_knows(
    tmp_path: Path,
) -> None:
    asked: list[None] = []
    async with AsyncExitStack() as stack:
        lost = asyncio.Event()

        def kill() -> None:
            asked.append(None)
            first.kill()
            lost.set()

        url = await stack.enter_async_context(company(kill))
        find = f"""
[[tools.webhooks]]
name = "find"
description = "Find it."
url = "{url}"
"""
        script = (ScriptedCall(1, "find"),)
        made = shop(tmp_path, find, greeting="caller_interrupts", script=script)
        of = await stack.enter_async_context(made)
        first, call = await greeted_by(of)
        await say(call)
        async with asyncio.timeout(10):
            await lost.wait()
        await until(lambda: sessions(of, 2) and bool(of.asked(1)), 10)
        await greeted(call)
        (result,) = results(of, 1)
        assert "whether it was done is not known" in result["error"]
        assert len(of.asked(1)) == 1
        assert len(asked) == 1
        call.hangup()
        await of.record(call, lambda stored: stored.outcome)

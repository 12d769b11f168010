"""Whole calls that are bridged to somebody and come back, between the stand-ins."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from esl_controller.call.ending import RETURNS
from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction, Ladder
from esl_controller.simulator.model import ScriptedCall
from tests.calls.rig import Rig, greeted, rig, words
from tests.calls.test_resume import Shop, sessions, shop
from tests.calls.test_talking import replies, say
from tests.waiting import until

DESK = """
language = "en"
[limits]
max_call_s = 3000
[[destinations]]
name = "Desk"
number = "1001"
timeout_s = 5
come_back = true
"""
TO_THE_DESK = ScriptedCall(1, "transfer_call", '{"destination": "Desk"}')
TALKS = [
    DialplanAction("answer"),
    DialplanAction("playback", "tone_stream://%(1000,0,700)"),
    DialplanAction("hangup"),
]
BUSY = [DialplanAction("hangup", "USER_BUSY")]
ASKS_FOR_MORE = "connected to Desk and is back"
LADDER = Ladder(wait=0.05)


def desk(actions: Sequence[DialplanAction], **model: Any) -> Any:
    """A rig whose Desk does this."""
    model = {"script": (TO_THE_DESK,), **model}
    return rig(model=model, secretary=DESK, extensions={"1001": actions}, ladder=LADDER)


async def back(of: Rig, session: int = 1) -> str:
    """Wait until the caller is back; what the model is to say first."""
    await until(lambda: len(of.model.sessions) > session and bool(replies(of, session)), 20)
    return str(replies(of, session)[0]["instructions"])


def results(of: Rig | Shop, session: int) -> list[str]:
    """The results of function calls that a session of the model knows of."""
    events = of.model.sessions[session].record.client_events
    items = [e["item"] for e in events if e["type"] == "conversation.item.create"]
    return [item["output"] for item in items if item["type"] == "function_call_output"]


def notes(stored: dict[str, Any]) -> list[str]:
    """What the record notes."""
    return [note["text"] for note in stored["notes"]]


async def asks_for_the_desk(of: Rig, call: CallStandIn) -> None:
    await greeted(call)
    await say(call)


async def test_a_drain_does_not_wait_for_who_talks_to_somebody_else() -> None:
    async with desk(
        [DialplanAction("answer"), DialplanAction("sleep", "20000"), DialplanAction("hangup")]
    ) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        await of.no_calls(20)
        async with asyncio.timeout(1):
            await of.controller.calls.drain(60.0)
        assert call.cause == "", "they still talk"
        call.hangup()


async def test_who_has_talked_to_somebody_comes_back_and_is_asked_for_more() -> None:
    async with desk(TALKS) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        assert ASKS_FOR_MORE in await back(of)
        assert "come back" in results(of, 1)[0]
        await greeted(call)
        await say(call)  # and the conversation goes on
        await until(lambda: len(replies(of, 1)) > 1)
        assert len(of.switch.sessions[call.uuid].channel.scheduled) == 1, "one limit, the new one"
        call.hangup()
        await of.no_calls()
        stored = await of.record(call.uuid)
    assert stored["outcome"] == "completed"
    assert [text.partition(",")[0] for text in notes(stored)] == [
        "the caller was transferred to Desk",
        "the caller came back from Desk",
    ]
    assert [tool["name"] for tool in stored["tools"]] == ["transfer_call"]


async def test_who_has_reached_nobody_is_told_so_and_no_controller_was_lost() -> None:
    async with desk(BUSY) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        assert "the line is busy" in await back(of)
        stored = await of.record(call.uuid)
        assert "USER_BUSY" in results(of, 1)[0]
        assert notes(stored)[1].endswith(": not reached (USER_BUSY)")
        assert not [text for text in notes(stored) if "lost" in text]
        call.hangup()


async def test_who_does_not_answer_in_time_is_given_up_and_the_caller_is_told() -> None:
    rings = [DialplanAction("ring_ready"), DialplanAction("sleep", "60000")]
    async with desk(rings) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        began = time.monotonic()
        assert "nobody answered" in await back(of)
        assert 4 < time.monotonic() - began < 10, "timeout_s"
        assert len(of.switch.sessions) == 1, "a leg is left"
        call.hangup()


async def test_a_caller_who_hangs_up_meanwhile_is_gone_for_good() -> None:
    async with desk([DialplanAction("answer"), DialplanAction("park")]) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        await of.no_calls(15)
        await until(lambda: len(of.switch.sessions) == 3)
        call.hangup()
        await until(lambda: not of.switch.sessions)
        assert len(of.model.sessions) == 1
        stored = await of.record(call.uuid)
    assert (stored["outcome"], len(notes(stored))) == ("transferred", 1)


async def test_a_call_goes_round_so_often_and_no_more() -> None:
    async with desk(BUSY) as of:
        call = await of.switch.call()
        await greeted(call)
        of.controller.calls.calls[call.uuid].call.conversation._ending.returns = RETURNS
        await say(call)
        assert await call.ended(timeout=15) == "USER_BUSY", "the destination has the caller"


async def test_a_dialplan_without_a_way_home_transfers_for_good() -> None:
    old = Ladder(anew=False)
    extensions = {"1001": [DialplanAction("answer"), DialplanAction("park")]}
    model = {"script": (TO_THE_DESK,)}
    async with rig(model=model, secretary=DESK, extensions=extensions, ladder=old) as of:
        call = await of.switch.call()
        await asks_for_the_desk(of, call)
        await of.no_calls(15)
        assert of.switch.sessions[call.uuid].channel.profile.number == "1001"
        call.hangup()


@pytest.mark.parametrize("again", ["before the return", "after the return"])
async def test_a_controller_that_is_killed_while_the_caller_is_away(
    tmp_path: Path, again: str
) -> None:
    async with shop(tmp_path, DESK, script=(TO_THE_DESK,), greeting="caller") as of:
        away = DialplanAction("playback", "tone_stream://%(4000,0,700)")
        of.switch.extensions["1001"] = [DialplanAction("answer"), away, DialplanAction("hangup")]
        first = await of.controller()
        call = await of.switch.call()
        await greeted(call)
        pcm, rate = words()
        call.speak(pcm, rate)
        await until(lambda: len(of.switch.sessions) == 3, 20)
        first.kill()
        await first.process.wait()
        if again == "after the return":
            await until(lambda: len(of.switch.sessions) == 1, 20)
        await of.controller()
        await until(lambda: sessions(of, 2) and bool(of.asked(1)), 30)
        assert ASKS_FOR_MORE in of.asked(1)[0]
        call.hangup()
        stored = await of.record(call, lambda stored: stored.outcome == "completed")
    told = [note.text.partition(",")[0] for note in stored.notes]
    assert told[-1] == "the caller came back from Desk"
    assert not [text for text in told if "lost" in text]

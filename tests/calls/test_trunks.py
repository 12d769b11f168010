"""Whole calls over trunks that put on hold, change codecs, and have packet times of their own."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from esl_controller.call.caller_hold import HELD_S
from esl_controller.freeswitch.transfers import Transfers
from esl_controller.freeswitch.wire import SwitchError
from esl_controller.simulator.freeswitch import CallStandIn, Faults
from esl_controller.simulator.freeswitch.events import CodecName
from esl_controller.simulator.freeswitch.stream import Build
from esl_controller.simulator.model_base.record import SessionRecord
from media import sounds
from media.playout import LOST_MS
from media.resample import convert
from tests.calls.rig import Rig, greeted, rig, words
from tests.calls.test_model_errors import QUOTA, faulty
from tests.session.test_session import correlation
from tests.waiting import until

GREETING = {"greeting": "greeting"}


def loud_s(call: CallStandIn) -> float:
    """Seconds of speech that the caller has heard so far."""
    pcm = call.heard_pcm(8000)
    frames = pcm[: pcm.size // 160 * 160].reshape(-1, 160).astype(float)
    return float((np.sqrt((frames**2).mean(axis=1)) > 150).sum() * 0.02)


async def spoken_s(here: Rig, item: int = 0) -> float:
    """How long the greeting of the model is, as it reaches a caller whom nothing disturbs."""
    call = await here.switch.call()
    await greeted(call)
    call.hangup()
    await here.no_calls()
    return loud_s(call)


async def test_what_a_hold_swallowed_is_said_when_the_caller_is_back() -> None:
    async with rig(model=GREETING) as here:
        whole = await spoken_s(here)
        call = await here.switch.call()
        await call.wait_heard()
        await asyncio.sleep(0.7)
        call.hold()
        await asyncio.sleep(1.5)
        before = loud_s(call)
        assert before < whole - 0.5
        call.unhold()
        await call.wait_silence(0.8)
        # Up to two frames are said twice, because we cannot know whether they were heard.
        assert whole - 0.03 <= loud_s(call) <= whole + 0.1
        call.hangup()
        await here.no_calls()
        (turn,) = (await here.record(call.uuid))["turns"]
        assert turn["interrupted_ms"] is None


async def test_an_apology_that_a_hold_swallowed_is_said_when_the_caller_is_back() -> None:
    async with rig(model=faulty(refuse_requests=99, failure=QUOTA)) as here:
        call = await here.switch.call()
        await call.wait_heard()
        await asyncio.sleep(0.7)
        call.hold()
        await asyncio.sleep(3)
        assert not call.cause, "hung up on while they held us"
        call.unhold()
        assert await call.ended(timeout=10) == "NORMAL_TEMPORARY_FAILURE"
        said, rate = sounds.load("sorry", "en")
        heard = call.heard_pcm(8000)
        after = convert(said, rate, 8000)[8000:]  # more than was heard before the hold
        assert correlation(heard, after) > 0.9


async def test_a_caller_who_hangs_up_in_a_hold_has_heard_what_came_before_it() -> None:
    async with rig(model=GREETING) as here:
        whole = await spoken_s(here)
        call = await here.switch.call()
        began = await call.wait_heard()
        await asyncio.sleep(0.7)
        call.hold()
        held = asyncio.get_running_loop().time()
        await asyncio.sleep(whole)
        call.hangup()
        await here.no_calls()
        (turn,) = (await here.record(call.uuid))["turns"]
        heard_ms = (held - began) * 1000
        # The greeting begins with some silence before its first word.
        assert heard_ms - 300 < turn["interrupted_ms"] <= heard_ms + 150


async def test_a_held_caller_is_left_alone() -> None:
    """No idle prompts into the hold, no goodbye, and their hold music is no turn."""
    limits = "[limits]\nidle_s = 0.5\nidle_prompts = 1\n"
    async with rig(secretary=limits) as here:
        call = await here.switch.call()
        await greeted(call, timeout=5)
        call.hold()
        await asyncio.sleep(0.1)
        asked = replies(here.model.sessions[-1].record)
        call.speak(*words("caller"))
        await asyncio.sleep(2.5)
        assert not call.cause
        record = here.model.sessions[-1].record
        assert replies(record) == asked
        call.stop_speaking()
        call.unhold()
        await until(lambda: replies(record) > asked, 5)
        call.hangup()
        turns = [t for t in (await here.record(call.uuid))["turns"] if t["who"] == "caller"]
        assert turns == []


def replies(record: SessionRecord) -> int:
    """How often the model was asked to speak."""
    return sum(event["type"] == "response.create" for event in record.client_events)


async def test_a_hold_that_lasts_too_long_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    assert HELD_S == 600
    monkeypatch.setattr("esl_controller.call.caller_hold.HELD_S", 0.5)
    async with rig() as here:
        call = await here.switch.call()
        await greeted(call)
        call.hold()
        assert await call.ended(3) == "NORMAL_CLEARING"


@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("packet_ms", [10, 30, 40, 60])
async def test_the_lane_serves_any_packet_time(packet_ms: int, stream: bool) -> None:
    async with rig(model=GREETING) as here:
        whole = await spoken_s(here)
    missing = Faults(module_missing=not stream)
    async with rig(model=GREETING, faults=missing) as here:
        call = await here.switch.call(packet_ms=packet_ms)
        await greeted(call)
        session = here.controller.calls.calls[call.uuid]
        await until(lambda: session.call.conversation.idle)
        # All but the silence of the last packets is heard, in packets of the channel's own size.
        assert loud_s(call) == pytest.approx(whole, abs=0.1)
        times = np.array([at for at, _ in call.heard])
        assert np.median(np.diff(times)) == pytest.approx(packet_ms / 1000, abs=0.003)
        call.speak(*words())
        await call.wait_heard()
        await until(lambda: session.call.conversation.idle)
        assert session.call.speaking_by == "lane"
        assert session.call.hearing == ("stream" if stream else "lane")
        call.hangup()
        await here.no_calls()
        turns = (await here.record(call.uuid))["turns"]
        assert [turn["who"] for turn in turns] == ["agent", "caller", "agent"]
        assert all(turn["interrupted_ms"] is None for turn in turns)


@pytest.mark.parametrize(
    ("codec", "packet_ms"), [("PCMA", 20), ("PCMU", 30), ("L16", 20), ("opus", 20)]
)
async def test_another_codec_in_mid_call(codec: CodecName, packet_ms: int) -> None:
    """Heard again at once, by the lane, from where the last one ended; the model knows nothing."""
    async with rig(model=GREETING) as here:
        whole = await spoken_s(here)
        call = await here.switch.call()
        await call.wait_heard()
        await asyncio.sleep(0.7)
        changed = asyncio.get_running_loop().time()
        call.change_codec(codec, packet_ms=packet_ms)
        again = await call.wait_heard(timeout=2)
        assert again - changed < 0.5  # the median is in test_parks.py
        await call.wait_silence(0.8)
        # What may have been swallowed is said again.
        assert whole - 0.1 <= loud_s(call) <= whole + LOST_MS / 1000 + 0.05
        session = here.controller.calls.calls[call.uuid]
        assert session.call.speaking_by == "lane"
        assert session.channel.parks == 1
        values, rate = words()
        call.speak(values, rate)
        await call.wait_heard()
        await call.wait_silence(0.5)
        call.hangup()
        await here.no_calls()
        record = await here.record(call.uuid)
        assert len(here.model.sessions) == 2, "one of the call before, one of this"
        assert record["turns"][0]["interrupted_ms"] is None
        (said,) = [turn for turn in record["turns"] if turn["who"] == "caller"]
        lasted = said["ended_at"] - said["started_at"]
        assert lasted == pytest.approx(values.size / rate, rel=0.35), "at another speed"
        notes = [note["text"] for note in record["notes"]]
        assert notes == [
            "stream and lane are opened anew in a new park: the caller's codec has changed"
            if codec != "PCMU"
            else "stream and lane are opened anew in a new park:"
            " FreeSWITCH closed the lane in the middle of the call"
        ]
        assert record["outcome"] == "completed"


@pytest.mark.parametrize("why", ["too many", "refused"])
@pytest.mark.parametrize("build", ["sptmru", "amigniter"])
async def test_another_codec_without_another_park_is_heard_at_its_own_speed(
    why: str, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise SwitchError("-ERR")

    if why == "too many":
        monkeypatch.setattr("esl_controller.call.media_path.PARKS", 0)
    else:
        monkeypatch.setattr(Transfers, "new_park", refuse)
    async with rig(build=build) as here:
        call = await here.switch.call()
        await greeted(call)
        call.change_codec("L16")
        session = here.controller.calls.calls[call.uuid]
        await until(lambda: session.call.speaking_by == "file", 5)
        await until(lambda: session.call.hearing == "stream", 5)
        await asyncio.sleep(0.7)  # a converter may have to find out about the rate
        values, rate = words()
        call.speak(values, rate)
        record = here.model.sessions[0].record
        await until(lambda: record.turns == 1, 5)
        heard, model_rate = record.heard()
        assert correlation(heard, convert(values, rate, model_rate)) > 0.9, "at another speed"
        call.hangup()


async def test_a_codec_that_changes_in_a_hold_is_seen_to_after_it() -> None:
    """A transfer would take the call off hold."""
    async with rig(model=GREETING) as here:
        call = await here.switch.call()
        await call.wait_heard()
        call.hold()
        await asyncio.sleep(0.1)
        call.change_codec("PCMA")
        await asyncio.sleep(0.5)
        assert len(here.model.sessions) == 1
        call.unhold()
        await call.wait_heard(timeout=2)
        assert here.controller.calls.calls[call.uuid].channel.parks == 1


async def test_a_lost_lane_is_opened_anew() -> None:
    """Whatever else resets the session does no worse."""
    async with rig() as here:
        call = await here.switch.call()
        await greeted(call)
        here.switch.sessions[call.uuid].channel.unicast.reset()
        await until(lambda: here.controller.calls.calls[call.uuid].channel.parks == 1, 3)
        await call.wait_silence(0.1)
        call.speak(*words())
        await call.wait_heard()
        assert here.controller.calls.calls[call.uuid].call.speaking_by == "lane"

"""What a secretary does to calls of a real switch: functions, holds, keys, silence, failures."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

import numpy as np

from esl_controller.simulator.model import ModelFaults, ScriptedCall
from media import sounds
from media.frame import Samples
from media.resample import convert
from media.sounds.music import loop
from tests.live.audio import as_played, gaps, match
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.rig import Live, Phone, live, until

SALES = """
[[destinations]]
name = "Sales"
number = "7001"
"""


def outputs(of: Live) -> list[Any]:
    """What came of the model's function calls, in order."""
    items = [e.get("item", {}) for e in of.record().client_events]
    return [json.loads(i["output"]) for i in items if i.get("type") == "function_call_output"]


async def asks(phone: Phone) -> None:
    """The caller hears the greeting and says something."""
    await phone.hears_silence()
    await phone.says("caller_interrupts")


def played(of: Live, item: int, rate: int) -> Samples:
    """An utterance of the model, as it is played."""
    spoken = of.spoken(item)
    return as_played(bytes(spoken.audio), spoken.format, rate)


async def test_the_farewell_is_heard_before_the_hangup(switch: FreeSwitch) -> None:
    async with live(switch, {"script": (ScriptedCall(1, "end_call"),)}) as of:
        async with of.phone() as phone:
            await asks(phone)
            assert await phone.ended() == "NORMAL_CLEARING"
        found = match(phone.heard(), played(of, -1, phone.leg.rate))
        assert found.correlation >= 0.95
        assert found.worst < 0.02, "the farewell was cut"
        assert (await of.stored()).outcome == "completed"


async def test_a_transfer_reaches_another_extension(switch: FreeSwitch) -> None:
    script = (ScriptedCall(1, "transfer_call", '{"destination": "sales"}'),)
    async with live(switch, {"script": script}, secretary=SALES) as of:
        async with of.phone() as phone:
            await asks(phone)
            await until(lambda: not of.controller.calls.calls, 15)
            announced = time.monotonic()
            await asyncio.sleep(2.0)
            assert not phone.leg.ended.done(), "the call was lost in the transfer"
            heard = phone.heard(announced + 0.5)
            tone = np.abs(np.fft.rfft(heard.astype(float)))
            hertz = tone.argmax() * phone.leg.rate / heard.size
            assert abs(hertz - 700) < 5
        found = match(phone.heard(), played(of, -1, phone.leg.rate))
        assert found.correlation >= 0.95
        assert (await of.stored()).outcome == "transferred"


async def test_hold_is_music_and_ends_with_a_key(switch: FreeSwitch) -> None:
    script = (ScriptedCall(1, "hold", '{"seconds": 60}'),)
    tools = '[tools]\nenabled = ["hold", "unhold"]'
    async with live(switch, {"script": script}, secretary=tools) as of:
        async with of.phone() as phone:
            await asks(phone)
            await until(
                lambda: any(
                    s.call.conversation.music_playing for s in of.controller.calls.calls.values()
                )
            )
            appends = of.record().append_count
            await phone.says("caller")
            assert of.record().append_count - appends < 5, "the model heard the caller on hold"
            switch.api(f"uuid_send_dtmf {phone.leg.uuid} 5")
            await until(lambda: bool(outputs(of)))
            assert outputs(of) == [{"hold": "over", "reason": "the caller pressed a key"}]
        music = loop(phone.leg.rate)[: 3 * phone.leg.rate]
        assert match(phone.heard(), music).correlation >= 0.95


async def test_digits_of_a_secure_collection_are_seen_by_nobody(switch: FreeSwitch) -> None:
    asked = '{"name": "pin", "count": 8, "secure": true}'
    script = (ScriptedCall(1, "collect_digits", asked),)
    async with live(
        switch, {"script": script}, secretary='[tools]\nenabled = ["collect_digits"]'
    ) as of:
        async with of.phone() as phone:
            await asks(phone)
            await until(
                lambda: any(
                    s.call.conversation.secret_digits for s in of.controller.calls.calls.values()
                )
            )
            switch.api(f"uuid_send_dtmf {phone.leg.uuid} 91827364")
            await until(lambda: bool(outputs(of)))
            assert outputs(of) == [{"status": "complete"}]
        everything = [of.record().client_events, of.log, (await of.stored()).as_dict()]
        assert "91827364" not in str(everything)


async def test_a_silent_caller_is_wished_goodbye(switch: FreeSwitch) -> None:
    limits = "[limits]\nidle_s = 1.0\nidle_prompts = 1"
    async with live(switch, secretary=limits) as of:
        async with of.phone() as phone:
            assert await phone.ended(40) == "NORMAL_CLEARING"
        asked = [e for e in of.record().client_events if e["type"] == "response.create"]
        assert len(asked) == 3


async def test_a_cough_costs_no_word(switch: FreeSwitch) -> None:
    async with live(switch) as of:
        async with of.phone() as phone:
            began = await phone.hears_speech()
            await phone.until(lambda: phone.leg.times[-1] - began > 1.0, 3)
            noise = np.random.default_rng(1).normal(0, 4000, 8000 * 15 // 100)
            phone.leg.say(noise.astype(np.int16), 8000)
            await phone.hears_silence(1.5)
        kinds = {e["type"] for e in of.record().client_events}
        assert "conversation.item.delete" in kinds
        assert not kinds & {"response.cancel", "conversation.item.truncate"}
        # ``gaps`` raises if anything is missing or said twice.
        pauses = gaps(phone.heard(), played(of, 0, phone.leg.rate), phone.leg.rate, 1000)
        assert len(pauses) == 1
        assert 200 < pauses[0] < 1000


async def test_the_model_is_killed_in_mid_word_and_the_call_goes_on(
    switch: FreeSwitch, figures: Figures
) -> None:
    faults = ModelFaults(close_after_ms=1500, close_how="abrupt")
    async with live(switch, {"faults": faults}) as of:
        async with of.phone() as phone:
            await phone.hears_speech()
            of.model.faults = ModelFaults()
            await until(lambda: len(of.model.sessions) == 2)
            await until(lambda: bool(of.record(1).sent["response.done"]), 15)
            await phone.hears_silence()
            assert not phone.leg.ended.done()
        created = [e["item"] for e in of.record(1).client_events if "item" in e]
        assert created[0]["role"] == "assistant"
        (note,) = (await of.stored()).notes
        assert "called again" in note.text


async def test_a_refused_model_is_an_apology(switch: FreeSwitch) -> None:
    async with live(switch, {"faults": ModelFaults(refuse_key="http")}) as of:
        async with of.phone() as phone:
            assert await phone.ended(20) == "NORMAL_TEMPORARY_FAILURE"
        sorry = convert(*sounds.load("sorry", "en"), phone.leg.rate)
        # It is said at once, and the phone's own ear opens some frames after the call's.
        words = sorry[phone.leg.rate // 10 :]
        assert match(phone.heard(), words).correlation >= 0.9

"""What trunks and telephones do in mid-call: hold, another codec, packet times of their own.

The telephone is our own (``sip_phone.py``), because FreeSWITCH's legs do none of it. What it heard
is held against what the model said and what the record says was heard.
"""

from __future__ import annotations

import asyncio
import math
import time

import numpy as np
import pytest

from media.frame import Samples
from media.playout import LOST_MS
from tests.live.audio import LOUD
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.rig import live, until, words
from tests.live.sip_phone import FORMATS, Codec, Packet, SipPhone, sip_phone

GREETING = {"greeting": "greeting"}
AGAIN_MS = 60  # at most so much is said twice, because it may have been swallowed
WORDS_AGAIN_S = 0.3  # after a re-INVITE; 0.12 to 0.21 s on a quiet machine


def rms(values: Samples) -> float:
    return float(np.sqrt(np.mean(values.astype(float) ** 2))) if values.size else 0.0


def speech(phone: SipPhone, since: float = 0.0, until: float = math.inf) -> list[Packet]:
    """The packets with words in them."""
    return [p for p in phone.packets if since <= p.at < until and rms(p.samples) > LOUD]


def speech_ms(phone: SipPhone, since: float = 0.0, until: float = math.inf) -> float:
    """How many milliseconds of words were heard."""
    rate = FORMATS[phone.codec].rate
    return sum(p.samples.size * 1000 / rate for p in speech(phone, since, until))


async def speaks(phone: SipPhone, seconds: float, timeout: float = 8.0) -> None:
    """Wait until so much of the model's words was heard."""
    await until(lambda: speech_ms(phone) >= seconds * 1000, timeout)


async def silence(phone: SipPhone, seconds: float = 1.0, timeout: float = 20.0) -> None:
    """Wait until the last word is so long ago."""

    def quiet() -> bool:
        heard = speech(phone)[-1:]
        return bool(heard) and time.monotonic() - heard[0].at >= seconds

    await until(quiet, timeout)


def greeting_ms(packet_ms: int = 20) -> float:
    """The words of the greeting, as a telephone hears them that nothing disturbs."""
    values, size = words("greeting", 8000), 8 * packet_ms
    frames = values[: values.size // size * size].reshape(-1, size)
    return float(sum(packet_ms for frame in frames if rms(frame) > LOUD))


@pytest.mark.parametrize("direction", ["inactive", "sendonly"])
async def test_what_a_hold_swallowed_is_said_after_it(
    any_switch: FreeSwitch, figures: Figures, direction: str
) -> None:
    async with live(any_switch, GREETING) as of, sip_phone(any_switch) as phone:
        await speaks(phone, 0.6)
        asked = await phone.invite(direction)
        await asyncio.sleep(2)
        before = speech_ms(phone)
        assert speech_ms(phone, asked + 0.1) == 0, "words went into the hold"
        back = await phone.invite("sendrecv")
        await until(lambda: bool(speech(phone, back)))
        await silence(phone)
        first = speech(phone, back)[0].at
        figures["back from a hold to the first word, ms"].append((first - back) * 1000)
        again = speech_ms(phone) - greeting_ms()
        figures["said twice around a hold, ms"].append(again)
        assert before < greeting_ms() - 500
        assert -40 <= again <= AGAIN_MS
        assert of.warnings() == []
        await phone.hang_up()
        await of.all_over()
        (turn,) = (await of.stored()).turns
        assert turn.interrupted_ms is None


async def test_a_hangup_in_a_hold(any_switch: FreeSwitch, figures: Figures) -> None:
    """Heard is what was heard: not what was sent into the hold."""
    async with live(any_switch, GREETING) as of, sip_phone(any_switch) as phone:
        await speaks(phone, 0.6)
        await phone.invite("inactive")
        await asyncio.sleep(2)
        heard = speech(phone)
        await phone.hang_up()
        await of.all_over()
        (turn,) = (await of.stored()).turns
        assert turn.interrupted_ms is not None
        # From the first word to the last, as the telephone had them; the greeting has a few ms of
        # silence in front of its first word.
        real = (heard[-1].timestamp - heard[0].timestamp) / 8 + 20
        figures["heard in the record less heard at the phone, ms"].append(
            turn.interrupted_ms - real
        )
        assert -60 <= turn.interrupted_ms - real <= 60


async def test_a_caller_who_holds_us_is_left_alone(any_switch: FreeSwitch) -> None:
    secretary = "[limits]\nidle_s = 1\nidle_prompts = 1\n"
    async with (
        live(any_switch, {"greeting": "caller_interrupts"}, secretary) as of,
        sip_phone(any_switch) as phone,
    ):
        await speaks(phone, 0.3)
        await silence(phone, 0.5)
        await phone.invite("sendonly")
        await asyncio.sleep(0.2)
        asked = len(of.record().client_events)
        phone.say(words("caller", 8000), 8000)  # music on hold
        await asyncio.sleep(6)
        assert not phone.ended.is_set()
        kinds = [event["type"] for event in of.record().client_events[asked:]]
        assert "response.create" not in kinds
        await phone.invite("sendrecv")
        back = time.monotonic()
        await until(lambda: bool(speech(phone, back)), 5)
        await phone.hang_up()
        await of.all_over()
        assert [t for t in (await of.stored()).turns if t.who == "caller"] == []


@pytest.mark.parametrize("packet_ms", [10, 30, 40, 60])
async def test_the_lane_serves_any_packet_time(
    any_switch: FreeSwitch, figures: Figures, packet_ms: int
) -> None:
    async with live(any_switch, GREETING) as of, sip_phone(any_switch, "PCMU", packet_ms) as phone:
        await speaks(phone, 0.6)
        await silence(phone)
        assert {p.samples.size for p in phone.packets} == {8 * packet_ms}
        ats = [p.at for p in phone.packets[5:]]
        gap = (ats[-1] - ats[0]) * 1000 / (len(ats) - 1)
        figures[f"RTP at {packet_ms} ms, mean gap, ms"].append(gap)
        assert gap == pytest.approx(packet_ms, rel=0.03)
        # The packets are cut elsewhere than those of the model, so a few more or less are loud.
        lost = greeting_ms(packet_ms) - speech_ms(phone)
        assert abs(lost) <= max(60, 3 * packet_ms)
        rate, sent = 8000, words("caller_interrupts", 8000)
        phone.say(sent, rate)
        asked = time.monotonic() + sent.size / rate
        await until(lambda: bool(speech(phone, asked)))
        await silence(phone)
        (session,) = of.controller.calls.calls.values()
        await until(lambda: session.call.conversation.idle)
        assert session.call.speaking_by == "lane"
        assert of.warnings() == []
        await phone.hang_up()
        await of.all_over()
        turns = (await of.stored()).turns
        assert [turn.who for turn in turns] == ["agent", "caller", "agent"]
        assert all(turn.interrupted_ms is None for turn in turns)


@pytest.mark.parametrize(
    ("first", "then", "packet_ms"),
    [
        *[("PCMU", "PCMA", 20), ("PCMU", "PCMU", 30), ("L16", "PCMU", 20), ("PCMU", "L16", 20)],
        *[("G722", "PCMU", 20), ("PCMU", "G722", 20)],
    ],
)
async def test_another_codec_in_mid_call(
    switch: FreeSwitch, figures: Figures, first: Codec, then: Codec, packet_ms: int
) -> None:
    if "G722" in (first, then) and not switch.has_g722:
        pytest.skip("this FreeSWITCH has no mod_spandsp")
    async with live(switch, GREETING) as of, sip_phone(switch, first) as phone:
        await speaks(phone, 0.6)
        phone.codec, phone.ptime = then, packet_ms
        asked = await phone.invite()
        await until(lambda: bool(of.warnings()))
        answered = time.monotonic()
        await until(lambda: bool(speech(phone, answered)))
        back = next(p.at for p in phone.packets if p.at > asked + 0.1)
        figures[f"from a re-INVITE for {then}@{packet_ms} to RTP again, ms"].append(
            (back - asked) * 1000
        )
        again = next(p.at for p in speech(phone, answered))
        figures["from a re-INVITE to words again, ms"].append((again - asked) * 1000)
        assert again - asked < WORDS_AGAIN_S
        await silence(phone)
        if FORMATS[first].rate == FORMATS[then].rate:
            twice = speech_ms(phone) - greeting_ms()
            figures["said twice around a codec change, ms"].append(twice)
            # Packets of another length are cut elsewhere, so a few more of them are loud.
            assert -60 <= twice <= LOST_MS + AGAIN_MS + 2 * (packet_ms - 20)
        (session,) = of.controller.calls.calls.values()
        assert session.call.speaking_by == "lane"
        rate = FORMATS[phone.codec].rate
        sent = words("caller_interrupts", rate)
        phone.say(sent, rate)
        asked = time.monotonic() + sent.size / rate
        await until(lambda: bool(speech(phone, asked)))
        await silence(phone)
        await phone.hang_up()
        await of.all_over()
        stored = await of.stored()
        assert stored.turns[0].interrupted_ms is None
        assert len(of.model.sessions) == 1
        said = [turn for turn in stored.turns if turn.who == "caller"]
        assert len(said) == 1
        assert said[0].ended_at is not None
        # At double or half the speed it would be half or twice as long.
        lasted = said[0].ended_at - said[0].started_at
        assert lasted == pytest.approx(sent.size / rate, rel=0.35)
        assert stored.outcome == "completed"
        assert len(of.warnings()) == 1
        assert "opened anew in a new park" in of.warnings()[0]


async def test_heard_is_what_was_heard_of_a_codec_change(
    any_switch: FreeSwitch, figures: Figures
) -> None:
    async with live(any_switch, GREETING) as of, sip_phone(any_switch) as phone:
        await speaks(phone, 0.6)
        phone.codec = "PCMA"
        await phone.invite()

        def heard(payload_type: int) -> list[Packet]:
            return [p for p in speech(phone) if p.payload_type == payload_type]

        await until(lambda: len(heard(8)) >= 10)
        await phone.hang_up()
        await of.all_over()
        turn = (await of.stored()).turns[0]
        assert turn.interrupted_ms is not None
        parts = [heard(0), heard(8)]
        real = sum((part[-1].timestamp - part[0].timestamp) / 8 + 20 for part in parts)
        figures["heard in the record less heard around a codec change, ms"].append(
            turn.interrupted_ms - real
        )
        # What may have been swallowed is said twice. Never more than was heard, but for the silence
        # before the first word.
        assert -250 - LOST_MS <= turn.interrupted_ms - real <= 60

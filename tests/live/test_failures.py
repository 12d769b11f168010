"""What goes wrong around a call: one clear line, a proper end, and no other call is touched."""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Iterator

import pytest

from esl_controller.call.agent import PATIENCE_S
from esl_controller.simulator.model import ModelFaults
from media import sounds
from media.resample import convert
from tests.live.audio import as_played, match, through_telephone
from tests.live.freeswitch import FreeSwitch, free_port
from tests.live.rig import Live, Phone, live


async def greeted_and_answered(of: Live, phone: Phone, session: int = 0) -> None:
    """The call is as good as any."""
    await phone.hears_silence()
    await phone.says("caller_interrupts")
    await phone.hears_speech()
    await phone.hears_silence()
    heard = phone.heard()
    for item in (0, 1):
        spoken = of.spoken(item, session)
        sent = as_played(bytes(spoken.audio), spoken.format, phone.leg.rate)
        assert match(heard, sent).correlation >= 0.95


async def apologised(phone: Phone) -> None:
    """A sentence is heard to its end, then the call is ended."""
    assert await phone.ended(PATIENCE_S + 15) == "NORMAL_TEMPORARY_FAILURE"
    values, rate = sounds.load("sorry")
    sorry = through_telephone(convert(values, rate, phone.leg.rate), "PCMU")
    assert match(phone.heard(), sorry).correlation >= 0.95


async def test_without_mod_audio_stream_the_lane_brings_the_caller(switch: FreeSwitch) -> None:
    switch.api("unload mod_audio_stream")
    try:
        assert switch.api("module_exists mod_audio_stream") == "false"
        async with live(switch) as of:
            async with of.phone() as phone:
                await greeted_and_answered(of, phone)
            first, second = of.warnings()
            assert "mod_audio_stream does not bring the caller's audio" in first
            assert "load mod_audio_stream" in first
            assert "goes on with the audio that the lane brings" in second
    finally:
        switch.load_stream_module()
    assert switch.api("module_exists mod_audio_stream") == "true"


async def test_a_media_port_that_nobody_listens_on(switch: FreeSwitch) -> None:
    url = f"ws://127.0.0.1:{free_port()}"
    async with live(switch, MEDIA_PUBLIC_URL=url) as of:
        async with of.phone() as phone:
            await greeted_and_answered(of, phone)
        told = sorted(of.warnings())  # the lane's line comes when the lane is open
        assert len(told) == 4
        assert "mod_audio_stream does not bring the caller's audio" in told[0]
        assert "goes on with the audio that the lane brings" in told[1]
        assert all("the caller's audio is started again" in line for line in told[2:])


def four_ports() -> range:
    """As many as a call tries; nobody else's."""
    first = random.randrange(9_000, 9_900, 4)
    return range(first, first + 4)


@contextlib.contextmanager
def busy(ports: range) -> Iterator[None]:
    """Bind UDP ports, so that FreeSWITCH cannot."""
    with contextlib.ExitStack() as stack:
        for port in ports:
            stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
        yield


async def test_a_busy_lane_port_is_one_of_several(any_switch: FreeSwitch) -> None:
    ports = four_ports()
    with busy(ports[1:]):
        async with live(any_switch, MEDIA_LANE_PORTS=f"{ports[0]}-{ports[-1]}") as of:
            async with of.phone() as phone:
                await greeted_and_answered(of, phone)
                (session,) = of.controller.calls.calls.values()
                assert session.call.speaking_by == "lane"
            assert of.warnings() == []


async def test_without_any_lane_port_files_are_played(switch: FreeSwitch) -> None:
    ports = four_ports()
    with busy(ports):
        async with live(switch, MEDIA_LANE_PORTS=f"{ports[0]}-{ports[-1]}") as of:
            async with of.phone() as phone:
                await phone.hears_speech()
                await phone.hears_silence()
            (line,) = of.warnings()
            assert "no lane to the caller, replies are played as files" in line


async def test_a_model_that_refuses_the_key(any_switch: FreeSwitch) -> None:
    async with live(any_switch) as of:
        async with of.phone() as good:
            await good.hears_speech()  # its model was called: the fault is for the next one
            of.model.faults = ModelFaults(refuse_key="http")
            async with of.phone() as bad:
                await apologised(bad)
            await greeted_and_answered(of, good)
        (line,) = of.warnings()
        assert "the key was refused: check OPENAI_API_KEY" in line


@pytest.mark.parametrize("how", ["clean", "abrupt"])
async def test_a_model_that_closes_in_mid_word(any_switch: FreeSwitch, how: str) -> None:
    async with live(any_switch) as of:
        async with of.phone() as good:
            await good.hears_speech()
            of.model.faults = ModelFaults(close_after_ms=800, close_how=how)  # type: ignore[arg-type]
            async with of.phone() as bad:
                await bad.hears_speech()
                await apologised(bad)
            await greeted_and_answered(of, good)
        *tries, last = of.warnings()
        assert tries
        assert all("the model is called again: the model closed" in line for line in tries)
        assert "the model cannot be had, the call goes on without it" in last
        assert "the model closed" in last

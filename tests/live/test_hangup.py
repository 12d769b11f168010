"""The caller hangs up, in each phase of a call: call, channel and session are gone at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from esl_controller.freeswitch.leg import Leg, event_socket
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.rig import Live, Phone, caller_settings, dial_string, live, until, variables

GONE_S = 1.0


async def at_once(phone: Phone) -> None:
    """The call has just been answered."""


async def in_the_greeting(phone: Phone) -> None:
    await phone.hears_speech()


async def after_the_greeting(phone: Phone) -> None:
    await phone.hears_silence()


async def in_ones_own_words(phone: Phone) -> None:
    await phone.hears_silence()
    said = asyncio.create_task(phone.says("caller"))
    await asyncio.sleep(1.0)
    said.cancel()
    await asyncio.gather(said, return_exceptions=True)


async def while_the_model_thinks(phone: Phone) -> None:
    await phone.hears_silence()
    await phone.says("caller_interrupts")
    await asyncio.sleep(0.6)


async def in_the_reply(phone: Phone) -> None:
    await while_the_model_thinks(phone)
    await phone.hears_speech()


PHASES = (
    *(at_once, in_the_greeting, after_the_greeting, in_ones_own_words),
    *(while_the_model_thinks, in_the_reply),
)


async def gone(of: Live, uuid: str) -> None:
    """Nothing of the call is left soon after the hangup."""
    await until(lambda: uuid not in of.controller.calls.calls, GONE_S)
    assert not of.controller.ports.taken
    assert not of.controller.clock.lanes
    await of.all_over()
    for session in of.model.sessions:
        async with asyncio.timeout(GONE_S):
            await session.closed.wait()
    assert [line["cause"] for line in of.over()] == ["NORMAL_CLEARING"]
    assert of.warnings() == []


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("playback", ["lane", "file"])
async def test_caller_hangs_up(
    any_switch: FreeSwitch, phase: Callable[[Phone], Awaitable[None]], playback: str
) -> None:
    async with live(any_switch, MEDIA_PLAYBACK=playback) as of:
        async with of.phone() as phone:
            (uuid,) = of.controller.calls.calls
            await phase(phone)
        await gone(of, uuid)


async def test_caller_gives_up_before_the_answer(any_switch: FreeSwitch, figures: Figures) -> None:
    settings = caller_settings(any_switch)
    async with live(any_switch) as of, event_socket(settings.freeswitch) as connection:
        leg = Leg(connection, settings.media)
        dialling = asyncio.create_task(
            leg.dial(dial_string(any_switch), variables("PCMU"), timeout=10)
        )
        await until(lambda: bool(of.controller.calls.calls))
        (uuid,) = of.controller.calls.calls
        await asyncio.to_thread(any_switch.api, f"uuid_kill {leg.uuid}")
        await dialling
        await until(lambda: uuid not in of.controller.calls.calls, GONE_S)
        await of.all_over()

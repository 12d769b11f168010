"""Taking a call back through the Event Socket on which FreeSWITCH listens."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.leg import CallFailed
from esl_controller.freeswitch.rescue import Rescue
from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction, SwitchStandIn
from tests.freeswitch.test_leg import LISTEN, settings_for
from tests.waiting import until

HOME = "8001 XML default"
WAITS = [DialplanAction("answer"), DialplanAction("park")]
AT_HOME = [DialplanAction("set", "home=yes"), DialplanAction("park")]


@contextlib.asynccontextmanager
async def parked() -> AsyncIterator[tuple[CallStandIn, Channel, SwitchStandIn]]:
    """A call that nobody can reach by its own connection, as we knew it."""
    async with SwitchStandIn(
        event_socket=LISTEN, extensions={"8000": WAITS, "8001": AT_HOME}
    ) as switch:
        call = await switch.call("8000")
        await call.answered()
        await switch.api("uuid_setvar", f"{call.uuid} socket_resume true")
        await switch.api("uuid_setvar", f"{call.uuid} controller_again {HOME}")
        headers = {"Unique-ID": call.uuid, "variable_controller_home": HOME}
        yield call, Channel.parse(headers), switch


def variables(switch: SwitchStandIn, call: CallStandIn) -> Any:
    """Of the channel."""
    return switch.sessions[call.uuid].channel.variables


async def test_it_goes_home_and_says_since_when_it_waits() -> None:
    async with parked() as (call, channel, switch):
        await Rescue(settings_for(switch, {}).freeswitch).take_back(channel, 1234567)
        known = variables(switch, call)
        await until(lambda: "home" in known)
        assert known["controller_lost_at"] == "1234567"
        assert not known.get("controller_again"), "or the dialplan would take the present time"
        call.hangup()


async def test_it_stays_where_it_was_transferred_to() -> None:
    async with parked() as (call, channel, switch):
        await switch.api("uuid_setvar", f"{call.uuid} socket_resume")
        with pytest.raises(CallFailed, match="it was transferred"):
            await Rescue(settings_for(switch, {}).freeswitch).take_back(channel, 1)
        assert variables(switch, call)["controller_again"] == HOME
        call.hangup()


async def test_why_it_cannot_be_taken_back() -> None:
    async with parked() as (call, channel, switch):
        settings = settings_for(switch, {}).freeswitch
        for home in ("", "8001 XML a'b"):
            homeless = replace(channel, variables={"controller_home": home})
            with pytest.raises(CallFailed, match="sets no controller_home"):
                await Rescue(settings).take_back(homeless, 1)
        wrong = settings_for(switch, {"FREESWITCH_PASSWORD": "wrong"}).freeswitch
        with pytest.raises(CallFailed, match="refused the password"):
            await Rescue(wrong).take_back(channel, 1)
        call.hangup()
        await call.ended()
        with pytest.raises(CallFailed, match="does not have it any more"):
            await Rescue(settings).take_back(channel, 1)
    with pytest.raises(CallFailed, match="no connection to FreeSWITCH"):
        await Rescue(settings).take_back(channel, 1)

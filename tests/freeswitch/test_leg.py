"""A leg of our own, at the stand-in for FreeSWITCH."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import pytest

from esl_controller.config.loading import load
from esl_controller.config.settings import Settings
from esl_controller.freeswitch import leg as module
from esl_controller.freeswitch import wire
from esl_controller.freeswitch.leg import CallFailed, Leg, event_socket
from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction, SwitchStandIn
from esl_controller.simulator.freeswitch.faults import Faults
from media.frame import FRAME_MS, samples
from tests.waiting import until

LISTEN = ("127.0.0.1", 0)
TALKS = [DialplanAction("answer"), DialplanAction("playback", "tone_stream://%(5000,0,440)")]
WAITS = [DialplanAction("answer"), DialplanAction("playback", "silence_stream://-1")]
ECHOES = [DialplanAction("answer"), DialplanAction("echo")]
RINGS = [DialplanAction("sleep", "60000")]


def settings_for(switch: SwitchStandIn, environment: Mapping[str, str]) -> Settings:
    assert switch.event_socket is not None
    port = {"ESL_CONTROLLER_FREESWITCH_PORT": str(switch.event_socket[1])}
    return load(None, {**port, **environment}).settings


@contextlib.asynccontextmanager
async def a_leg(
    environment: Mapping[str, str] | None = None, **switch: Any
) -> AsyncIterator[tuple[Leg, SwitchStandIn]]:
    """A leg that has not dialled yet, and its switch."""
    extensions = {"1001": TALKS, "1002": WAITS, "1003": ECHOES, "1004": RINGS}
    async with SwitchStandIn(event_socket=LISTEN, extensions=extensions, **switch) as there:
        settings = settings_for(there, environment or {})
        async with event_socket(settings.freeswitch) as connection:
            yield Leg(connection, settings.media), there


def far_end(switch: SwitchStandIn, leg: Leg) -> CallStandIn:
    """The other leg of the call."""
    (call,) = (call for uuid, call in switch.calls.items() if uuid != leg.uuid)
    return call


# --- dialling -------------------------------------------------------------------------------------


async def test_a_wrong_password_a_closed_port_and_a_silent_one_say_what_to_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with SwitchStandIn(event_socket=LISTEN) as switch:
        settings = settings_for(switch, {"FREESWITCH_PASSWORD": "wrong"})
        with pytest.raises(CallFailed, match=r"refused the password.*FREESWITCH_PASSWORD"):
            async with event_socket(settings.freeswitch):
                pass
    closed = settings.freeswitch
    with pytest.raises(CallFailed, match=rf"no connection .*:{closed.port}.*apply-inbound-acl"):
        async with event_socket(closed):
            pass
    monkeypatch.setattr(module, "COMMAND_S", 0.05)
    silent = await asyncio.start_server(lambda _, writer: silent_ones.append(writer), *LISTEN)
    silent_ones: list[asyncio.StreamWriter] = []
    async with silent:
        port = silent.sockets[0].getsockname()[1]
        with pytest.raises(CallFailed, match="does not answer"):
            async with event_socket(closed.model_copy(update={"port": port})):
                pass
        for writer in silent_ones:
            writer.close()


async def test_the_leg_has_its_uuid_and_variables_and_is_answered() -> None:
    async with a_leg() as (leg, switch):
        assert await leg.dial("loopback/1002/default", {"controller_probe": "token"}, 5) == ""
        variables = switch.sessions[leg.uuid].channel.variables
        assert variables["controller_probe"] == "token"
        assert variables["ignore_early_media"] == "true"
        assert not leg.ended.done()


async def test_a_leg_has_an_end_even_if_we_are_killed() -> None:
    async with a_leg() as (leg, switch):
        assert await leg.dial("loopback/1002/default", {}, 4.2) == ""
        variables = switch.sessions[leg.uuid].channel.variables
        assert variables["originate_timeout"] == "5"
        assert variables["process_cdr"] == "false", "a test is no call of anybody's"
        assert variables["execute_on_answer"] == f"sched_hangup:+{module.LIMIT_S}"


async def test_a_call_that_is_not_answered_says_why() -> None:
    async with a_leg() as (leg, _):
        assert await leg.dial("loopback/9999/default", {}, 5) == "NO_ROUTE_DESTINATION"


async def test_nothing_is_dialled_with_a_line_break_in_it() -> None:
    async with a_leg() as (leg, switch):
        for to, variables in (("null/a\nexit", {}), ("null/a", {"x": "1\n\nexit"})):
            with pytest.raises(CallFailed, match="control character"):
                await leg.dial(to, variables, 5)
        assert not switch.sessions


async def test_a_leg_that_hangs_up_or_is_hung_up_has_ended_with_a_cause() -> None:
    async with a_leg() as (leg, _):
        assert await leg.dial("loopback/1002/default", {}, 5) == ""
        await leg.hang_up()
        assert await asyncio.wait_for(leg.ended, 5) == "NORMAL_CLEARING"
        await leg.hang_up()  # it may have ended by then
    async with a_leg() as (leg, switch):
        assert await leg.dial("loopback/1002/default", {}, 5) == ""
        far_end(switch, leg).hangup("USER_BUSY")
        assert await asyncio.wait_for(leg.ended, 5) == "USER_BUSY"


# --- the lane -------------------------------------------------------------------------------------


async def test_it_hears_every_frame_and_when_it_came() -> None:
    async with a_leg() as (leg, _):
        heard: list[bytes] = []
        assert await leg.dial("loopback/1001/default", {}, 5) == ""
        async with leg.lane():
            leg.on_frame = heard.append
            await until(lambda: len(leg.frames) > 25)
            assert heard == leg.frames[-len(heard) :]
        assert len(leg.times) == len(leg.frames)
        assert all(earlier <= later for earlier, later in pairwise(leg.times))
        assert {len(frame) for frame in leg.frames} == {leg.rate * FRAME_MS // 1000 * 2}
        assert np.abs(samples(b"".join(leg.frames[-10:])).astype(int)).max() > 1000, "a tone"


async def test_it_says_one_thing_after_the_other_and_knows_how_long_that_takes() -> None:
    async with a_leg() as (leg, _):
        assert await leg.dial("loopback/1003/default", {}, 5) == ""
        async with leg.lane():
            assert not leg.speaking
            words = np.arange(1, 801, dtype=np.int16)
            assert [leg.say(words * n, leg.rate) for n in (1, 2, 3)] == [pytest.approx(0.1)] * 3
            assert leg.speaking
            await until(lambda: not leg.speaking)
            said = b"".join((words * n).tobytes() for n in (1, 2, 3))
            # Without the silence that the switch plays where one of our frames comes late.
            await until(lambda: said in b"".join(frame for frame in leg.frames if any(frame)))
            assert leg.say(np.ones(1600, np.int16), 16000) == pytest.approx(0.1), "another rate"


async def test_a_lane_that_brings_no_audio_is_an_error_with_what_to_look_at() -> None:
    async with a_leg(faults=Faults(lane_bind_failures=-1)) as (leg, _):
        assert await leg.dial("loopback/1002/default", {}, 5) == ""
        with pytest.raises(CallFailed, match=r"no audio from 127\.0\.0\.1:\d+.*lane_host"):
            async with leg.lane():
                pass


async def test_an_address_that_is_not_ours_is_an_error_with_the_setting() -> None:
    elsewhere = {"ESL_CONTROLLER_MEDIA_LANE_HOST": "192.0.2.1"}
    async with a_leg(elsewhere) as (leg, _):
        assert await leg.dial("loopback/1002/default", {}, 5) == ""
        with pytest.raises(CallFailed, match=r"no UDP socket at 192\.0\.2\.1.*lane_host"):
            async with leg.lane():
                pass


# --- commands -------------------------------------------------------------------------------------


async def test_a_switch_that_does_not_reply_or_is_gone_is_an_error() -> None:
    async with a_leg() as (leg, switch):
        assert (await leg.command(wire.api("uuid_exists", leg.uuid))) == "false"
        with pytest.raises(CallFailed, match=r"did not reply within 0\.05 s"):
            await leg.dial("loopback/1004/default", {}, 0.05)  # nobody answers
        await switch.close()
        with pytest.raises(CallFailed, match="connection to FreeSWITCH was lost"):
            await leg.command(wire.api("status"))

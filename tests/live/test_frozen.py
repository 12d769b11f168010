"""A controller that is frozen, or out of reach without a FIN: what the switch does meanwhile."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import pytest

from esl_controller.freeswitch import channel_commands, connection
from esl_controller.freeswitch.connection import LINGER_S
from esl_controller.freeswitch.leg import Leg, event_socket
from esl_controller.simulator.model import ModelStandIn
from tests.calls.test_switch_lost import Wire
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch, free_port
from tests.live.processes import serving
from tests.live.rig import caller_settings, dialled, environment, live, until, until_async

GONE_S = LINGER_S + 3.0
CALLERS = 12  # each goes to one of two by chance
FROZEN_S = 3.0
AFTER_S = 3.0  # the dialplan's next try, a greeting


async def no_channel(switch: FreeSwitch, timeout: float) -> None:
    """Wait until the switch has no channel. Raises TimeoutError."""

    async def none() -> bool:
        return await asyncio.to_thread(switch.channels) == 0

    await until_async(none, timeout)


async def test_a_caller_who_hangs_up_on_a_frozen_controller_leaves_no_channel(
    any_switch: FreeSwitch, figures: Figures, tmp_path: Path
) -> None:
    async with ModelStandIn() as model:
        settings = environment(any_switch, model.base_url, STORE_URL=f"sqlite:///{tmp_path}/db")
        async with serving(settings) as frozen:
            async with dialled(any_switch) as phone:
                await phone.hears_speech()
                frozen.freeze()
            left = time.monotonic()
            try:
                await no_channel(any_switch, GONE_S)
            finally:
                frozen.thaw()
            figures["hangup to its channel gone, controller frozen, s"].append(
                time.monotonic() - left
            )


async def test_new_callers_do_not_wait_for_one_of_two_that_is_frozen_and_then_killed(
    any_switch: FreeSwitch, figures: Figures, tmp_path: Path
) -> None:
    """Both listen on one port, and the kernel gives some of the callers to the frozen one, until
    the service manager's watchdog ends it."""
    async with ModelStandIn() as model:
        settings = environment(
            any_switch, model.base_url, STORE_URL=f"sqlite:///{tmp_path}/db", ESL_SHARE="true"
        )
        async with serving(settings) as frozen, serving(settings) as other:

            async def calls() -> float:
                async with dialled(any_switch) as phone:
                    await phone.hears_speech()
                    return time.monotonic()

            frozen.freeze()
            callers = [asyncio.create_task(calls()) for _ in range(CALLERS)]
            await asyncio.sleep(FROZEN_S)
            assert not all(caller.done() for caller in callers), "none was given to the frozen one"
            killed = time.monotonic()
            frozen.kill()
            heard = [at - killed for at in await asyncio.gather(*callers)]
            figures["a frozen controller killed to its callers hear us, s"] += [
                after for after in heard if after > 0
            ]
            assert max(heard) < AFTER_S
            assert await other.ready()


@pytest.mark.parametrize("to", ["null/nobody", "loopback/9999/default"])
async def test_a_leg_of_ours_has_its_end_at_the_switch(any_switch: FreeSwitch, to: str) -> None:
    """Its process may be killed before it hangs up."""

    async def limited() -> bool:
        return leg.uuid in await asyncio.to_thread(any_switch.api, "show tasks")

    settings = caller_settings(any_switch)
    async with event_socket(settings.freeswitch) as inbound:
        leg = Leg(inbound, settings.media)
        assert await leg.dial(to, {}, 5) == ""
        await until_async(limited, 1.0)
        await leg.hang_up()
    await no_channel(any_switch, GONE_S)


async def test_a_call_whose_connection_goes_mute_is_taken_back(
    any_switch: FreeSwitch, figures: Figures, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A cut network, without a FIN: the switch goes on to believe that the controller has it."""
    controller_port = free_port()
    monkeypatch.setattr(connection, "PING_S", 1.0)
    monkeypatch.setattr(channel_commands, "COMMAND_S", 1.0)
    async with live(any_switch, ESL_PORT=str(controller_port)) as of:
        wire = Wire(controller_port)
        at = ("127.0.0.1", any_switch.controller_port)
        server = await asyncio.start_server(wire.carry, *at)
        async with server:
            async with of.phone() as phone:
                await phone.hears_speech()
                await phone.hears_silence()
                wire.swallow()
                muted = time.monotonic()
                await until(lambda: of.controller.calls.taken == 2, 10)
                figures["Event Socket mute to its call back (2 s to notice), s"].append(
                    time.monotonic() - muted
                )
                await phone.hears_speech()
                await phone.hears_silence()
                await phone.says("caller")
                await phone.hears_speech()
                assert of.controller.calls.taken == 2
            await wire.close()  # or the switch lingers on the old connection for 5 s
            await of.all_over()

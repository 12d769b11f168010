"""The dialplan's ladder: what a call does while no controller has it.

The controller here is the least that one can be: it takes calls and loses them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import numpy as np
import pytest
from aiohttp import web

from esl_controller.freeswitch import dialplan
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.freeswitch.wire import SwitchError
from tests.live.audio import QUIET
from tests.live.conftest import Figures
from tests.live.freeswitch import DOMAIN_UUID, SECRETARY_UUID, FreeSwitch, free_port
from tests.live.rig import Phone, dialled, until_async

LOST = 30
ABSENT_S = 60.0
ARRIVES_S = 5.0
LATER, LATER_S = 5, 0.9
FALLBACK = [("hangup", "NORMAL_TEMPORARY_FAILURE")]


@dataclass
class Arrived:
    """A call that came to a controller."""

    switch: SwitchConnection
    channel: Channel
    at: float
    writer: asyncio.StreamWriter

    def lose(self) -> float:
        """End the connection as the kernel does for a killed process; when it was."""
        self.writer.transport.abort()
        return time.monotonic()


Arrivals = asyncio.Queue[Arrived]


async def next_of(arrivals: Arrivals, timeout: float = ARRIVES_S) -> Arrived:
    """The next call that comes. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        return await arrivals.get()


@contextlib.asynccontextmanager
async def controller(port: int) -> AsyncIterator[Arrivals]:
    """Listen for calls, and answer those that are not answered yet."""
    arrivals = Arrivals()
    served: dict[asyncio.StreamWriter, asyncio.Event] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        at = time.monotonic()
        served[writer] = over = asyncio.Event()
        async with SwitchConnection.over(reader, writer) as switch:
            with contextlib.suppress(SwitchError):
                channel = await switch.connect()
                if not channel.answered:
                    await switch.answer()
                arrivals.put_nowait(Arrived(switch, channel, at, writer))
                await switch.wait_lost()
        over.set()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield arrivals
    finally:
        server.close()
        while served:  # one that was just accepted comes as well
            writer, over = served.popitem()
            writer.transport.abort()
            await over.wait()


def add_extension(
    switch: FreeSwitch,
    number: str,
    socket: str,
    waits_ms: Sequence[int],
    fallback: Sequence[dialplan.Action] = FALLBACK,
) -> None:
    """Another ladder beside that of extension 8000."""
    path = switch.directory / "conf" / "dialplan" / f"3_ladder_{number}.xml"
    path.write_text(
        dialplan.render(
            number,
            domain_uuid=DOMAIN_UUID,
            secretary_uuid=SECRETARY_UUID,
            socket=socket,
            fallback=fallback,
            waits_ms=waits_ms,
        )
    )
    assert switch.api("reloadxml").startswith("+OK")


async def originate(switch: FreeSwitch, number: str) -> str:
    """Dial a number; what FreeSWITCH says once it is answered, or why it is not."""
    to = f"{{ignore_early_media=true}}sofia/caller/{number}@127.0.0.1:{switch.sip_port}"
    return await asyncio.to_thread(switch.api, f"originate {to} &park()")


async def no_channel(switch: FreeSwitch) -> bool:
    """Whether the last call is over."""
    return await asyncio.to_thread(switch.channels) == 0


async def states(switch: FreeSwitch) -> set[str]:
    """The call states of all channels."""
    shown = await asyncio.to_thread(switch.api, "show channels as json")
    return {row["callstate"] for row in json.loads(shown).get("rows", [])}


def first_tone(phone: Phone, since: float) -> float:
    """When the phone first heard something after ``since``."""
    for frame, at in zip(phone.leg.frames, phone.leg.times, strict=True):
        if at >= since and np.abs(np.frombuffer(frame, np.int16).astype(int)).max() > QUIET:
            return at
    raise AssertionError("nothing was heard")


async def test_a_call_outlives_any_number_of_controllers(
    any_switch: FreeSwitch, figures: Figures
) -> None:
    async with controller(any_switch.controller_port) as arrivals, dialled(any_switch) as phone:
        first = now = await next_of(arrivals)
        assert not first.channel.away_s
        for number in range(LOST):
            await now.switch.confirm_taken()
            lost = now.lose()
            now = await next_of(arrivals)
            figures["controller lost to the next one's connection, ms"].append(
                (now.at - lost) * 1000
            )
            assert now.channel.uuid == first.channel.uuid, f"after {number} controllers"
            assert now.channel.answered
            assert now.channel.away_s < 0.5
            assert "controller_again" not in now.channel.variables
        assert not phone.leg.ended.done()
    await until_async(lambda: no_channel(any_switch))


async def test_the_stream_comes_again_after_each_controller(switch: FreeSwitch) -> None:
    """A transfer leaves mod_audio_stream's media bug alone: stop and start it, as ever."""
    heard: dict[str, int] = {}
    came = asyncio.Event()

    async def listen(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if isinstance(message.data, bytes):
                heard[request.path] = heard.get(request.path, 0) + len(message.data)
                came.set()
        return socket

    app = web.Application()
    app.router.add_get("/{number}", listen)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        url = f"ws://127.0.0.1:{runner.addresses[0][1]}"
        async with controller(switch.controller_port) as arrivals, dialled(switch):
            for number in range(4):
                now = await next_of(arrivals)
                if number:
                    await now.switch.stop_stream()
                await now.switch.start_stream(f"{url}/{number}", "mono", "16k", "token")
                await now.switch.confirm_taken()
                async with asyncio.timeout(ARRIVES_S):
                    while heard.get(f"/{number}", 0) < 16_000:
                        came.clear()
                        await came.wait()
                now.lose()
            await next_of(arrivals)
    finally:
        await runner.cleanup()


async def test_a_caller_who_is_not_answered_yet_hears_ringing(any_switch: FreeSwitch) -> None:
    dialling = asyncio.create_task(originate(any_switch, "8000"))
    await until_async(lambda: _ringing(any_switch))
    await asyncio.sleep(1.5)  # past the waits that are silent for an answered caller
    assert await states(any_switch) == {"RINGING"}
    async with controller(any_switch.controller_port) as arrivals:
        arrived = await next_of(arrivals)
        assert not arrived.channel.answered
        assert not arrived.channel.away_s, "no controller has lost it"
        assert (await dialling).startswith("+OK")
        await arrived.switch.hang_up("NORMAL_CLEARING")
    await until_async(lambda: no_channel(any_switch))


async def _ringing(switch: FreeSwitch) -> bool:
    return "RINGING" in await states(switch)


async def test_a_minute_without_a_controller(any_switch: FreeSwitch, figures: Figures) -> None:
    async with contextlib.AsyncExitStack() as stack:
        async with controller(any_switch.controller_port) as arrivals:
            phone = await stack.enter_async_context(dialled(any_switch))
            arrived = await next_of(arrivals)
            await arrived.switch.confirm_taken()
            lost = time.monotonic()
        await asyncio.sleep(ABSENT_S)
        async with controller(any_switch.controller_port) as arrivals:
            back = time.monotonic()
            again = await next_of(arrivals, 6)
            figures["a minute without a controller: then taken after, ms"].append(
                (again.at - back) * 1000
            )
            assert again.channel.uuid == arrived.channel.uuid
            assert again.channel.away_s == pytest.approx(again.at - lost, abs=0.5)
            silent = first_tone(phone, lost + 0.1) - lost
            figures["silent before the first tone, ms"].append(silent * 1000)
            assert 0.9 < silent < 2
            assert not phone.leg.ended.done()


async def test_hosts_are_tried_in_order_and_then_comes_the_fallback(
    any_switch: FreeSwitch,
) -> None:
    first, second = free_port(), free_port()
    add_extension(any_switch, "8001", f"127.0.0.1:{first}|127.0.0.1:{second}", [100, 100])
    async with controller(second) as arrivals:
        dialling = asyncio.create_task(originate(any_switch, "8001"))
        arrived = await next_of(arrivals)
        await arrived.switch.confirm_taken()
        assert (await dialling).startswith("+OK")
        async with controller(first) as others:
            arrived.lose()
            again = await next_of(others)
            assert again.channel.uuid == arrived.channel.uuid
            await again.switch.hang_up("NORMAL_CLEARING")
    await until_async(lambda: no_channel(any_switch))
    began = time.monotonic()
    assert await originate(any_switch, "8001") == "-ERR NORMAL_TEMPORARY_FAILURE"
    assert 0.2 < time.monotonic() - began < 2


async def test_a_call_that_a_later_try_brought_is_as_any(any_switch: FreeSwitch) -> None:
    """The later tries run within one action: from there, too, the ladder begins anew, and the call
    can be handed to us again."""
    uuid = ""
    async with contextlib.AsyncExitStack() as stack:
        phone = None
        for number in range(LATER):
            if number:
                await asyncio.sleep(LATER_S)
            async with controller(any_switch.controller_port) as arrivals:
                if phone is None:
                    phone = await stack.enter_async_context(dialled(any_switch))
                now = await next_of(arrivals)
                uuid = uuid or now.channel.uuid
                assert (now.channel.uuid, now.channel.number) == (uuid, "8000")
                assert (now.channel.away_s > LATER_S / 2) == (number > 0)
                await now.switch.confirm_taken()
                if number == LATER - 1:
                    await now.switch.transfers.new_park(1)
                    now = await next_of(arrivals)
                    assert (now.channel.uuid, now.channel.parks) == (uuid, 1)
                    await now.switch.hang_up("NORMAL_CLEARING")
                    await phone.ended(ARRIVES_S)
    await until_async(lambda: no_channel(any_switch))


async def test_no_controller_at_all_is_a_tone_and_a_proper_end(any_switch: FreeSwitch) -> None:
    """The fallback that the dialplan has if no other one is given."""
    add_extension(any_switch, "8003", f"127.0.0.1:{free_port()}", [100, 100], dialplan.FALLBACK)
    began = time.monotonic()
    assert await originate(any_switch, "8003") == "-ERR NORMAL_TEMPORARY_FAILURE"
    assert 3.5 < time.monotonic() - began < 8, "eight tones of half a second"


async def test_a_controller_that_takes_nothing_is_a_try_that_failed(
    any_switch: FreeSwitch,
) -> None:
    """One that breaks at each call does not keep it for ever."""
    port = free_port()
    add_extension(any_switch, "8002", f"127.0.0.1:{port}", [50, 50, 50])
    async with controller(port) as arrivals:
        dialling = asyncio.create_task(originate(any_switch, "8002"))
        for _ in range(4):
            (await next_of(arrivals)).lose()
        await until_async(lambda: no_channel(any_switch))
        assert arrivals.empty()
        await dialling

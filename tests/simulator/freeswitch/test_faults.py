"""Misbehaviour on demand, and what is left afterwards: nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import pytest

from esl_controller.simulator.freeswitch import CallStandIn, Faults, Ladder, SwitchStandIn
from esl_controller.simulator.freeswitch.faults import CallStep
from tests.simulator.freeswitch.rig import (
    AGENT,
    Controller,
    ControllerServer,
    LaneEnd,
    MediaServer,
    free_tcp_port,
    free_udp_port,
    write_tone,
)


@asynccontextmanager
async def rig(
    faults: Faults, ladder: Ladder | None = None
) -> AsyncIterator[tuple[CallStandIn, ControllerServer, SwitchStandIn]]:
    async with (
        ControllerServer().run() as server,
        SwitchStandIn(
            server.target, ladder=ladder or Ladder(wait=0.02), extensions=AGENT
        ) as switch,
    ):
        yield await switch.call(faults=faults), server, switch
    assert not switch.sessions
    assert not switch._tasks


async def test_event_socket_cut_and_dialled_again() -> None:
    async with rig(Faults(socket_cut_after=0.1)) as (call, server, _):
        first = await server.next()
        await first.open_call()
        await asyncio.wait_for(first.ended.wait(), 1)
        second = await server.next(timeout=0.3)
        data = await second.ask("connect")
        assert data.get("Unique-ID") == call.uuid
        assert data.get("variable_socket_resume") == "true"
        await asyncio.sleep(0.15)
        assert not second.ended.is_set(), "once"


async def test_event_socket_cut_instead_of_a_reply() -> None:
    async with rig(Faults(socket_cut_after_commands=2)) as (_, server, _switch):
        first = await server.next()
        await first.ask("connect")
        first.send("linger")
        await asyncio.wait_for(first.ended.wait(), 1)
        assert first.replies.empty()
        second = await server.next()
        await second.ask("connect")
        await second.ask("linger")


@pytest.mark.parametrize(("resume", "plays_on"), [(True, False), (False, True)])
async def test_what_plays_when_the_controller_is_lost(
    resume: bool, plays_on: bool, tmp_path: Path
) -> None:
    tone = tmp_path / "tone.wav"
    write_tone(tone, seconds=0.4)
    ladder = Ladder(resume=resume, tries=2, wait=0.02)
    async with rig(Faults(), ladder) as (call, server, _):
        first = await server.next()
        await first.open_call()
        await first.execute("playback", str(tone))
        await call.wait_heard()
        first.reset()
        second = await server.next()
        assert (await second.ask("connect")).get("Unique-ID") == call.uuid
        assert (len(call.heard) == 20) == plays_on
        second.reset()
        assert await call.ended() == "NORMAL_CLEARING", "the dialplan is at its end"


@pytest.mark.parametrize("resume", [True, False])
async def test_a_controller_that_is_gone_before_it_says_connect(resume: bool) -> None:
    async with rig(Faults(), Ladder(resume=resume, tries=2, wait=0.02)) as (call, server, switch):
        (await server.next()).reset()
        if resume:
            assert (await (await server.next()).ask("connect")).get("Unique-ID") == call.uuid
            return
        with pytest.raises(TimeoutError):
            await server.next(timeout=0.15)
        assert await switch.api("uuid_exists", call.uuid) == "true"


@pytest.mark.parametrize("resume", [True, False])
async def test_the_old_connection_closed_after_a_transfer_to_others(resume: bool) -> None:
    async with rig(Faults(), Ladder(resume=resume)) as (call, server, switch):
        controller = await server.next()
        await controller.open_call()
        await controller.api(f"uuid_transfer {call.uuid} 1001 XML default")
        while (await controller.event("CHANNEL_EXECUTE")).get("Application") != "playback":
            pass
        controller.reset()
        await asyncio.sleep(0.1)
        dump = await switch.api("uuid_dump", call.uuid)
        assert f"Channel-State: {'CS_RESET' if resume else 'CS_EXECUTE'}\n" in dump
        await switch.api("uuid_transfer", f"{call.uuid} 8000 XML default")
        assert (await (await server.next()).ask("connect")).get("Unique-ID") == call.uuid


async def test_the_old_connection_closed_at_once_does_no_harm() -> None:
    async with rig(Faults()) as (call, server, _):
        old = await server.next()
        await old.open_call()
        await old.api(f"uuid_transfer {call.uuid} 8000 XML default")
        old.reset()
        new = await server.next()
        assert (await new.ask("connect")).get("Unique-ID") == call.uuid
        with pytest.raises(TimeoutError):
            await server.next(timeout=0.15)
        assert not new.ended.is_set()


async def test_the_ladder_begins_anew_after_each_controller_that_took_the_call() -> None:
    """More losses than there are tries, and than FreeSWITCH allows transfers of a call."""
    async with rig(Faults(), Ladder(tries=2, wait=0.02)) as (call, server, _):
        for lost in range(80):
            controller = await server.next()
            connected = await controller.ask("connect")
            assert connected.get("variable_controller_again") == ""
            assert bool(connected.get("variable_controller_lost_at")) == (lost > 0)
            home = connected.get("variable_controller_home")
            await controller.api(f"uuid_setvar {call.uuid} controller_again {home}")
            controller.reset()
        await (await server.next()).ask("connect")
        call.hangup()


async def test_a_controller_that_takes_nothing_uses_up_a_try() -> None:
    async with rig(Faults(), Ladder(tries=3, wait=0.02)) as (call, server, _):
        for _ in range(3):
            controller = await server.next()
            await controller.open_call()
            controller.reset()
        assert await call.ended() == "NORMAL_CLEARING"


async def test_the_ladder_ends() -> None:
    async with SwitchStandIn(
        f"127.0.0.1:{free_tcp_port()}", ladder=Ladder(tries=3, wait=0.03)
    ) as switch:
        call = await switch.call()
        assert await call.ended() == "NORMAL_CLEARING"


async def test_the_second_host_is_dialled_when_the_first_is_not_there() -> None:
    async with (
        ControllerServer().run() as server,
        SwitchStandIn([f"127.0.0.1:{free_tcp_port()}", server.target]) as switch,
    ):
        await switch.call()
        data = await (await server.next()).ask("connect")
        assert data.get("variable_current_application_data").count("|") == 1


async def test_replies_can_be_slow_and_stay_in_order() -> None:
    async with rig(Faults(reply_delay=0.05)) as (call, server, _):
        controller = await server.next()
        controller.send("connect")
        controller.send("linger")
        controller.send("api uuid_exists " + call.uuid)
        assert (await controller.reply()).get("Unique-ID") == call.uuid
        assert "linger" in (await controller.reply()).raw
        assert (await controller.reply()).body == "true"


async def test_garbage_on_the_wire() -> None:
    async with rig(Faults(garbage_after_commands=2)) as (_, server, _switch):
        controller = await server.next()
        await controller.ask("connect")
        controller.send("linger")
        await asyncio.wait_for(controller.ended.wait(), 1)
        assert controller.broken


@pytest.mark.parametrize("step", ["connecting", "connected", "answered", "streaming", "speaking"])
async def test_the_caller_hangs_up_at_every_step(step: CallStep) -> None:
    async with MediaServer().run() as media, rig(Faults(hangup_at=step)) as (call, server, _):
        controller = await server.next()
        lane, port = LaneEnd(), free_udp_port()
        for command in ("connect", "linger", "myevents"):
            controller.send(command)
        controller.send("sendmsg\ncall-command: execute\nexecute-app-name: answer")
        with contextlib.suppress(TimeoutError):
            await call.answered(timeout=0.1)
        controller.send(f"api uuid_audio_stream {call.uuid} start {media.url()} mono 16k")
        controller.send(
            "sendmsg\ncall-command: unicast\nlocal-ip: 127.0.0.1\n"
            f"local-port: {port}\nremote-ip: 127.0.0.1\nremote-port: {lane.port}"
        )
        for _ in range(12):
            lane.send(bytes(320), port)
            await asyncio.sleep(0.01)
        assert await call.ended(timeout=2) == "NORMAL_CLEARING"
        lane.close()
        answered = step not in ("connecting", "connected")
        assert call.is_answered == answered
        if step != "connecting":
            notice = await controller.notice()
            assert "Content-Disposition: linger" in notice.raw


async def test_a_hangup_without_linger_closes_the_connection() -> None:
    async with rig(Faults()) as (call, server, _):
        controller = await server.next()
        await controller.ask("connect")
        call.hangup()
        notice = await controller.notice()
        assert "Content-Disposition: disconnect" in notice.raw
        await asyncio.wait_for(controller.ended.wait(), 1)
        assert not controller.broken


async def test_exit_is_a_lost_controller() -> None:
    async with rig(Faults()) as (call, server, _):
        controller = await server.next()
        await controller.open_call()
        assert (await controller.ask("exit")).get("Reply-Text") == "+OK bye"
        assert call.uuid in (await controller.notice()).raw
        assert (await (await server.next()).ask("connect")).get("Unique-ID") == call.uuid


async def test_wrong_usage_has_its_answers() -> None:
    async with rig(Faults()) as (call, server, _):
        controller = await server.next()
        await controller.open_call()
        for command, answer in {
            "nonsense": "-ERR command not found",
            "myevents": "-ERR aready enabled.",
            "filter": "-ERR invalid syntax",
            "event plain": "-ERR no keywords supplied",
            "sendmsg nobody\ncall-command: hangup": "-ERR invalid session id [nobody]",
        }.items():
            assert (await controller.ask(command)).get("Reply-Text") == answer
        for command, answer in {
            "uuid_setvar nobody a b": "-ERR No such channel!\n",
            "uuid_getvar nobody a": "-ERR No such channel!\n",
            f"uuid_getvar {call.uuid} nothing": "_undef_",
            "uuid_setvar": "-USAGE: <uuid> <var> [value]\n",
            "uuid_break": "-USAGE: <uuid> [all]\n",
            "uuid_broadcast nobody x.wav": "-ERR invalid uuid\n",
            "uuid_transfer nobody 1": "-ERR No such channel!\n",
            "uuid_kill nobody": "-ERR No such channel!\n",
            "uuid_record nobody start /x": "-ERR Cannot locate session!\n",
            f"uuid_record {call.uuid} start /no/such/place.wav": "-ERR Cannot record session!\n",
            "nosuch a b": "-ERR nosuch Command not found!\n",
        }.items():
            assert await controller.api(command) == answer


async def test_an_injected_header_really_is_one() -> None:
    async with rig(Faults()) as (call, server, _):
        controller = await server.next()
        await controller.open_call()
        await controller.ask("sendmsg\nx: 1\ncall-command: hangup\nhangup-cause: USER_BUSY")
        assert await call.ended() == "USER_BUSY"


async def test_fuzzed_commands_harm_no_other_call() -> None:
    noise = random.Random(7)
    words = ["sendmsg", "api", "uuid_audio_stream", "start", "filter", "event", "plain", "CUSTOM"]
    words += ["call-command: execute", "call-command: unicast", "local-port: 99999999", "bgapi"]
    words += ["execute-app-name: playback", "execute-app-arg: ", "linger", "-1", "\n", "\x00", "é"]
    async with rig(Faults()) as (call, server, switch):
        await (await server.next()).open_call()
        victim = await switch.call()
        controller = await server.next()
        await controller.ask("connect")
        for _ in range(500):
            line = " ".join(noise.choices(words, k=noise.randint(1, 6)))
            controller.send(line + "\n\n")
        controller.send("api uuid_getvar x marker")
        async with asyncio.timeout(5):
            while (await controller.reply()).body != "-ERR No such channel!\n":
                pass
        assert call.cause == ""
        victim.hangup()
        await victim.ended()


async def test_forty_calls_at_once_lose_no_frame() -> None:
    async with (
        ControllerServer().run() as server,
        MediaServer().run() as media,
        SwitchStandIn(server.target) as switch,
    ):
        calls = [await switch.call(codec="L16") for _ in range(40)]
        ramp = np.arange(1, 16001, dtype=np.int16)
        controllers = [await server.next() for _ in calls]

        async def set_up(controller: Controller) -> tuple[CallStandIn, LaneEnd, int, bytearray]:
            uuid = (await controller.ask("connect")).get("Unique-ID")
            await controller.execute("answer")
            await switch.calls[uuid].answered()
            url = media.url(f"/stream/{uuid}")
            await controller.api(f"uuid_audio_stream {uuid} start {url} mono 16k")
            lane, port = LaneEnd(), free_udp_port()
            await controller.unicast(port, lane.port)
            return switch.calls[uuid], lane, port, bytearray()

        lanes = await asyncio.gather(*map(set_up, controllers))
        for call, lane, _, __ in lanes:
            await call.stream_connected()
            await lane.receive()
            call.speak(ramp, 16000)
        loop = asyncio.get_running_loop()
        frame, began = np.full(320, 5000, np.int16).tobytes(), loop.time()
        for tick in range(100):
            for _, lane, port, received in lanes:
                lane.send(frame, port)
                received += b"".join(lane.drain())
            await asyncio.sleep(max(0.0, began + (tick + 1) * 0.02 - loop.time()))
        await asyncio.sleep(0.05)
        for call, lane, _, received in lanes:
            lane.close()
            assert len(call.heard) == 100
            samples = np.frombuffer(received, np.int16)
            assert np.array_equal(samples[samples > 0], ramp)
        await media.until(lambda: (media.pcm > 0).sum() == len(ramp) * len(calls))

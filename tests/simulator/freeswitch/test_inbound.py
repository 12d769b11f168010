"""The Event Socket that FreeSWITCH listens on: originate, and commands for other calls."""

from __future__ import annotations

import asyncio
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from esl_controller.simulator.freeswitch import Ladder, SwitchStandIn
from tests.simulator.freeswitch.rig import (
    Controller,
    ControllerServer,
    LaneEnd,
    MediaServer,
    dial,
    free_udp_port,
    write_tone,
)


@asynccontextmanager
async def rig() -> AsyncIterator[tuple[SwitchStandIn, Controller, ControllerServer]]:
    async with (
        ControllerServer().run() as server,
        SwitchStandIn(
            server.target,
            event_socket=("127.0.0.1", 0),
            password="secret",
            ladder=Ladder(tries=1),
            endpoints={"user/busy@x": "USER_BUSY"},
        ) as switch,
    ):
        assert switch.event_socket
        client = await dial(switch.event_socket)
        assert (await client.reply()).raw == "Content-Type: auth/request\n\n"
        assert (await client.ask("auth secret")).get("Reply-Text") == "+OK accepted"
        yield switch, client, server
        await client.close()


async def test_nothing_is_done_before_the_password() -> None:
    async with SwitchStandIn(event_socket=("127.0.0.1", 0)) as switch:
        assert switch.event_socket
        client = await dial(switch.event_socket)
        await client.reply()
        assert (await client.ask("api status")).get("Reply-Text") == "-ERR command not found"
        await client.close()


async def test_originate_answers_when_the_far_end_has() -> None:
    async with rig() as (switch, client, server):
        await client.ask("event plain CHANNEL_ANSWER CHANNEL_HANGUP CHANNEL_HANGUP_COMPLETE")
        client.send("api originate {origination_uuid=a-leg,note='x, y'}loopback/8000/default &park")
        controller = await server.next()
        await asyncio.sleep(0.1)
        assert client.replies.empty(), "not answered yet"
        data = await controller.ask("connect")
        assert data.get("Channel-Name") == "loopback/8000-b"
        assert data.get("variable_other_loopback_leg_uuid") == "a-leg"
        assert data.get("variable_note") == "x, y"
        assert data.get("Channel-Read-Codec-Name") == "L16"
        await controller.execute("answer")
        assert (await client.reply()).body == "+OK a-leg\n"
        answered = {(await client.event("CHANNEL_ANSWER")).get("Unique-ID") for _ in range(2)}
        assert answered == {"a-leg", data.get("Unique-ID")}
        assert await client.api("uuid_exists a-leg") == "true"
        assert '"row_count": 2' in await client.api("show channels as json")
        await client.api("uuid_kill a-leg USER_BUSY")
        ended = [await client.event("CHANNEL_HANGUP_COMPLETE") for _ in range(2)]
        assert {event.get("Hangup-Cause") for event in ended} == {"USER_BUSY"}
        assert not switch.sessions


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("originate user/busy@x &park", "-ERR USER_BUSY\n"),
        ("originate user/nobody@x &park", "-ERR SUBSCRIBER_ABSENT\n"),
        ("originate loopback/9999/default &park()", "-ERR NO_ROUTE_DESTINATION\n"),
        ("originate", "-USAGE: <call url> <exten>|&<application_name>"),
        ("originate {originate_timeout=0.1}loopback/8000/default &park", "-ERR NO_ANSWER\n"),
    ],
)
async def test_originate_fails(command: str, answer: str) -> None:
    async with rig() as (switch, client, _):
        assert (await client.api(command)).startswith(answer)
        await asyncio.sleep(0.05)
        assert not switch.sessions


async def test_originate_fails_when_the_controller_hangs_up() -> None:
    async with rig() as (_, client, server):
        client.send("api originate loopback/8000/default &park")
        controller = await server.next()
        await controller.ask("connect")
        await controller.hangup("CALL_REJECTED")
        assert (await client.reply()).body == "-ERR CALL_REJECTED\n"


async def test_a_whole_call_by_the_event_socket(tmp_path: Path) -> None:
    """The controller hears what the a-leg plays; the recording has what the controller says."""
    tone, record = tmp_path / "tone.wav", tmp_path / "record.wav"
    write_tone(tone, seconds=0.5)
    async with MediaServer().run() as media, rig() as (_switch, client, server):
        client.send("bgapi originate {origination_uuid=a}loopback/8000/default &park()")
        assert (await client.reply()).get("Reply-Text").startswith("+OK Job-UUID: ")
        await client.ask("event plain BACKGROUND_JOB PLAYBACK_STOP RECORD_STOP")
        controller = await server.next()
        uuid = await controller.open_call()
        job = await client.event("BACKGROUND_JOB")
        assert (job.body, job.get("Job-Command")) == ("+OK a\n", "originate")
        await controller.api(f"uuid_audio_stream {uuid} start {media.url()} mono 8k")
        lane, port = LaneEnd(), free_udp_port()
        await controller.unicast(port, lane.port)
        await lane.receive()
        await client.api("uuid_setvar a RECORD_STEREO true")
        for _ in range(2):  # again: nothing more happens
            assert await client.api(f"uuid_record a start {record}") == "+OK Success\n"
        await client.api(f"uuid_broadcast a {tone} aleg")
        for _ in range(50):
            lane.send(np.full(160, 3000, np.int16).tobytes(), port)
            await asyncio.sleep(0.02)
        await client.event("PLAYBACK_STOP")
        assert await client.api(f"uuid_record a stop {record}") == "+OK Success\n"
        lane.close()

        with wave.open(str(tone)) as file:
            said = np.frombuffer(file.readframes(10**6), np.int16)
        streamed = media.pcm[np.nonzero(media.pcm)[0][0] - 1 :][: len(said)]
        assert np.array_equal(streamed, said)
        with wave.open(str(record)) as file:
            pairs = np.frombuffer(file.readframes(10**6), np.int16).reshape(-1, 2)
        left, right = pairs[:, 0], pairs[:, 1]
        assert (left == 3000).sum() > 8000 * 0.8, "the far end, which the a-leg reads"
        start = np.nonzero(right)[0][0] - 1
        assert np.array_equal(right[start : start + len(said)], said), "what the a-leg plays"


async def test_the_calling_leg_has_a_lane_of_its_own() -> None:
    """The far leg's caller says what we send on it; it brings us what the controller says."""
    ramp = np.arange(1, 160 * 20 + 1, dtype=np.int16)
    frames = [ramp[at : at + 160].tobytes() for at in range(0, len(ramp), 160)]
    async with MediaServer().run() as media, rig() as (switch, client, server):
        client.send("bgapi originate {origination_uuid=a}loopback/8000/default &park()")
        await client.reply()
        await client.ask("event plain BACKGROUND_JOB")
        controller = await server.next()
        uuid = await controller.open_call()
        assert (await client.event("BACKGROUND_JOB")).body == "+OK a\n"
        await controller.api(f"uuid_audio_stream {uuid} start {media.url()} mono 8k")
        ours, theirs, ports = LaneEnd(), LaneEnd(), (free_udp_port(), free_udp_port())
        await controller.unicast(ports[1], theirs.port)
        assert await client.unicast(ports[0], ours.port, session="a") == "+OK"
        for end in (ours, theirs):
            assert not any(await end.receive())
        await switch.calls[uuid].stream_connected()
        loop = asyncio.get_running_loop()
        began = loop.time()
        for index, frame in enumerate(frames):
            ours.send(frame, ports[0])
            theirs.send((-np.frombuffer(frame, np.int16)).tobytes(), ports[1])
            await asyncio.sleep(max(0.0, began + (index + 1) * 0.02 - loop.time()))
        await media.until(lambda: ramp[-1] in media.pcm)
        await asyncio.sleep(0.05)
        assert np.array_equal(media.pcm[media.pcm != 0], ramp), "said into the stream"
        assert np.array_equal(sound(theirs), ramp), "said into the controller's lane"
        assert np.array_equal(sound(ours), -ramp), "heard"
        assert np.array_equal(np.trim_zeros(switch.calls[uuid].heard_pcm()), -ramp)
        for end in (ours, theirs):
            end.close()


def sound(end: LaneEnd) -> npt.NDArray[np.int16]:
    """What came on a lane, without the silence."""
    pcm = np.frombuffer(b"".join(end.drain()), np.int16)
    said: npt.NDArray[np.int16] = pcm[pcm != 0]
    return said


async def test_originate_and_playback(tmp_path: Path) -> None:
    tone = tmp_path / "tone.wav"
    write_tone(tone, seconds=0.2)
    async with MediaServer().run() as media, rig() as (switch, client, server):
        client.send(f"api originate {{origination_uuid=a}}loopback/8000/default &playback({tone})")
        controller = await server.next()
        await controller.open_call()
        assert (await client.reply()).body == "+OK a\n"
        (call,) = switch.calls.values()
        await controller.api(f"uuid_audio_stream {call.uuid} start {media.url()} mono 8k")
        assert await call.ended() == "NORMAL_CLEARING"
        assert media.pcm.any()


async def test_an_event_that_is_sent_reaches_the_listeners() -> None:
    async with rig() as (_switch, client, _):
        await client.ask("event plain CUSTOM fusion::file")
        reply = await client.ask(
            "sendevent CUSTOM\nEvent-Subclass: fusion::file\nAPI-Command: cache\n"
            "API-Command-Argument: delete dialplan:default"
        )
        assert reply.get("Reply-Text").startswith("+OK ")
        event = await client.event("fusion::file")
        assert event.get("API-Command-Argument") == "delete dialplan:default"


async def test_a_call_can_be_watched_and_broken_off(tmp_path: Path) -> None:
    tone = tmp_path / "tone.wav"
    write_tone(tone, seconds=3.0)
    async with rig() as (switch, client, server):
        call = await switch.call()
        controller = await server.next()
        await controller.open_call()
        assert (await client.ask(f"myevents {call.uuid}")).get("Reply-Text") == "+OK Events Enabled"
        await client.ask("event plain PLAYBACK_START PLAYBACK_STOP")
        await controller.execute("playback", str(tone))
        await client.event("PLAYBACK_START")
        assert await client.api(f"uuid_break {call.uuid} all") == "+OK\n"
        assert (await client.event("PLAYBACK_STOP")).get("Playback-Status") == "break"
        dump = await client.api(f"uuid_dump {call.uuid}")
        assert f"Unique-ID: {call.uuid}\n" in dump


async def test_small_commands() -> None:
    async with rig() as (_switch, client, _):
        assert await client.api("version short") == "1.10.12-release\n"
        assert (await client.api("version")).startswith("FreeSWITCH Version 1.10.12")
        assert (await client.api("show channels")).endswith("0 total.\n")
        assert "USAGE" in await client.api("show")
        assert await client.api("module_exists mod_commands") == "true"
        assert (await client.ask("linger")).get("Reply-Text") == "-ERR not controlling a session"
        assert (await client.ask("event json HEARTBEAT")).get("Reply-Text").endswith("json")

"""The lane: the caller's frames out, ours in, and everything that ends it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from esl_controller.simulator.freeswitch import CallStandIn, Faults, Ladder, SwitchStandIn
from esl_controller.simulator.freeswitch.events import CodecName
from tests.simulator.freeswitch.rig import (
    AGENT,
    Controller,
    ControllerServer,
    LaneEnd,
    MediaServer,
    free_udp_port,
    write_tone,
)

DEAD = 0.06
"""A lane that has sent nothing for this long is not open, in seconds."""


@dataclass
class Rig:
    switch: SwitchStandIn
    server: ControllerServer
    call: CallStandIn
    controller: Controller
    lane: LaneEnd
    port: int

    async def open_lane(self) -> None:
        assert await self.controller.unicast(self.port, self.lane.port) == "+OK"
        await self.lane.receive()

    async def is_dead(self) -> bool:
        self.lane.drain()
        await asyncio.sleep(DEAD)
        return not self.lane.drain()


@asynccontextmanager
async def rig(
    codec: CodecName = "PCMU", rate: int | None = None, faults: Faults | None = None
) -> AsyncIterator[Rig]:
    lane = LaneEnd()
    try:
        async with (
            ControllerServer().run() as server,
            SwitchStandIn(server.target, ladder=Ladder(wait=0.02), extensions=AGENT) as switch,
        ):
            call = await switch.call(codec=codec, rate=rate, faults=faults)
            controller = await server.next()
            await controller.open_call()
            yield Rig(switch, server, call, controller, lane, free_udp_port())
    finally:
        lane.close()


@pytest.mark.parametrize(
    ("codec", "rate", "size"),
    [("PCMU", None, 320), ("PCMA", None, 320), ("L16", None, 640), ("opus", None, 1920)],
)
async def test_frames_have_the_size_of_the_channel(
    codec: CodecName, rate: int | None, size: int
) -> None:
    async with rig(codec, rate) as r:
        await r.open_lane()
        began = asyncio.get_running_loop().time()
        frames = [await r.lane.receive() for _ in range(5)]
        assert {len(frame) for frame in frames} == {size}
        assert 0.07 < asyncio.get_running_loop().time() - began < 0.15


async def test_first_datagram_comes_within_40_ms() -> None:
    async with rig() as r:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await r.open_lane()
        assert loop.time() - began < 0.06


async def test_every_datagram_is_heard_at_once_as_it_is() -> None:
    async with rig() as r:
        await r.open_lane()
        frames = [np.full(160, 100 + n, np.int16).tobytes() for n in range(10)]
        for frame in frames:
            r.lane.send(frame, r.port)
        await r.call.wait_heard(lambda _, frame: frame == frames[-1])
        assert [frame for _, frame in r.call.heard] == frames
        times = [at for at, _ in r.call.heard]
        assert max(times) - min(times) < 0.02, "not paced: we are the clock"


async def test_anybody_may_send() -> None:
    async with rig() as r:
        await r.open_lane()
        stranger = LaneEnd()
        stranger.send(b"\1\2" * 160, r.port)
        await r.call.wait_heard(lambda _, frame: frame == b"\1\2" * 160)
        stranger.close()


async def test_the_caller_is_sent_sample_by_sample() -> None:
    async with rig("L16") as r:
        await r.open_lane()
        ramp = np.arange(1, 3201, dtype=np.int16)
        r.call.speak(ramp, 16000)
        received = b""
        while len(received) < 2 * len(ramp):
            frame = await r.lane.receive()
            received += frame if any(frame) else b""
        assert np.array_equal(np.frombuffer(received, np.int16), ramp)


async def test_a_taken_port_is_answered_ok_and_dead_and_another_works() -> None:
    async with rig() as r:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            assert await r.controller.unicast(port, r.lane.port) == "+OK"
            assert await r.is_dead()
        await r.open_lane()


async def test_bind_failures_on_demand() -> None:
    async with rig(faults=Faults(lane_bind_failures=2)) as r:
        for _ in range(2):
            assert await r.controller.unicast(r.port, r.lane.port) == "+OK"
            assert await r.is_dead()
        await r.open_lane()


async def test_bind_always_fails_on_demand() -> None:
    async with rig(faults=Faults(lane_bind_failures=-1)) as r:
        for _ in range(3):
            assert await r.controller.unicast(free_udp_port(), r.lane.port) == "+OK"
        assert await r.is_dead()


async def test_a_second_activation_binds_and_does_nothing() -> None:
    async with rig() as r:
        await r.open_lane()
        other, second = LaneEnd(), free_udp_port()
        assert await r.controller.unicast(second, other.port) == "+OK"
        await asyncio.sleep(0.05)
        assert other.drain() == []
        with (
            pytest.raises(OSError, match="in use"),
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock,
        ):
            sock.bind(("127.0.0.1", second))
        await r.lane.receive()
        other.close()


async def test_reset_closes_it_and_it_cannot_be_opened_again(tmp_path: Path) -> None:
    tone = tmp_path / "tone.wav"
    write_tone(tone, seconds=0.05)
    async with rig() as r:
        await r.open_lane()
        await r.controller.execute("playback", str(tone))
        await r.controller.event("PLAYBACK_STOP")
        assert await r.is_dead()
        assert await r.controller.unicast(free_udp_port(), r.lane.port) == "+OK"
        assert await r.is_dead()


@pytest.mark.parametrize(
    "command", ["uuid_broadcast {uuid} {tone} aleg", "uuid_transfer {uuid} 1001 XML default"]
)
async def test_what_closes_it(command: str, tmp_path: Path) -> None:
    tone = tmp_path / "tone.wav"
    write_tone(tone, seconds=0.05)
    async with rig() as r:
        await r.open_lane()
        await r.controller.api(command.format(uuid=r.call.uuid, tone=tone))
        await asyncio.sleep(0.3)
        assert await r.is_dead()


async def test_bridge_closes_it() -> None:
    async with rig() as r:
        await r.open_lane()
        await r.controller.execute("bridge", "loopback/1001/default")
        await r.controller.event("CHANNEL_BRIDGE")
        assert await r.is_dead()


async def test_what_leaves_it_open(tmp_path: Path) -> None:
    async with MediaServer().run() as media, rig() as r:
        await r.open_lane()
        await r.controller.execute("set", "a=b")
        await r.controller.execute("answer")
        uuid, record = r.call.uuid, tmp_path / "record.wav"
        await r.controller.api(f"uuid_setvar {uuid} c d")
        assert await r.controller.api(f"uuid_record {uuid} start {record}") == "+OK Success\n"
        await r.controller.api(f"uuid_audio_stream {uuid} start {media.url()} mono 16k")
        await r.call.stream_connected()
        r.call.dtmf("5")
        await r.controller.event("DTMF")
        r.lane.drain()
        for _ in range(3):
            await r.lane.receive()
        r.lane.send(b"\5\0" * 160, r.port)
        await r.call.wait_heard(lambda _, frame: frame == b"\5\0" * 160)


async def test_a_transfer_to_itself_comes_back_with_a_lane_to_open() -> None:
    async with rig() as r:
        await r.open_lane()
        loop = asyncio.get_running_loop()
        began = loop.time()
        await r.controller.api(f"uuid_transfer {r.call.uuid} 8000 XML default")
        second = await r.server.next()
        assert loop.time() - began < 0.1
        data = await second.ask("connect")
        assert data.get("Unique-ID") == r.call.uuid
        assert data.get("Answer-State") == "answered"
        assert not r.controller.ended.is_set(), "the old connection lingers"
        r.lane.drain()
        assert await second.unicast(free_udp_port(), r.lane.port) == "+OK"
        await r.lane.receive()


async def test_closing_the_connection_that_lingers_disturbs_the_new_one() -> None:
    """A trap found in the source: any connection of a channel that ends takes away control."""
    async with rig() as r:
        await r.controller.api(f"uuid_transfer {r.call.uuid} 8000 XML default")
        second = await r.server.next()
        await second.open_call()
        await r.controller.close()
        third = await r.server.next()
        assert (await third.ask("connect")).get("Unique-ID") == r.call.uuid
        assert not second.ended.is_set()


async def test_a_parked_call_is_not_parked_again() -> None:
    async with rig() as r:
        await r.open_lane()
        await r.controller.execute("park")
        await r.controller.event("CHANNEL_EXECUTE_COMPLETE")
        assert not await r.is_dead()


async def test_a_file_is_heard_in_real_time(tmp_path: Path) -> None:
    tone = tmp_path / "tone.wav"
    write_tone(tone, seconds=0.3)
    async with rig() as r:
        await r.controller.execute("playback", str(tone))
        started = await r.controller.event("PLAYBACK_START")
        assert started.get("Playback-File-Path") == str(tone)
        stopped = await r.controller.event("PLAYBACK_STOP")
        assert stopped.get("Playback-Status") == "done"
        done = await r.controller.event("CHANNEL_EXECUTE_COMPLETE")
        assert done.get("Application-Response") == "FILE PLAYED"
        times = [at for at, _ in r.call.heard]
        assert len(times) == 15
        assert 0.25 < times[-1] - times[0] < 0.35


async def test_event_lock_makes_the_next_command_wait(tmp_path: Path) -> None:
    tone = tmp_path / "tone.wav"
    write_tone(tone, seconds=0.1)
    async with rig() as r:
        await r.controller.execute("playback", str(tone), "event-lock: true")
        await r.controller.execute("set", "a=b")
        names = [
            (await r.controller.event("CHANNEL_EXECUTE_COMPLETE")).get("Application")
            for _ in range(2)
        ]
        assert names == ["playback", "set"]


async def test_an_application_carries_the_uuid_that_it_was_given() -> None:
    async with rig() as r:
        await r.controller.execute("set", "a=b", "Event-UUID: my-own\n")
        for label in ("CHANNEL_EXECUTE", "CHANNEL_EXECUTE_COMPLETE"):
            assert (await r.controller.event(label)).get("Application-UUID") == "my-own"


async def test_record_closes_the_lane_and_writes_a_file(tmp_path: Path) -> None:
    path = tmp_path / "r.wav"
    async with rig() as r:
        await r.open_lane()
        await r.controller.execute("record", f"{path} 5")
        await r.controller.event("RECORD_START")
        assert await r.is_dead()
        await r.controller.api(f"uuid_break {r.call.uuid}")
        await r.controller.event("RECORD_STOP")
        assert path.stat().st_size > 1000


async def test_without_event_lock_the_next_command_comes_between(tmp_path: Path) -> None:
    tone = tmp_path / "tone.wav"
    write_tone(tone, seconds=0.2)
    async with rig() as r:
        await r.controller.execute("playback", str(tone))
        await r.controller.event("PLAYBACK_START")
        await r.controller.execute("set", "a=b")
        names = [
            (await r.controller.event("CHANNEL_EXECUTE_COMPLETE")).get("Application")
            for _ in range(2)
        ]
        assert names == ["set", "playback"]

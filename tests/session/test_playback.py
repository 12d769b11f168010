"""When another port is tried for a lane: only where no lane can open any more. And files."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from esl_controller.freeswitch.events import FilePlayed, FileWritten
from esl_controller.session import playback
from esl_controller.session.playback import SILENCE, LaneError, open_lane
from media.lane import Clock, Ports
from tests.waiting import until

FRAME = bytes(320)


class Switch:
    """Carries out ``unicast`` as each of ``ways`` says; notes the ports."""

    def __init__(self, *ways: Callable[[Switch, tuple[str, int]], Any]) -> None:
        self.ways = list(ways)
        self.ports: list[int] = []
        self.frame = FRAME
        self.carried_out: asyncio.Future[None]
        self.socket: socket.socket

    async def unicast(
        self, switch: tuple[str, int], controller: tuple[str, int]
    ) -> asyncio.Future[None]:
        self.ports.append(switch[1])
        self.carried_out = asyncio.get_running_loop().create_future()
        self.ways.pop(0)(self, (controller[0], controller[1]))
        return self.carried_out

    def opens(self, controller: tuple[str, int]) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as udp:
            udp.bind(("127.0.0.1", self.ports[-1]))
            udp.sendto(self.frame, controller)

    def stays(self, controller: tuple[str, int]) -> None:
        self.socket = socket.socket(type=socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", self.ports[-1]))
        self.socket.sendto(self.frame, controller)

    def fails(self, controller: tuple[str, int]) -> None:
        self.carried_out.set_result(None)

    def says_nothing(self, controller: tuple[str, int]) -> None:
        pass

    def opens_late(self, controller: tuple[str, int]) -> None:
        asyncio.get_running_loop().call_later(0.3, self.opens, controller)


async def opened(switch: Switch, rate: int = 8000) -> playback.LanePlayback:
    host = "127.0.0.1"
    ports = Ports(20_000, 29_999)
    return await open_lane(switch, Clock(), ports, host, host, rate, print)  # type: ignore[arg-type]


async def test_another_port_is_tried_where_the_first_could_not_be_bound(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(playback, "LANE_OPEN_S", 0.05)
    switch = Switch(Switch.fails, Switch.opens)
    (await opened(switch)).close()
    assert len(switch.ports) == 2


async def test_no_other_port_while_the_first_may_still_open() -> None:
    """A second lane beside an open one makes FreeSWITCH write into a freed session."""
    switch = Switch(Switch.opens_late, Switch.opens)
    (await opened(switch)).close()
    assert len(switch.ports) == 1


async def test_a_channel_that_does_not_carry_it_out_gets_no_lane(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(playback, "LANE_TAKEN_S", 0.05)
    switch = Switch(Switch.says_nothing)
    with pytest.raises(LaneError, match="carry out unicast"):
        await opened(switch)
    assert len(switch.ports) == 1


@pytest.mark.parametrize("rate", [8000, 16000, 48000])
@pytest.mark.parametrize("frame_ms", [20, 30])
async def test_what_waits_goes_on_in_the_lane_of_the_next_park(rate: int, frame_ms: int) -> None:
    host, clock, ports = "127.0.0.1", Clock(), Ports(20_000, 29_999)
    lanes: list[playback.LanePlayback] = []
    switches: list[Switch] = []
    before: playback.LanePlayback | None = None
    for size in (320, rate // 1000 * 2 * frame_ms):
        switch = Switch(Switch.stays)
        switches.append(switch)
        switch.frame = bytes(size)
        opening = open_lane(
            switch,  # type: ignore[arg-type]
            *(clock, ports, host, host, rate if lanes else 8000, print, before),
        )
        before = await opening
        lanes.append(before)
        if len(lanes) == 1:
            wave = (8000 * np.sin(np.arange(8000) * 2 * np.pi * 440 / 8000)).astype(np.int16)
            before.push("a", wave.tobytes())
            await asyncio.sleep(0.3)
            before.withdraw()
            heard_ms = before.heard()[0].heard_ms
            assert heard_ms < 200, "the last 200 ms may not have been heard"
            await asyncio.sleep(0.1)
            assert before.heard()[0].heard_ms == heard_ms
    first, second = lanes
    assert second.playout is first.playout
    assert second.rate == 8000
    assert (second.channel_rate, second.lane.frame_ms) == (rate, frame_ms)
    assert list(clock.lanes) == [second.lane]
    assert len(ports.taken) == 1
    frame = second.lane._next()
    assert len(frame) == rate // 1000 * 2 * frame_ms
    await asyncio.sleep(0.1)
    assert second.counters["frames"] > 12, "those of both lanes"
    second.close()
    for switch in switches:
        switch.socket.close()


@pytest.mark.parametrize(("rate", "frame_ms"), [(8000, 20), (16000, 10), (0, 20)])
async def test_the_packet_time_follows_from_the_size_and_the_rate(rate: int, frame_ms: int) -> None:
    lane = await opened(Switch(Switch.opens), rate)
    assert lane.lane.frame_ms == frame_ms
    assert lane.rate == (rate or 8000)
    lane.close()


class Player:
    """Plays nothing; notes what it was to play."""

    def __init__(self) -> None:
        self.played: list[str] = []

    def new_play_id(self) -> str:
        return f"p{len(self.played)}"

    async def play(self, path: str, play_id: str) -> None:
        self.played.append(path)


async def test_between_files_the_caller_gets_silence_and_no_file_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sent: list[str] = []

    async def send(text: str) -> None:
        sent.append(text)

    monkeypatch.setattr(playback, "SIGN_OF_LIFE_S", 0.05)
    player = Player()
    files = playback.FilePlayback(player, send, 8000, lambda event: None)  # type: ignore[arg-type]
    running = asyncio.create_task(files.run())
    await until(lambda: player.played[:2] == [SILENCE] * 2)
    files.push("item", bytes(3_000))
    files.complete("item")
    await until(lambda: bool(sent))
    files.switch_event(FileWritten("/tmp/a.wav"))
    await until(lambda: "/tmp/a.wav" in player.played)
    count = len(player.played)
    await asyncio.sleep(0.2)
    assert len(player.played) == count, "silence while a file is played"
    files.switch_event(FilePlayed(f"p{count - 1}", ok=True))
    await until(lambda: player.played[count:] == [SILENCE])
    running.cancel()

"""Lane and clock against a plain UDP socket in the place of FreeSWITCH.

The clock alone, without sockets and to the tick: test_lane_clock.py.
"""

from __future__ import annotations

import asyncio
import gc
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from media.frame import RATE_OF_FRAME
from media.lane import Clock, Lane, Ports
from media.playout import Finished, Playout, Started

HOST = "127.0.0.1"
# Long tests run on the controller's loop only, the others on both (conftest.py).
uvloop_only = pytest.mark.asyncio(loop_factories=["uvloop"])
SILENCE = bytes(320)


def _speech(frames: int, first: int = 1) -> list[bytes]:
    """Frames at 8 kHz, each one different and none silent."""
    return [number.to_bytes(2, "little") * 160 for number in range(first, first + frames)]


class Switch:
    """FreeSWITCH's end of a lane."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((HOST, 0))
        self.socket.setblocking(False)
        self.address: tuple[str, int] = self.socket.getsockname()
        self.received: list[bytes] = []
        self.times: list[float] = []
        self._more = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self.socket, self._read)

    def _read(self) -> None:
        self.received.append(self.socket.recv(8192))
        self.times.append(self._loop.time())
        self._more.set()

    @property
    def speech(self) -> list[bytes]:
        """The frames received that are not silence."""
        return [frame for frame in self.received if any(frame)]

    async def until(self, condition: Callable[[], bool]) -> None:
        """Receive until ``condition`` holds."""
        async with asyncio.timeout(5):
            while not condition():
                self._more.clear()
                await self._more.wait()

    def close(self) -> None:
        if self.socket.fileno() >= 0:
            self._loop.remove_reader(self.socket)
            self.socket.close()


@contextmanager
def _ends(clock: Clock) -> Iterator[tuple[Lane, Switch]]:
    switch = Switch()
    lane = Lane(clock, host=HOST, switch=switch.address)
    try:
        yield lane, switch
    finally:
        lane.close()
        switch.close()


@pytest.fixture(autouse=True, scope="module")
def _nothing_is_left() -> Iterator[None]:
    """A socket that is left open gives a ResourceWarning, and warnings are errors here."""
    yield
    gc.collect()


# --- opening --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "rate"), RATE_OF_FRAME.items())
async def test_the_first_datagram_opens_and_its_size_tells_the_rate(size: int, rate: int) -> None:
    with _ends(Clock()) as (lane, switch):
        assert not lane.opened.done()
        switch.socket.sendto(bytes(size), lane.local)
        assert await asyncio.wait_for(lane.opened, 5) == rate


async def test_datagrams_of_unknown_size_do_not_open() -> None:
    with _ends(Clock()) as (lane, switch):
        for size in (0, 1, 100, 641, 3840, 9000):
            switch.socket.sendto(bytes(size), lane.local)
        await asyncio.sleep(0.02)
        assert not lane.opened.done()
        switch.socket.sendto(bytes(640), lane.local)
        assert await asyncio.wait_for(lane.opened, 5) == 16000


async def test_datagrams_of_strangers_do_not_open() -> None:
    with _ends(Clock()) as (lane, _), _ends(Clock()) as (_, stranger):
        stranger.socket.sendto(bytes(320), lane.local)
        await asyncio.sleep(0.02)
        assert not lane.opened.done()


async def test_close_gives_up_the_opening_and_frees_the_port() -> None:
    clock = Clock()
    with _ends(clock) as (lane, _):
        local = lane.local
        lane.close()
        lane.close()
        assert lane.opened.cancelled()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
            again.bind(local)
        lane.receive(lambda frame: None)  # too late, and no error


async def test_no_socket_is_left_by_an_address_that_is_not_ours() -> None:
    with pytest.raises(OSError, match="Cannot assign"):
        Lane(Clock(), host="203.0.113.1", switch=(HOST, 9))


# --- speaking -------------------------------------------------------------------------------------


async def test_speech_arrives_intact_and_silence_around_it() -> None:
    with _ends(Clock()) as (lane, switch):
        speech = _speech(5)
        playout = Playout(8000)
        lane.start(playout)
        await switch.until(lambda: len(switch.received) >= 2)
        playout.push("a", b"".join(speech)[:-100])
        playout.complete("a")
        await switch.until(lambda: len(switch.speech) >= 5)
        await switch.until(lambda: switch.received[-1] == SILENCE)
        first = switch.received.index(speech[0])
        assert switch.received[:first] == [SILENCE] * first
        assert switch.received[first : first + 4] == speech[:4]
        assert switch.received[first + 4] == speech[4][:-100] + bytes(100)
        assert len(switch.speech) == 5
        assert lane.frames >= len(switch.received)
        assert lane.unsent == 0


@uvloop_only
async def test_frames_are_20_ms_apart() -> None:
    clock = Clock()
    with _ends(clock) as (lane, switch):
        lane.start(Playout(8000))
        await switch.until(lambda: len(switch.times) >= 16)
        mean = (switch.times[15] - switch.times[0]) / 15
        # Deadlines do not drift: over all frames, no more than one frame's lateness is left.
        assert mean == pytest.approx(0.020, abs=0.002)


async def test_events_of_the_playout_are_told() -> None:
    with _ends(Clock()) as (lane, switch):
        playout = Playout(8000)
        told: list[Started | Finished] = []

        def drain() -> None:
            told.extend(playout.events)
            playout.events.clear()

        lane.on_event = drain
        lane.start(playout)
        playout.push("a", b"".join(_speech(2)))
        playout.complete("a")
        await switch.until(lambda: switch.received[-3:-1] == _speech(2))
        assert told == [Started("a"), Finished("a", 40)]


# --- hearing --------------------------------------------------------------------------------------


async def test_the_caller_is_heard_only_by_whoever_listens() -> None:
    with _ends(Clock()) as (lane, switch):
        heard: list[bytes] = []
        switch.socket.sendto(bytes(320), lane.local)
        await asyncio.wait_for(lane.opened, 5)
        lane.start(Playout(8000))
        switch.socket.sendto(b"unheard " * 40, lane.local)
        await switch.until(lambda: len(switch.received) >= 2)
        lane.receive(heard.append)  # only what comes from now on
        switch.socket.sendto(b"listened" * 40, lane.local)
        await switch.until(lambda: len(switch.received) >= 4)
        assert heard == [b"listened" * 40]
        lane.stop_receiving()
        switch.socket.sendto(b"no more " * 40, lane.local)
        await switch.until(lambda: len(switch.received) >= 6)
        lane.receive(heard.append)
        switch.socket.sendto(b"as well " * 40, lane.local)
        await switch.until(lambda: len(switch.received) >= 8)
        assert heard == [b"listened" * 40, b"as well " * 40]


# --- losing ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("hear", [None, lambda frame: None], ids=["deaf", "hearing"])
async def test_a_closed_port_is_told_once(hear: Callable[[bytes], None] | None) -> None:
    clock = Clock()
    with _ends(clock) as (lane, switch):
        lost: asyncio.Queue[OSError] = asyncio.Queue()
        lane.on_lost = lost.put_nowait
        lane.start(Playout(8000), hear)
        await switch.until(lambda: len(switch.received) >= 2)
        switch.close()
        error = await asyncio.wait_for(lost.get(), 1)
        assert isinstance(error, ConnectionRefusedError)
        ticks, frames = clock.ticks, lane.frames
        await asyncio.sleep(0.06)
        assert (clock.ticks, lane.frames) == (ticks, frames)  # it has left the clock
        assert lost.empty()
        lane.tick()
        assert lost.empty()


@uvloop_only
async def test_a_port_closed_during_a_stall_is_told_once() -> None:
    clock = Clock()
    with _ends(clock) as (lane, switch):
        lost: list[OSError] = []
        lane.on_lost = lost.append
        lane.start(Playout(8000))
        await switch.until(lambda: len(switch.received) >= 2)
        switch.close()
        time.sleep(0.09)  # noqa: ASYNC251 - several ticks at once come to the closed port
        await asyncio.sleep(0.06)
        assert len(lost) == 1


# --- the clock, for real --------------------------------------------------------------------------


async def test_two_lanes_on_one_clock() -> None:
    clock = Clock()
    with _ends(clock) as (one, switch_one), _ends(clock) as (two, switch_two):
        for lane, first in ((one, 1), (two, 101)):
            playout = Playout(8000)
            playout.push("a", b"".join(_speech(5, first)))
            lane.start(playout)
        await switch_one.until(lambda: len(switch_one.speech) >= 5)
        await switch_two.until(lambda: len(switch_two.speech) >= 5)
        assert (switch_one.speech, switch_two.speech) == (_speech(5), _speech(5, 101))
        assert abs(one.frames - two.frames) <= 1
        one.close()
        count = len(switch_two.received)
        await switch_two.until(lambda: len(switch_two.received) >= count + 3)
        assert one.frames < two.frames


async def test_a_lane_that_stops_sending_goes_on_where_it_was() -> None:
    clock = Clock()
    with _ends(clock) as (lane, switch):
        lane.send_again()
        assert not clock.lanes, "it was not started"
        speech, playout = _speech(12), Playout(8000)
        playout.push("a", b"".join(speech))
        lane.start(playout)
        await switch.until(lambda: len(switch.received) >= 3)
        lane.stop_sending()
        sent = lane.frames
        await asyncio.sleep(0.1)
        assert (lane.frames, len(clock.lanes)) == (sent, 0)
        lane.send_again()
        await switch.until(lambda: len(switch.speech) >= 12)
        assert switch.speech == speech
        lane.close()
        lane.send_again()
        assert not clock.lanes


async def test_a_lane_that_another_closes_during_a_tick_is_not_lost() -> None:
    clock = Clock()
    with _ends(clock) as (one, switch_one), _ends(clock) as (two, _):
        lost: list[OSError] = []
        two.on_lost = lost.append
        one.on_event = two.close
        playout = Playout(8000)
        one.start(playout)
        two.start(Playout(8000))
        playout.push("a", SILENCE)
        await switch_one.until(lambda: len(switch_one.received) >= 4)
        assert two.frames <= 4
        assert lost == []


@uvloop_only
async def test_the_clock_stands_still_without_lanes_and_goes_on_with_the_next() -> None:
    clock = Clock()
    with _ends(clock) as (lane, switch):
        lane.start(Playout(8000))
        await switch.until(lambda: len(switch.received) >= 2)
    ticks = clock.ticks
    await asyncio.sleep(0.06)
    assert clock.ticks == ticks
    with _ends(clock) as (lane, switch):
        lane.start(Playout(8000))
        await switch.until(lambda: len(switch.received) >= 2)
        assert clock.skipped == 0  # the time without lanes is not a stall


@uvloop_only
@pytest.mark.parametrize("stall", [0.07, 0.2])
async def test_no_audio_is_lost_by_a_stall(stall: float) -> None:
    clock = Clock()
    with _ends(clock) as (lane, switch):
        speech = _speech(8)
        playout = Playout(8000)
        playout.push("a", b"".join(speech))
        lane.start(playout)
        await switch.until(lambda: len(switch.speech) >= 2)
        start, before = time.monotonic(), clock.ticks + clock.skipped
        time.sleep(stall)  # noqa: ASYNC251 - this is the stall
        await switch.until(lambda: len(switch.speech) >= 8)
        elapsed = time.monotonic() - start
        assert switch.speech == speech
        assert switch.received == speech  # and no silence in between
        # The schedule is kept: each tick since then was either sent or counted as skipped.
        assert clock.ticks + clock.skipped - before == pytest.approx(elapsed / 0.02, abs=2)
        if stall > 0.1:
            assert clock.skipped >= 8
        assert clock.worst_late_ms >= stall * 1000 - 21
        assert clock.late >= 1


# --- ports ----------------------------------------------------------------------------------------


def test_ports_never_double_and_end() -> None:
    ports = Ports(20000, 20049)
    assert {ports.take() for _ in range(50)} == set(range(20000, 20050))
    with pytest.raises(OSError, match="all 50 lane ports are taken"):
        ports.take()
    ports.give_back(20007)
    ports.give_back(20007)
    ports.give_back(1)
    assert ports.take() == 20007
    with pytest.raises(OSError, match="all 50 lane ports are taken"):
        ports.take()


def test_ports_come_at_random() -> None:
    ports = Ports(20000, 29999)
    taken = [ports.take() for _ in range(20)]
    assert taken != sorted(taken)

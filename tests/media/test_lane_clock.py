"""The clock of all lanes, to the tick, on a loop whose time moves only when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from media.lane import Clock, Lane


class FakeLoop:
    """Time that moves only when told to."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.timer: FakeTimer | None = None

    def time(self) -> float:
        return self.now

    def call_soon(self, callback: Callable[[], None]) -> FakeTimer:
        return self.call_at(self.now, callback)

    def call_at(self, when: float, callback: Callable[[], None]) -> FakeTimer:
        self.timer = FakeTimer(self, when, callback)
        return self.timer

    def advance(self, seconds: float, stalled: bool = False) -> None:
        """Let time pass; ``stalled``: timers run only at its end."""
        end = self.now + seconds
        while self.timer is not None and self.timer.when <= end + 1e-9:
            timer, self.timer = self.timer, None
            self.now = end if stalled else max(self.now, timer.when)
            timer.callback()
        self.now = end


class FakeTimer:
    def __init__(self, loop: FakeLoop, when: float, callback: Callable[[], None]) -> None:
        self.loop, self.when, self.callback = loop, when, callback

    def cancel(self) -> None:
        self.loop.timer = None


class CountingLane(Lane):
    """A lane without a socket."""

    def __init__(self, loop: FakeLoop) -> None:
        self.loop = loop
        self.sent: list[float] = []

    def tick(self) -> None:
        self.sent.append(round(self.loop.now - 1000, 3))


@pytest.fixture
def loop(monkeypatch: pytest.MonkeyPatch) -> FakeLoop:
    fake = FakeLoop()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: fake)
    return fake


def test_deadlines_are_absolute(loop: FakeLoop) -> None:
    clock, lane = Clock(), CountingLane(loop)
    clock.add(lane)
    loop.advance(0.013, stalled=True)
    loop.advance(0.1)
    assert lane.sent == [0.013, 0.02, 0.04, 0.06, 0.08, 0.1]
    assert (clock.ticks, clock.late, clock.skipped) == (6, 1, 0)
    assert clock.worst_late_ms == pytest.approx(13)


@pytest.mark.parametrize(("stall", "burst"), [(0.025, 1), (0.045, 2), (0.07, 3), (0.115, 5)])
def test_a_short_stall_is_made_up_for_at_once(loop: FakeLoop, stall: float, burst: int) -> None:
    clock, lane = Clock(), CountingLane(loop)
    clock.add(lane)
    loop.advance(0.001)
    loop.advance(stall - 0.001, stalled=True)
    assert lane.sent == [0.0] + [stall] * burst
    loop.advance(0.2 - stall)
    assert len(lane.sent) == clock.ticks == 11
    assert clock.skipped == 0


def test_a_long_stall_starts_the_schedule_anew(loop: FakeLoop) -> None:
    clock, lane = Clock(), CountingLane(loop)
    clock.add(lane)
    loop.advance(0.001)
    loop.advance(0.504, stalled=True)
    assert lane.sent == [0.0, 0.505]
    assert clock.skipped == 24
    loop.advance(0.05)
    assert lane.sent == [0.0, 0.505, 0.52, 0.54]


def test_the_last_lane_stops_the_timer_and_a_new_one_starts_it(loop: FakeLoop) -> None:
    clock, one, two = Clock(), CountingLane(loop), CountingLane(loop)
    clock.add(one)
    loop.advance(0.03)
    clock.add(two)
    loop.advance(0.02)
    assert (one.sent, two.sent) == ([0.0, 0.02, 0.04], [0.04])
    clock.remove(one)
    assert loop.timer is not None
    clock.remove(two)
    assert loop.timer is None
    clock.remove(two)
    loop.advance(10)
    clock.add(one)
    loop.advance(0.03)
    assert one.sent[3:] == [10.05, 10.07]
    assert clock.skipped == 0


class Timers(FakeLoop):
    """A loop with more than one timer."""

    def __init__(self) -> None:
        super().__init__()
        self.due: list[FakeTimer] = []

    def call_at(self, when: float, callback: Callable[[], None]) -> FakeTimer:
        self.due.append(FakeTimer(self, when, callback))
        return self.due[-1]

    def advance(self, seconds: float, stalled: bool = False) -> None:
        end = self.now + seconds
        while ready := [timer for timer in self.due if timer.when <= end + 1e-9]:
            first = min(ready, key=lambda timer: timer.when)
            self.due.remove(first)
            self.now = max(self.now, first.when)
            first.callback()
        self.now = end


def test_lanes_of_several_packet_times(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Timers()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
    clock = Clock()
    lanes = {frame_ms: CountingLane(loop) for frame_ms in (10, 20, 30, 40, 60)}
    for frame_ms, lane in lanes.items():
        lane.frame_ms = frame_ms
        clock.add(lane)
    loop.advance(0.6)
    for frame_ms, lane in lanes.items():
        expected = [round(n * frame_ms / 1000, 3) for n in range(600 // frame_ms + 1)]
        assert lane.sent == expected
    for lane in lanes.values():
        clock.remove(lane)
    assert not clock.lanes

"""No call is taken that there is no time for."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import cast

import pytest

from esl_controller.server import load_watch as module
from esl_controller.server.door import Door
from esl_controller.server.load_watch import BUSY, CALL_COSTS, ENOUGH, ROOM, LoadWatch
from media.lane import Clock
from tests.calls.rig import greeted, rig
from tests.waiting import until

LIMIT = 0.8


class Second:
    """A watch whose seconds the test makes."""

    def __init__(self, max_load: float = LIMIT) -> None:
        self.shut = False
        self.calls = self.taken = 0
        self.used = self.passed = 0.0
        self.clock = SimpleNamespace(late=0, ticks=0)
        door = SimpleNamespace(shut=self._shut, lift=self._lift)
        self.watch = LoadWatch(
            cast(Door, door),
            cast(Clock, self.clock),
            lambda: (self.calls, self.taken),
            max_load,
            cpu=lambda: self.used,
            now=lambda: self.passed,
        )

    def _shut(self, reason: str, *, to_all: bool) -> None:
        assert reason == BUSY
        assert not to_all, "calls of ours that come back are always taken"
        self.shut = True

    def _lift(self, reason: str) -> None:
        assert reason == BUSY
        self.shut = False

    def goes_by(self, load: float, late: int = 0) -> bool:
        """A second; whether the door is shut after it."""
        self.used += load
        self.passed += 1.0
        self.clock.ticks += 50
        self.clock.late += late
        self.watch.measure()
        return self.shut

    def come(self, count: int, *, back: bool = False) -> None:
        self.calls += count
        self.taken += 0 if back else count


def test_it_shuts_when_the_processor_is_used_up_and_opens_when_there_is_room() -> None:
    of = Second()
    assert [of.goes_by(0.5) for _ in range(5)] == [False] * 5
    assert [of.goes_by(0.9) for _ in range(5)][-1]
    assert [of.goes_by(LIMIT - ROOM / 2) for _ in range(9)][-1], "it would shut again at once"
    assert not [of.goes_by(LIMIT - ROOM - 0.05) for _ in range(9)][-1]


def test_a_small_limit_opens_again_too() -> None:
    of = Second(max_load=0.1)
    assert [of.goes_by(0.3) for _ in range(5)][-1]
    assert not [of.goes_by(0.01) for _ in range(9)][-1]


def test_one_second_of_work_is_not_yet_a_load() -> None:
    assert not Second().goes_by(1.0)


def test_a_burst_of_calls_does_not_wait_for_the_next_measurement() -> None:
    of = Second()
    of.goes_by(0.0)
    room = int(LIMIT / CALL_COSTS)
    of.come(room - 1)
    of.watch.check()
    assert not of.shut
    of.come(2)
    of.watch.check()
    assert of.shut


def test_enough_calls_tell_what_one_costs_here() -> None:
    of = Second()
    of.come(ENOUGH)
    for _ in range(9):
        of.goes_by(0.02 * ENOUGH)
    of.come(int((LIMIT - 0.02 * ENOUGH) / 0.02) + 1)
    of.watch.check()
    assert of.shut


def test_it_shuts_while_the_clock_is_late_though_the_processor_is_not_ours() -> None:
    of = Second()
    assert not of.goes_by(0.1, late=5)
    assert of.goes_by(0.1, late=20)
    assert of.goes_by(0.1, late=5), "not on time yet"
    assert of.goes_by(0.1)
    assert not of.goes_by(0.1)


def test_calls_that_come_back_shut_nothing_by_what_they_will_cost() -> None:
    of = Second()
    of.goes_by(0.0)
    of.come(2 * int(LIMIT / CALL_COSTS), back=True)
    of.watch.check()
    assert not of.shut
    assert [of.goes_by(0.95) for _ in range(9)][-1], "what they do cost counts"


def test_no_limit() -> None:
    of = Second(max_load=0.0)
    assert not [of.goes_by(1.5, late=50) for _ in range(9)][-1]


async def test_a_process_that_has_too_much_to_do_takes_no_call_and_keeps_those_it_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "WATCH_S", 0.1)
    async with rig() as of:
        await greeted(call := await of.switch.call())
        monkeypatch.setattr(of.controller.load_watch, "_max_load", 0.0001)
        await until(lambda: not of.controller.calls.ready)
        assert of.controller.calls.door.why_shut == BUSY
        await asyncio.sleep(0.3)
        assert call.cause == ""
        monkeypatch.setattr(of.controller.load_watch, "_max_load", 1000.0)
        await until(lambda: of.controller.calls.ready)
        call.hangup()

"""Notices that the process has about as much to do as one event loop can.

A call costs the same whether there is time for it or not: one too many, and the audio of all of
them is late. So no new call is taken before that: at ``[esl] max_load`` of one processor, and while
the clock of the lanes is late, whoever keeps it waiting. What was used is known once a second; what
the new calls that came since then will cost is added, so a burst of them does not wait for that.
A call of ours that comes back is taken, whatever it will cost: it has nowhere else to go.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from esl_controller.server.door import Door
from media.lane import Clock

WATCH_S: Final = 1.0
CALL_COSTS: Final = 0.008  # of a processor, until enough calls tell what it is on this machine
ENOUGH: Final = 10  # of them
LATE_SHUTS: Final = 0.2  # of the ticks: so many were more than 5 ms late
LATE_LIFTS: Final = 0.05
ROOM: Final = 0.1  # of a processor that must have become free before calls are taken again
BUSY = "there is as much to do as one process can ([esl] max_load; serve --workers uses more)"


class LoadWatch:
    """Shuts the door while there is too much to do. ``await run()`` in a task of its own.

    ``calls`` tells how many are live, and how many new ones have been taken so far. ``max_load``:
    the share of one processor, 0 for no limit. ``cpu`` and ``now`` tell the seconds that the
    process has used, and those that have passed. ``load`` is the share by now.
    """

    def __init__(
        self,
        door: Door,
        clock: Clock,
        calls: Callable[[], tuple[int, int]],
        max_load: float,
        *,
        cpu: Callable[[], float] = time.process_time,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._door = door
        self._clock = clock
        self._calls = calls
        self._max_load = max_load
        self._cpu = cpu
        self._now = now
        # Shares of the processor and of ticks that were late. Each second counts half as much as
        # the next one: a short one of much work is none that lasts.
        self._measured = self._late = 0.0
        self._had, self._taken = calls()  # at the last measurement
        self._before = self._readings()

    @property
    def load(self) -> float:
        """The share of a processor that is used, with what the newest calls will cost."""
        costs = self._measured / self._had if self._had >= ENOUGH else CALL_COSTS
        _, taken = self._calls()
        return self._measured + (taken - self._taken) * costs

    @property
    def _room(self) -> float:
        """What must be free again below the limit, which may be a small one."""
        return min(ROOM, self._max_load / 2)

    def check(self) -> None:
        """Look now: before a connection is admitted, too."""
        if not self._max_load:
            return
        if self.load >= self._max_load or self._late > LATE_SHUTS:
            self._door.shut(BUSY, to_all=False)
        elif self.load < self._max_load - self._room and self._late <= LATE_LIFTS:
            self._door.lift(BUSY)

    async def run(self) -> None:
        """Measure every second, until cancelled."""
        self._before = self._readings()
        while True:
            await asyncio.sleep(WATCH_S)
            self.measure()

    def measure(self) -> None:
        """What was used and late since the last time."""
        before, self._before = self._before, self._readings()
        cpu, passed, late, ticks = (n - o for n, o in zip(self._before, before, strict=True))
        if passed <= 0:
            return
        self._measured = (self._measured + cpu / passed) / 2
        self._late = (self._late + (late / ticks if ticks else 0.0)) / 2
        self._had, self._taken = self._calls()
        self.check()

    def _readings(self) -> tuple[float, float, int, int]:
        return self._cpu(), self._now(), self._clock.late, self._clock.ticks

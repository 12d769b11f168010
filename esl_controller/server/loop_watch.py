"""Notices that the event loop was held up: by a process that was frozen, or by work of ours.

Meanwhile the kernel goes on to accept connections for us, so calls wait for a controller that does
not come. When the loop goes on, the door is shut before any of them is taken, and opened again once
the loop is on time. If it does not go on, systemd's watchdog, which is fed here, ends the process.
"""

from __future__ import annotations

import asyncio
import time

import structlog

from esl_controller.server.door import Door
from esl_controller.server.service_manager import ServiceManager

WATCH_S = 1.0
LATE_S = 3.0
STALLED = "the controller was held up"

log = structlog.stdlib.get_logger(__name__)


class LoopWatch:
    """``await run()`` in a task of its own."""

    def __init__(self, door: Door, service_manager: ServiceManager) -> None:
        self._door = door
        self._service_manager = service_manager
        self._seen = time.monotonic()  # not the loop's time, which stands still with it

    @property
    def late_s(self) -> float:
        """How much later the loop is than it should be, in seconds; 0 while it is on time."""
        return max(0.0, time.monotonic() - self._seen - WATCH_S)

    def check(self) -> None:
        """Shut the door if the loop is late. A connection that is admitted has this called, too:
        after a stall its turn may come before our timer's."""
        if self.late_s >= LATE_S:
            self._door.shut(STALLED)

    async def run(self) -> None:
        """Look every second, until cancelled."""
        self._seen = time.monotonic()
        while True:
            await asyncio.sleep(WATCH_S)
            self.check()
            if (late_s := self.late_s) >= LATE_S:
                log.warning("the event loop was held up", late_s=round(late_s, 1))
            else:
                self._door.lift(STALLED)
            self._seen = time.monotonic()
            self._service_manager.alive()

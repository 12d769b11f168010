"""How long the event loop was held by what a test had it do: no other call is served meanwhile."""

from __future__ import annotations

import asyncio
import gc
import time

HELD_MS = 20.0  # a frame: held for longer, the clock of all calls is late


class LoopWatch:
    """Within ``async with`` it measures the longest turn of the loop; at the end it asserts that
    none was longer than ``HELD_MS``.

    A turn is measured in CPU time of the process, so that a busy machine does not fail a test, and
    a thread that does not let go of the interpreter does.
    """

    def __init__(self) -> None:
        self.held_ms = 0.0

    async def __aenter__(self) -> LoopWatch:
        gc.collect()
        gc.freeze()  # as a controller does (``app.settle``): what other tests left is not visited
        self._ticking = asyncio.create_task(self._tick())
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *raised: object) -> None:
        await asyncio.sleep(0)  # so that the last turn is measured, too
        await asyncio.sleep(0)
        gc.unfreeze()
        self._ticking.cancel()
        await asyncio.gather(self._ticking, return_exceptions=True)
        if raised[0] is None:
            assert self.held_ms < HELD_MS, f"the loop was held for {self.held_ms:.0f} ms"

    async def _tick(self) -> None:
        cpu = time.process_time()
        while True:
            await asyncio.sleep(0)
            before, cpu = cpu, time.process_time()
            self.held_ms = max(self.held_ms, (cpu - before) * 1000)

"""What the operator wants of the process: hand its calls over, let them finish, or end at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine
from typing import Any, Final

import structlog

from esl_controller.server.listener import CallListener

HAND_OVER_S: Final = 5.0  # for the end of a sentence; the rest of 10 s is for the store

log = structlog.stdlib.get_logger(__name__)


class Shutdown:
    """Orders come by signals and by HTTP; ``obeyed`` returns when the process is to end.

    A second order to stop cuts short whatever the first one waits for.
    """

    def __init__(self) -> None:
        self._orders: asyncio.Queue[float | None] = asyncio.Queue(2)
        self._given = False

    def stop(self) -> None:
        """Take no more calls and hand over those that live, at a quiet moment in each."""
        self._given = True
        with contextlib.suppress(asyncio.QueueFull):
            self._orders.put_nowait(None)

    def drain(self, limit_s: float) -> bool:
        """Take no more calls, let those that live finish, and hand over what is left of them after
        ``limit_s`` seconds. False where the process stops already."""
        if self._given:
            return False
        self._given = True
        self._orders.put_nowait(limit_s)
        return True

    async def carried_out(self, calls: CallListener) -> None:
        """Wait for orders, and carry them out."""
        limit_s = await self._orders.get()
        if limit_s is not None:
            log.info("draining", calls=len(calls.calls), limit_s=limit_s)
            await self._unless_stopped(calls.drain(limit_s))
        log.info("stopping", calls=len(calls.calls))
        await self._unless_stopped(calls.stop(HAND_OVER_S))

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.ensure_future(work), asyncio.ensure_future(self._orders.get())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            done, _ = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(done, Exception):
            raise done

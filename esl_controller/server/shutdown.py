"""How the process ends: it hands its calls over, lets them finish first, or ends at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from math import isfinite
from typing import Any, Final

import structlog

from esl_controller.server.listener import CallListener

HAND_OVER_S: Final = 5.0  # for the end of a sentence; the rest of 10 s is for the store

log = structlog.stdlib.get_logger(__name__)


class Shutdown:
    """Takes requests from signals and from HTTP; ``carry_out`` returns when the process may end.

    A second request to stop cuts short whatever the first one waits for.
    """

    def __init__(self) -> None:
        self._requests: asyncio.Queue[float | None] = asyncio.Queue(2)
        self._requested = False

    def stop(self) -> None:
        """Take no more calls, and hand over the live ones, each at a quiet moment."""
        self._requested = True
        with contextlib.suppress(asyncio.QueueFull):
            self._requests.put_nowait(None)

    def drain(self, limit_s: float) -> bool:
        """Take no more calls, let the live ones finish, and hand over those that are left after
        ``limit_s`` seconds. False if the process is already stopping."""
        if self._requested:
            return False
        self._requested = True
        self._requests.put_nowait(limit_s)
        return True

    async def carry_out(
        self, calls: CallListener, begins: Callable[[], None] = lambda: None
    ) -> None:
        """Wait for a request, say so by ``begins``, and do it."""
        limit_s = await self._requests.get()
        begins()
        if limit_s is not None:
            limit = limit_s if isfinite(limit_s) else "none"
            log.info("draining", calls=len(calls.calls), limit_s=limit)
            await self._unless_stopped(calls.drain(limit_s))
        log.info("stopping", calls=len(calls.calls))
        await self._unless_stopped(calls.stop(HAND_OVER_S))

    async def _unless_stopped(self, work: Coroutine[Any, Any, None]) -> None:
        tasks = [asyncio.ensure_future(work), asyncio.ensure_future(self._requests.get())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            done, _ = await asyncio.gather(*tasks, return_exceptions=True)
        if isinstance(done, Exception):
            raise done

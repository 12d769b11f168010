"""For how long the event loop is held by what comes in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

Take: TypeAlias = Callable[[bytes], float | None]
"""Takes a message. Returns the CPU time in seconds for which it held the event loop, if it let
others run meanwhile."""


async def longest_hold(work: Coroutine[Any, Any, None]) -> float:
    """The longest CPU time for which ``work`` held the event loop."""
    held = 0.0

    async def beat() -> None:
        nonlocal held
        while True:
            began = time.thread_time()
            await asyncio.sleep(0)
            held = max(held, time.thread_time() - began)

    beating = asyncio.create_task(beat())
    try:
        await work
    finally:
        beating.cancel()
    return held

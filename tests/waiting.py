"""Waiting for something that no event tells."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


async def until(reached: Callable[[], bool], timeout: float = 5.0) -> None:
    """Look every 5 ms. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        while not reached():  # noqa: ASYNC110
            await asyncio.sleep(0.005)

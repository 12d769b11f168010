"""Notices that few files and sockets can still be opened.

A call takes five. At the limit the event loop closes new connections without a word to anybody. So
calls are refused, and that is logged, before it is reached.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
from typing import Final

from esl_controller.server.door import Door

WATCH_S: Final = 1.0
RESERVE: Final = 100  # files for the calls that live: new models, webhooks and parks
FEW_LEFT = "the process may hardly open more files (LimitNOFILE, ulimit -n)"


def raise_limit() -> None:
    """Once a process: allow as many files as the system lets us have without asking."""
    with contextlib.suppress(OSError, ValueError):  # a filter of system calls forbids it
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


class FileWatch:
    """Shuts the door while few files are left. ``await run()`` in a task of its own."""

    def __init__(self, door: Door) -> None:
        self._door = door

    def check(self) -> None:
        """Look now: before a connection is admitted, too."""
        if _few_left():
            self._door.shut(FEW_LEFT)
        else:
            self._door.lift(FEW_LEFT)

    async def run(self) -> None:
        """Look every second, until cancelled."""
        while True:
            await asyncio.sleep(WATCH_S)
            self.check()


def _few_left() -> bool:
    try:
        newest = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return True
    os.close(newest)
    try:
        allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    except OSError:  # a filter of system calls forbids to ask
        return False
    # A file gets the lowest number that is free: so many are open at least.
    return allowed != resource.RLIM_INFINITY and newest >= allowed - RESERVE

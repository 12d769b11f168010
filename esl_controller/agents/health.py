"""What the calls of one model know together of its endpoint.

When an endpoint is down or limits us, each call would find that out by itself, again and again: 50
calls dialled 250 times in 6 s. So whoever wants to connect asks ``EndpointHealth`` first. As long
as the endpoint is well nobody waits. After a failure one call at a time may try, more and more
rarely, or when the service said so; the first that gets through sets all the others free, each
after a random moment.
"""

from __future__ import annotations

import asyncio
import random
from typing import Final

TRY_S: Final = (0.3, 0.6, 1.2, 2.4)  # between tries while an endpoint is down; then as the last
JITTER: Final = 0.25  # of such a wait is random
SPREAD_S: Final = 0.5  # those who waited connect within so long once the endpoint is well again
LIMIT_S: Final = 60.0  # we believe no service that wants to be left alone for longer


class EndpointHealth:
    """Shared by the agents of one ``Model``. Made in the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._failures = 0  # in a row
        self._next_at = 0.0
        self._well = asyncio.Event()
        self._well.set()

    @property
    def wait_s(self) -> float:
        """Seconds until the next try is allowed; 0 while the endpoint is well."""
        return 0.0 if self._well.is_set() else max(0.0, self._next_at - self._loop.time())

    async def admit(self) -> int:
        """Return when a call may connect: a ticket, for ``failed``."""
        if self._well.is_set():
            return self._failures
        while (wait := self.wait_s) > 0:
            try:
                async with asyncio.timeout(wait):
                    await self._well.wait()
            except TimeoutError:
                continue
            await asyncio.sleep(random.random() * SPREAD_S)
            return self._failures
        self._next_at = self._loop.time() + TRY_S[-1]  # others wait for what comes of this try
        return self._failures

    def failed(self, ticket: int, after_s: float = 0.0) -> None:
        """A try failed for a reason that every call would meet; ``after_s``: the service wants to
        be left alone for so long. Of tries that were made at once only the first counts."""
        first = ticket == self._failures
        wait = max(min(after_s, LIMIT_S), TRY_S[min(ticket, len(TRY_S) - 1)])
        next_at = self._loop.time() + wait * (1 + JITTER * random.random())
        if first:
            self._failures += 1
            self._next_at = next_at
            self._well.clear()
        elif after_s:
            self._next_at = max(self._next_at, next_at)

    def connected(self) -> None:
        """A session was confirmed."""
        self._failures = 0
        self._next_at = 0.0
        self._well.set()

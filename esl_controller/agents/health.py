"""What the calls of one model know together of its endpoint.

When an endpoint is down or limits us, each call would find that out by itself, again and again: 50
calls dialled 250 times in 6 s. So whoever wants to connect asks ``EndpointHealth`` first. As long
as the endpoint is well nobody waits. After a failure one call at a time may try, more and more
rarely, or when the service said so; the first that gets through sets all the others free, each
after a random moment.

An endpoint that is restarted breaks all connections in one instant. Their callers wait, so a try is
made at once, but by one call, and the others follow. If what has been made since then breaks again,
to be confirmed is no sign that the endpoint is well: that counts as a failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import deque
from math import inf
from typing import Final

from esl_controller.call.model_link import STABLE_S

TRY_S: Final = (0.3, 0.6, 1.2, 2.4)  # between tries while an endpoint is down; then as the last
JITTER: Final = 0.25  # of such a wait is random
SPREAD_S: Final = 0.5  # within which many calls do what they would else do in one instant
LIMIT_S: Final = 60.0  # we believe no service that wants to be left alone for longer
# Connections that break within ``TOGETHER_S``: it is not the calls' own trouble.
TOGETHER: Final = 5
TOGETHER_S: Final = 1.0


def spread(after_s: float) -> float:
    """When to do what a service wants done ``after_s`` from now: it tells all calls the same."""
    return after_s + random.random() * SPREAD_S if after_s else 0.0


class EndpointDown(Exception):
    """No try is allowed for longer than a call can wait: for ``wait_s`` seconds."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


class EndpointHealth:
    """Shared by the agents of one ``Model``. Made in the event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._round = 0  # counts the failures of all times
        # The first round in which to be confirmed is a sign that it is well; 0 if it always is.
        self._proving = 0
        self._failures = 0  # in a row
        self._next_at = 0.0
        self._well = True
        self._well_since = self._trouble_since = -inf
        self._untried = False  # connections broke together, and no try has failed since
        self._breaks: deque[float] = deque(maxlen=TOGETHER)
        self._changed = asyncio.Event()

    @property
    def wait_s(self) -> float:
        """Seconds until the next try is allowed; 0 while the endpoint is not known to be down."""
        known = not self._well and not self._untried
        return max(0.0, self._next_at - self._loop.time()) if known else 0.0

    async def admit(self, patience_s: float = inf) -> int:
        """Return when a call may connect: a ticket, for ``failed`` and ``connected``.

        Raises EndpointDown if the endpoint is known to be down for longer than ``patience_s``.
        """
        waited = False
        while not self._well:
            now = self._loop.time()
            if self.wait_s > patience_s:
                if not waited:
                    raise EndpointDown(self.wait_s)
                waited = False
                await self._moment()  # all who wait go to another endpoint now
            elif now >= self._next_at:
                # Others wait for what comes of this try.
                self._next_at = now + (TRY_S[0] if self._untried else TRY_S[-1])
                break
            else:
                waited, changed = True, self._changed
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._next_at - now):
                        await changed.wait()
                if self._well and self._proving:
                    await asyncio.sleep(TRY_S[0])  # to see whether that session lasts
                if self._well:
                    await self._moment()
        return self._round

    def failed(self, ticket: int, after_s: float = 0.0) -> None:
        """A try failed for a reason that every call would meet; ``after_s``: the service wants to
        be left alone for so long. Of tries that were made at once only the first counts."""
        wait = min(after_s, LIMIT_S)
        if ticket == self._round:
            self._stop(wait)
        elif after_s:
            self._next_at = max(self._next_at, self._in(wait))

    def connected(self, ticket: int) -> None:
        """A session was confirmed."""
        if not self._well and ticket >= self._proving:
            self._well, self._well_since = True, self._loop.time()
            self._tell()

    def broke(self, confirmed_at: float) -> None:
        """A connection ended that was confirmed at this time of the loop's, and nobody wanted it
        to end."""
        now = self._loop.time()
        self._breaks.append(now)
        if not self._well:
            return
        if confirmed_at >= self._trouble_since and not self._steady:
            self._stop()
            self._proving = self._round
        elif len(self._breaks) == TOGETHER and now - self._breaks[0] <= TOGETHER_S:
            self._stop(untried=True)

    @property
    def _steady(self) -> bool:
        """Whether it has been well for so long that what was before is forgotten."""
        return self._well and self._loop.time() - self._well_since >= STABLE_S

    def _stop(self, wait_s: float = 0.0, *, untried: bool = False) -> None:
        if self._steady:
            self._failures, self._proving, self._trouble_since = 0, 0, self._loop.time()
        if not untried:
            self._failures += 1
            wait_s = max(wait_s, TRY_S[min(self._failures, len(TRY_S)) - 1])
        self._round += 1
        self._well, self._untried = False, untried
        self._next_at = self._in(wait_s)
        self._tell()

    def _in(self, wait_s: float) -> float:
        return self._loop.time() + wait_s * (1 + JITTER * random.random())

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    async def _moment(self) -> None:
        await asyncio.sleep(random.random() * SPREAD_S)

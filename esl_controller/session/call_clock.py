"""The time as one call knows it."""

from __future__ import annotations

import asyncio
import time


class CallClock:
    """Unix time, read once and moved on by the loop's clock: if the system's clock is set during a
    call, nothing in the call takes longer, or ends before it began.

    ``age_s``: the channel's age by the switch's clock, as the call comes.
    """

    def __init__(self, age_s: float) -> None:
        self._monotonic = asyncio.get_running_loop().time
        self.offset = time.time() - self._monotonic()
        self._created = self._monotonic() - age_s

    def now(self) -> float:
        """Unix time."""
        return self._monotonic() + self.offset

    def loop_time(self) -> float:
        """The loop's clock."""
        return self._monotonic()

    @property
    def age_s(self) -> float:
        """The channel's age now."""
        return self._monotonic() - self._created

"""What the controllers that share a record do for each other.

Each reports every few seconds that it is there and which calls it has, and each ends the record of
calls that no controller has taken up again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from esl_controller.freeswitch.dialplan import WAITS_MS
from esl_controller.store import Store, StoreError
from esl_controller.store.records import ControllerLeft, Heartbeat, UnfinishedCall

BEAT_S: Final = 5.0
LOST_S: Final = sum(WAITS_MS) / 1000 + 45.0  # the dialplan's tries, and the time each one takes
FORGOTTEN_S: Final = 3600.0  # a controller that has died is listed for this long

log = structlog.stdlib.get_logger(__name__)


@dataclass
class _Watched:
    sign: tuple[int, float | None]
    since: float


class Silences:
    """Which calls no controller has had for ``LOST_S``. [core]

    It looks at changes only, by its own clock, because the controllers' clocks may differ.
    """

    def __init__(self) -> None:
        self._watched: dict[str, _Watched] = {}

    def forget(self) -> None:
        """Start again: for a while we, or all controllers, could not reach the record."""
        self._watched.clear()

    def lost(
        self, unfinished: Sequence[UnfinishedCall], last_had: dict[str, float], now: float
    ) -> list[UnfinishedCall]:
        """Those of ``unfinished`` that are lost. ``last_had``: when a controller last reported that
        it has the call, by that controller's clock."""
        before, self._watched = self._watched, {}
        for call in unfinished:
            sign = (call.epoch, last_had.get(call.call_uuid))
            watched = before.get(call.call_uuid)
            if watched is None or watched.sign != sign:
                watched = _Watched(sign, now)
            self._watched[call.call_uuid] = watched
        return [c for c in unfinished if now - self._watched[c.call_uuid].since >= LOST_S]


def last_had(controllers: Sequence[Heartbeat]) -> dict[str, float]:
    """When a controller last reported that it has a call, by the call's UUID."""
    latest: dict[str, float] = {}
    for heartbeat in controllers:
        for uuid in heartbeat.figures or ():
            latest[uuid] = max(heartbeat.seen_at, latest.get(uuid, 0.0))
    return latest


class Heartbeats:
    """One controller's part: ``await run()``. ``heartbeat`` makes its next report. ``dropped``
    counts reports of others that cannot be read."""

    def __init__(self, store: Store, heartbeat: Callable[[], Heartbeat]) -> None:
        self._store = store
        self._heartbeat = heartbeat
        self._silences = Silences()
        self.dropped = 0

    async def run(self) -> None:
        """Report, and look for lost calls, until cancelled."""
        try:
            while True:
                self._store.put(self._heartbeat())
                await asyncio.sleep(BEAT_S)
                try:
                    await self._look()
                except StoreError:
                    self._silences.forget()  # the store's writer logs why
        finally:
            self._store.put(ControllerLeft(self._heartbeat().name))

    async def _look(self) -> None:
        controllers = await self._store.controllers()
        unfinished = await self._store.unfinished()
        mine = self._heartbeat()
        if not any(
            each.name == mine.name and mine.seen_at - each.seen_at < 3 * BEAT_S
            for each in controllers
        ):
            # Our own reports do not arrive, so the silence of others means nothing.
            self._silences.forget()
            return
        unread = {each.name for each in controllers if each.figures is None}
        if unread and not self.dropped:
            log.warning("a controller's report cannot be read", controllers=sorted(unread))
        self.dropped += len(unread)
        had = last_had(controllers)
        # Nobody knows which calls such a controller has.
        unfinished = [call for call in unfinished if call.owner not in unread]
        for call in self._silences.lost(unfinished, had, asyncio.get_running_loop().time()):
            await self._end(call, had.get(call.call_uuid))
        for each in controllers:
            if mine.seen_at - each.seen_at > FORGOTTEN_S:
                self._store.put(ControllerLeft(each.name))

    async def _end(self, call: UnfinishedCall, seen_at: float | None) -> None:
        note = f"no controller has had the call for {LOST_S:.0f} s: it was lost"
        if await self._store.end_lost(call, note, seen_at):
            log.warning("a call was lost", call_uuid=call.call_uuid, controller=call.owner)

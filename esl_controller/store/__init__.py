"""The record of the calls, and the webhooks that wait, in a database. Never on the way of audio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from esl_controller.call.records import Claimed
from esl_controller.store.claiming import Claims, lost, take_due
from esl_controller.store.database import open_engine
from esl_controller.store.ending import end_lost
from esl_controller.store.errors import StoreError
from esl_controller.store.reading import Reader, reading
from esl_controller.store.records import Change, Delivery, Unfinished
from esl_controller.store.writing import Writer

__all__ = ["Reader", "Store", "StoreError", "reading"]

CLOSE_S = 2.0  # a stop has 10 s: handing the calls over may take 5, a query that hangs 2 to end

log = structlog.stdlib.get_logger(__name__)


class Store(Reader):
    """The record, to be written and read. Made by ``Store.open``.

    ``put`` only takes note; one task writes (``Writer`` has its limits and rules).
    """

    def __init__(self, engine: AsyncEngine, writer: Writer) -> None:
        super().__init__(engine)
        self._writer = writer
        self._claims = Claims("")  # the last ones, which others may join
        self._claimed: asyncio.Task[dict[str, Claimed]] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Store]:
        """The record at ``url`` (see ``open_engine``), made or brought up to date if need be.

        At the end what was put is written, for at most ``CLOSE_S``. Raises StoreError.
        """
        engine = await open_engine(url)
        writer = Writer(engine)
        writing = asyncio.create_task(writer.run(), name="call record")
        store = cls(engine, writer)
        try:
            yield store
        finally:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await writer.flush()
            except TimeoutError:
                # A farewell to a silent server would take seconds for each connection.
                event.listen(engine.sync_engine, "close", _cut)
                log.error("the end of the call record was not written", changes=writer.waiting)
            finally:
                writing.cancel()
                await asyncio.wait([writing])
                await store.finish()
                await engine.dispose()

    @property
    def dropped(self) -> int:
        """Changes that were lost, since the start."""
        return self._writer.dropped

    @property
    def delivery_written(self) -> asyncio.Event:
        """Set when a webhook has been written down; to be cleared by who waits for it."""
        return self._writer.delivery_written

    def put(self, change: Change) -> None:
        """Have ``change`` written soon. Never waits, never raises."""
        self._writer.put(change)

    async def claim(self, call_uuid: str, owner: str) -> Claimed:
        """Take a call over from whoever had it. Raises StoreError."""
        if self._writer.holds(call_uuid):
            await self.flush()  # it was ours a moment ago
        claimed = self._claimed
        # One that is done was refused by the database, or is too late to join in any case.
        if claimed is None or claimed.done() or not self._claims.add(call_uuid, owner):
            self._claims = Claims(owner)
            self._claims.add(call_uuid, owner)
            claimed = self._claimed = self._start(self._claims.take)
        return (await asyncio.shield(claimed))[call_uuid]

    async def lost(self, epochs: Mapping[str, int]) -> list[str]:
        """Which of these calls, each with its epoch, somebody else has claimed since. Raises
        StoreError."""
        return await self._whole(lambda connection: lost(connection, epochs))

    async def end_lost(self, call: Unfinished, note: str, seen_at: float | None) -> bool:
        """End a call that no controller has, last had at ``seen_at``, with ``note`` in its record,
        and send its webhook. False where it has gone on, or ended. Raises StoreError."""
        ended = await self._whole(lambda connection: end_lost(connection, call, note, seen_at))
        if ended:
            self.delivery_written.set()
        return ended

    async def take_due(self, now: float, limit: int, until: float) -> list[Delivery]:
        """Up to ``limit`` webhooks that are to be sent at ``now``; nobody else gets them before
        ``until``. Raises StoreError.

        Those least often tried come first: a receiver that is down does not hold up the others.
        """
        return await self._whole(lambda connection: take_due(connection, now, limit, until))

    async def flush(self) -> None:
        """Wait until all that was put before is written, or dropped."""
        await self._writer.flush()


def _cut(connection: Any, record: object) -> None:
    """Close a connection without a word, where its driver can do that."""
    if terminate := getattr(connection.driver_connection, "terminate", None):
        terminate()

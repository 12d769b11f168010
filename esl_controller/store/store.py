"""The store: the record of the calls and the deliveries that wait, to be written and read."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import structlog
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

from esl_controller.call.records import Claimed
from esl_controller.store.claiming import Claims, claimed_by_others, misfit_of, take_due
from esl_controller.store.database import Presence, open_engine
from esl_controller.store.ending import end_lost
from esl_controller.store.identity import Identity, NotThisCall
from esl_controller.store.reading import Reader
from esl_controller.store.records import Change, Delivery, UnfinishedCall
from esl_controller.store.writing import Writer

CLOSE_S = 2.0  # a stop has 10 s: up to 5 to hand the calls over, up to 2 to end a query that hangs

log = structlog.stdlib.get_logger(__name__)


class Store(Reader):
    """Writes and reads the record. Made by ``Store.open``.

    ``put`` only queues a change; one task writes it (``Writer`` states the limits and rules).
    """

    def __init__(self, engine: AsyncEngine, writer: Writer, writing: asyncio.Task[None]) -> None:
        super().__init__(engine)
        self._writer = writer
        self._writing = writing
        self._claims = Claims("")  # the latest ones; more calls may join them
        self._claimed: asyncio.Task[dict[str, Claimed | NotThisCall]] | None = None

    @classmethod
    @asynccontextmanager
    async def open(cls, url: str) -> AsyncIterator[Store]:
        """Open the record at ``url`` (see ``open_engine``); its tables are made or migrated.

        On leaving, what was put is still written, for at most ``CLOSE_S``. Raises StoreError.
        """
        engine = await open_engine(url)
        writer = Writer(engine, Presence(url, engine).ensure)
        writing = asyncio.create_task(writer.run(), name="call record")
        store = cls(engine, writer, writing)
        try:
            yield store
        finally:
            try:
                async with asyncio.timeout(CLOSE_S):
                    await writer.flush()
            except TimeoutError:
                # Closing properly would wait seconds for a silent server, for each connection.
                event.listen(engine.sync_engine, "close", _cut)
                log.error("the end of the call record was not written", changes=writer.waiting)
            finally:
                writing.cancel()
                await asyncio.wait([writing])
                await store.finish()
                await engine.dispose()

    async def writer_ended(self) -> None:
        """Wait while changes can be written. Raises the bug that ends the writer, if one does."""
        await asyncio.wait([self._writing])
        if not self._writing.cancelled():
            self._writing.result()

    @property
    def dropped(self) -> int:
        """How many changes were dropped since the start."""
        return self._writer.dropped

    @property
    def delivery_written(self) -> asyncio.Event:
        """Set when a delivery has been written; whoever waits for it clears it."""
        return self._writer.delivery_written

    def put(self, change: Change) -> None:
        """Have ``change`` written soon. Never waits, never raises."""
        self._writer.put(change)

    async def claim(self, call_uuid: str, owner: str, comes: Identity | None = None) -> Claimed:
        """Take a call over from whoever had it, for the channel that ``comes``. Raises StoreError,
        and NotThisCall if the channel is not the one that is recorded."""
        if self._writer.holds(call_uuid):
            await self.flush()  # it was ours a moment ago, and what we put is part of it
        claimed = self._claimed
        # A claim that is done failed, or began too long ago to be joined.
        if claimed is None or claimed.done() or not self._claims.add(call_uuid, owner, comes):
            self._claims = Claims(owner)
            self._claims.add(call_uuid, owner, comes)
            claimed = self._claimed = self._start(self._claims.take)
        found = (await asyncio.shield(claimed))[call_uuid]
        if isinstance(found, NotThisCall):
            raise found
        return found

    async def misfit(self, call_uuid: str, comes: Identity) -> str:
        """Why the channel that ``comes`` is not the call that is recorded; empty if it may be.
        Raises StoreError."""
        if self._writer.holds(call_uuid):
            await self.flush()
        return await self._whole(lambda connection: misfit_of(connection, call_uuid, comes))

    async def claimed_by_others(self, epochs: Mapping[str, int]) -> list[str]:
        """Those of our calls that others have claimed since ours, at the epoch that is given.

        Raises StoreError.
        """
        return await self._whole(lambda connection: claimed_by_others(connection, epochs))

    async def end_lost(self, call: UnfinishedCall, note: str, seen_at: float | None) -> bool:
        """End the record of a call that no controller has, and queue its ``call_ended`` delivery.

        ``note`` goes into the record; ``seen_at``, Unix time, is when a controller last had the
        call. False if the call went on or ended meanwhile. Raises StoreError.
        """
        ended = await self._whole(lambda connection: end_lost(connection, call, note, seen_at))
        if ended:
            self.delivery_written.set()
        return ended

    async def take_due(self, now: float, limit: int, until: float) -> list[Delivery]:
        """Take up to ``limit`` deliveries due at ``now``; nobody else gets them before ``until``.

        Those tried least come first, so a receiver that is down does not hold up the others. Raises
        StoreError.
        """
        return await self._whole(lambda connection: take_due(connection, now, limit, until))

    async def flush(self) -> None:
        """Wait until everything put so far is written, or dropped."""
        await self._writer.flush()


def _cut(connection: Any, record: object) -> None:
    """Cut a connection without a goodbye, if its driver can."""
    if terminate := getattr(connection.driver_connection, "terminate", None):
        terminate()

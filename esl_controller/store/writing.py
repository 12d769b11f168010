"""What is put waits in memory; one task writes it, many changes in a transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from itertools import islice

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from esl_controller.store.errors import is_refusal, one_line
from esl_controller.store.records import BODY_LIMIT, Change, Deliver, Postponed
from esl_controller.store.statements import Entry, entry, write

LIMIT = 20_000  # changes that wait: five minutes of two hundred calls
BATCH = 100  # of them in a transaction: a millisecond or two of the event loop
GATHER_S = 0.5  # what comes so soon after the first goes with it: a transaction costs its while
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 2.0

log = structlog.stdlib.get_logger(__name__)


class Writer:
    """The queue in front of the database. ``run`` is its one task.

    At most ``LIMIT`` changes wait. What is put on top is dropped and counted in ``dropped``: the
    beginning of a story is worth more than its end without it. A change that the database refuses
    for what it is is dropped and counted too; while the database is away all wait, in their order.
    ``delivery_written`` is set when a webhook has been written down.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self.dropped = 0
        self.delivery_written = asyncio.Event()
        self._engine = engine
        self._waiting: deque[Entry] = deque()
        self._not_empty = asyncio.Event()
        self._hurry = asyncio.Event()  # somebody waits for what is written
        self._taken = 0  # changes out of the queue, ever
        self._progress = asyncio.Condition()

    @property
    def waiting(self) -> int:
        """Changes that are not written yet."""
        return len(self._waiting)

    def holds(self, call_uuid: str) -> bool:
        """Whether something of this call is not written yet."""
        return any(waiting.call_uuid == call_uuid for waiting in self._waiting)

    def put(self, change: Change) -> None:
        """Have ``change`` written soon. Never waits, never raises."""
        if len(self._waiting) >= LIMIT:
            if not self.dropped:
                log.error("the call record has holes from now on: too much waits", waiting=LIMIT)
            self.dropped += 1
        elif isinstance(change, Deliver) and len(change.body) > BODY_LIMIT:
            self._refuse(Deliver, f"its body has more than {BODY_LIMIT} characters")
        else:
            self._waiting.append(entry(change))
            self._not_empty.set()
            if isinstance(change, Deliver | Postponed):
                self._hurry.set()

    async def flush(self) -> None:
        """Wait until all that was put before is written (or dropped)."""
        goal = self._taken + len(self._waiting)
        self._hurry.set()
        async with self._progress:
            await self._progress.wait_for(lambda: self._taken >= goal)

    async def run(self) -> None:
        """Write what is put, until cancelled."""
        while True:
            await self._not_empty.wait()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(GATHER_S):
                    await self._hurry.wait()
            batch = list(islice(self._waiting, BATCH))
            await self._write_when_possible(batch)
            for _ in batch:
                self._waiting.popleft()
            if not self._waiting:
                self._not_empty.clear()
                self._hurry.clear()
            if any(waited.kind is Deliver for waited in batch):
                self.delivery_written.set()
            self._taken += len(batch)
            async with self._progress:
                self._progress.notify_all()

    async def _write_when_possible(self, batch: Sequence[Entry]) -> None:
        delay = FIRST_RETRY_S
        while True:
            try:
                await self._write(batch)
            except Exception as error:
                if delay == FIRST_RETRY_S:
                    log.warning("the call record cannot be written now", reason=one_line(error))
                await asyncio.sleep(delay)
                delay = min(2 * delay, LAST_RETRY_S)
                continue
            if delay > FIRST_RETRY_S:
                log.info("the call record is written again", dropped=self.dropped)
            return

    async def _write(self, batch: Sequence[Entry]) -> None:
        try:
            async with self._engine.begin() as connection:
                await write(connection, batch)
        except Exception as error:
            if not is_refusal(error):
                raise
            if len(batch) == 1:
                self._refuse(batch[0].kind, one_line(error))
                return
            # One of them is to blame, and must not take the others with it.
            for one in batch:
                await self._write([one])

    def _refuse(self, kind: type[Change], reason: str) -> None:
        self.dropped += 1
        log.error("not written into the call record", change=kind.__name__, reason=reason)

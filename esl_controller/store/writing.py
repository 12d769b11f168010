"""Writing changes: a queue in memory, and one task that writes many in each transaction."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter, deque
from collections.abc import Awaitable, Callable, Sequence
from itertools import islice

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from esl_controller.store.errors import is_refusal, one_line
from esl_controller.store.records import (
    BODY_LIMIT,
    SNAPSHOT_LIMIT,
    CallEnded,
    CallStarted,
    Change,
    DeliveryPostponed,
    DeliveryQueued,
    SnapshotSaved,
)
from esl_controller.store.statements import Entry, entry, write

LIMIT = 20_000  # changes that wait: what two hundred calls put in five minutes
CALL_LIMIT = 1_000  # of one call: ten times its share
RESERVE = 1_000  # on top, for the beginnings and ends of calls
BATCH = 100  # changes in a transaction: they hold the event loop for a millisecond or two
GATHER_S = 0.5  # wait for more changes before a transaction: each one is expensive
FIRST_RETRY_S = 0.1
LAST_RETRY_S = 2.0

log = structlog.stdlib.get_logger(__name__)


async def _nothing() -> None:
    pass


class Writer:
    """The queue in front of the database. ``run`` is its one task.

    At most ``LIMIT`` changes wait, and ``CALL_LIMIT`` of one call, so that a call that goes wild
    costs no other one its record. Any more are dropped and counted in ``dropped``: the beginning of
    a call is worth more than its end without a beginning. For these two there is a ``RESERVE``. A
    change that the database refuses is dropped and counted, too. While the database is away, all
    changes wait in their order.
    ``delivery_written`` is set when a delivery has been written.
    """

    def __init__(
        self, engine: AsyncEngine, prepare: Callable[[], Awaitable[None]] = _nothing
    ) -> None:
        self.dropped = 0
        self.delivery_written = asyncio.Event()
        self._engine = engine
        self._prepare = prepare  # before each transaction
        self._waiting: deque[Entry] = deque()
        self._of_call: Counter[str | None] = Counter()  # how many of these
        self._gaps: set[str | None] = set()  # calls that have lost something
        self._not_empty = asyncio.Event()
        self._hurry = asyncio.Event()  # somebody waits for the next transaction
        self._taken = 0  # changes that have left the queue since the start
        self._progress = asyncio.Condition()

    @property
    def waiting(self) -> int:
        """How many changes are not written yet."""
        return len(self._waiting)

    def holds(self, call_uuid: str) -> bool:
        """Whether a change of this call is not written yet."""
        return call_uuid in self._of_call

    def put(self, change: Change) -> None:
        """Have ``change`` written soon. Never waits, never raises."""
        call_uuid = getattr(change, "call_uuid", None)
        if not self._has_room(change, call_uuid):
            self.dropped += 1
        elif isinstance(change, DeliveryQueued) and len(change.body) > BODY_LIMIT:
            self._refuse(DeliveryQueued, f"its body has more than {BODY_LIMIT} characters")
        elif isinstance(change, SnapshotSaved) and len(change.snapshot) > SNAPSHOT_LIMIT:
            self._refuse(SnapshotSaved, f"it has more than {SNAPSHOT_LIMIT} characters")
        else:
            self._waiting.append(entry(change))
            self._of_call[call_uuid] += 1
            self._not_empty.set()
            if isinstance(change, DeliveryQueued | DeliveryPostponed):
                self._hurry.set()

    def _has_room(self, change: Change, call_uuid: str | None) -> bool:
        kept = _begins_or_ends(change)
        if len(self._waiting) >= LIMIT + kept * RESERVE:
            if not self.dropped:
                log.error(
                    "the call record has gaps from now on: too many changes wait", waiting=LIMIT
                )
            return False
        if kept or call_uuid is None or self._of_call[call_uuid] < CALL_LIMIT:
            return True
        if call_uuid not in self._gaps:
            self._gaps.add(call_uuid)
            text = "the record of a call has gaps: too many of its changes wait"
            log.error(text, call_uuid=call_uuid, waiting=CALL_LIMIT)
        return False

    async def flush(self) -> None:
        """Wait until everything put so far is written, or dropped."""
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
            for written in batch:
                self._waiting.popleft()
                self._left(written.call_uuid)
            if not self._waiting:
                self._not_empty.clear()
                self._hurry.clear()
            if any(waited.kind is DeliveryQueued for waited in batch):
                self.delivery_written.set()
            self._taken += len(batch)
            async with self._progress:
                self._progress.notify_all()

    def _left(self, call_uuid: str | None) -> None:
        self._of_call[call_uuid] -= 1
        if not self._of_call[call_uuid]:
            del self._of_call[call_uuid]
            self._gaps.discard(call_uuid)

    async def _write_when_possible(self, batch: Sequence[Entry]) -> None:
        delay = FIRST_RETRY_S
        while True:
            try:
                await self._prepare()
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
            # Only one of them need be wrong: write each by itself.
            for one in batch:
                await self._write([one])

    def _refuse(self, kind: type[Change], reason: str) -> None:
        self.dropped += 1
        log.error("not written into the call record", change=kind.__name__, reason=reason)


def _begins_or_ends(change: Change) -> bool:
    """Whether ``change`` is one of the few that a call has once."""
    delivery = isinstance(change, DeliveryQueued) and change.kind == "call_ended"
    return delivery or isinstance(change, CallStarted | CallEnded)

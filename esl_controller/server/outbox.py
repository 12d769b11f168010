"""The outbox: posts events to the operator's servers until they accept them.

A delivery is made at least once: if the answer does not arrive, or we crash before it is recorded,
the event is sent again under the same id. Of several controllers on one record, the one that takes
a delivery has it for ``LEASE_S``. If it has not settled it by then, another one sends it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress

import orjson
import structlog
from aiohttp import ClientConnectionError, ClientError, ClientSession, ClientTimeout

from esl_controller.session.webhook_http import headers, refused_address
from esl_controller.store import Store, StoreError
from esl_controller.store.records import (
    PARTS,
    Delivery,
    DeliveryPostponed,
    DeliverySettled,
    Noted,
    StoredCall,
    retry_s,
)

TIMEOUT_S = 10.0
AT_ONCE = 16
GIVE_UP_S = 86_400.0
GIVE_UP_TRIES = 13  # that take an hour: a clock that jumps ahead gives nothing up before
LEASE_S = 30.0  # longer than a try takes, even if the clocks of two controllers differ
LOOK_AGAIN_S = 30.0  # a controller that died may have left deliveries
PARTS_LIMIT = 1_000  # of each kind, that are read of a call
RECORD_LIMIT = 1_000_000  # bytes of it that are sent; nginx takes 1,048,576 unless told otherwise
READ_AGAIN_S = 5.0  # after the database did not answer

log = structlog.stdlib.get_logger(__name__)


class Outbox:
    """Makes the deliveries that wait in ``store``, signed with ``secret`` unless that is empty.

    A receiver accepts one by answering 2xx. Otherwise it is tried again after ``FIRST_RETRY_S``,
    and after twice as long each time, up to ``LAST_RETRY_S``. ``GIVE_UP_S`` after it was put it is
    given up, and the log and the call's record say so.
    """

    def __init__(
        self,
        store: Store,
        secret: str,
        session_factory: Callable[[], ClientSession],
    ) -> None:
        self._store = store
        self._secret = secret
        self._session_factory = session_factory
        self._told_unsigned = False

    async def run(self) -> None:
        """Send whatever is due, until cancelled."""
        async with self._session_factory() as http:
            while True:
                try:
                    await self._send_due(http)
                    await self._wait()
                except StoreError as error:
                    log.warning("deliveries wait", reason=str(error))
                    await asyncio.sleep(READ_AGAIN_S)

    async def _send_due(self, http: ClientSession) -> None:
        self._store.delivery_written.clear()
        while due := await self._take_due():
            bodies = [await self._body(delivery) for delivery in due]
            async with asyncio.TaskGroup() as group:
                for delivery, body in zip(due, bodies, strict=True):
                    group.create_task(self._send(http, delivery, body))
            # Until these results are written, `next_due` would return the ends of our leases.
            await self._store.flush()

    async def _take_due(self) -> list[Delivery]:
        now = time.time()
        return await self._store.take_due(now, AT_ONCE, now + LEASE_S)

    async def _wait(self) -> None:
        at = await self._store.next_due()
        wait_s = LOOK_AGAIN_S if at is None else min(at - time.time(), LOOK_AGAIN_S)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._store.delivery_written.wait()

    async def _body(self, delivery: Delivery) -> bytes:
        if delivery.body:
            return delivery.body.encode()
        call = await self._store.call(delivery.call_uuid, last=PARTS_LIMIT)
        return await asyncio.to_thread(record_body, call) if call else orjson.dumps(None)

    async def _send(self, http: ClientSession, delivery: Delivery, body: bytes) -> None:
        failure = ""
        try:
            async with http.post(
                delivery.url,
                data=body,
                headers=self._headers(delivery, body),
                timeout=ClientTimeout(total=TIMEOUT_S),
                allow_redirects=False,
            ) as reply:
                if not 200 <= reply.status < 300:
                    failure = f"{reply.url.host} answered {reply.status}"
        except asyncio.CancelledError:
            # We are stopping: due now, it need not wait for the end of our lease.
            self._store.put(DeliveryPostponed(delivery.id, delivery.attempts, time.time()))
            raise
        except TimeoutError:
            failure = f"no answer within {TIMEOUT_S:g} s"
        except (ClientConnectionError, OSError) as error:
            failure = refused_address(error) or str(error)
        except (ClientError, ValueError) as error:
            # Their texts contain the URL, which may contain a token.
            failure = type(error).__name__
        except Exception as error:  # one delivery must not keep the others from being made
            log.exception("a bug in the controller: a delivery cannot be made", id=delivery.id)
            failure = type(error).__name__
        if failure:
            self._failed(delivery, failure)
        else:
            self._store.put(DeliverySettled(delivery.id))
            _log(delivery).info("delivery made")

    def _headers(self, delivery: Delivery, body: bytes) -> dict[str, str]:
        if not self._secret and not self._told_unsigned:
            self._told_unsigned = True
            log.warning("deliveries are not signed: ESL_CONTROLLER_WEBHOOK_SECRET is not set")
        return headers(delivery.kind, delivery.id, self._secret, body)

    def _failed(self, delivery: Delivery, failure: str) -> None:
        now = time.time()
        if now - delivery.at >= GIVE_UP_S and delivery.attempts >= GIVE_UP_TRIES:
            self._store.put(DeliverySettled(delivery.id))
            text = f"delivery of {delivery.kind} given up: {failure}"
            self._store.put(Noted(delivery.call_uuid, now, text))
            _log(delivery).error("delivery given up", reason=failure)
            return
        delay = retry_s(delivery.attempts + 1)
        self._store.put(DeliveryPostponed(delivery.id, delivery.attempts + 1, now + delay))
        _log(delivery).warning("delivery failed", reason=failure, again_in_s=delay)


def record_body(call: StoredCall) -> bytes:
    """The record of a call as JSON, in at most ``RECORD_LIMIT`` bytes: what is too much of it is
    left out, the oldest first."""
    told = call.as_dict()
    records = [(record, part) for part in PARTS for record in told[part]]
    records.sort(key=lambda each: each[0]["started_at" if each[1] == "turns" else "at"])
    whole = {**told, **{part: [] for part in PARTS}, "shortened": True}
    room = RECORD_LIMIT - len(orjson.dumps(whole))
    while records and (room := room - len(orjson.dumps(records[-1][0])) - 1) >= 0:
        record, part = records.pop()
        whole[part].insert(0, record)
    if not records and not call.shortened:
        del whole["shortened"]
    return orjson.dumps(whole)


def _log(delivery: Delivery) -> structlog.stdlib.BoundLogger:
    return log.bind(id=delivery.id, kind=delivery.kind, call_uuid=delivery.call_uuid)

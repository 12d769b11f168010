"""The record as live calls use it: they never wait long for it, and go on without it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping
from typing import Final

import structlog

from esl_controller.call.records import Claimed
from esl_controller.freeswitch.channel import Channel
from esl_controller.session.session import CallSession
from esl_controller.store import NotThisCall, Store, StoreError
from esl_controller.store.identity import Identity
from esl_controller.store.records import Change

CLAIM_S: Final = (
    3.0  # the caller waits meanwhile; without the claim, all that was said is forgotten
)
WATCH_S: Final = 1.0  # between looks whether another controller has claimed one of our calls
STILL_OURS_S: Final = 0.5  # a hangup or a transfer waits for this answer
FLUSH_S: Final = 2.0

log = structlog.stdlib.get_logger(__name__)


def identity(channel: Channel) -> Identity:
    """What tells this channel from another one with its UUID."""
    return Identity(channel.domain_uuid, channel.created_us, channel.answered)


class CallRecords:
    """``store``: None where no record is kept. ``name``: this controller's."""

    def __init__(self, store: Store | None, name: str) -> None:
        self._store = store
        self._name = name

    def put(self, change: Change) -> None:
        """Have the change written soon."""
        if self._store is not None:
            self._store.put(change)

    async def flush(self) -> None:
        """Wait until all that was put is written, for at most ``FLUSH_S``."""
        if self._store is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(FLUSH_S):
                    await self._store.flush()

    async def claim(self, channel: Channel) -> Claimed | None:
        """Claim a call that was answered before; None where no record is kept. Raises
        NotThisCall."""
        if self._store is None:
            return None
        try:
            async with asyncio.timeout(CLAIM_S):
                return await self._store.claim(channel.uuid, self._name, identity(channel))
        except (StoreError, TimeoutError) as error:
            reason = str(error) or f"no answer within {CLAIM_S:g} s"
            log.warning("a call begins anew: its record cannot be read", reason=reason)
            # The call's age in seconds grows faster than its number of controllers, so no earlier
            # controller had an epoch as high as this.
            return Claimed(epoch=1 + int(channel.age_s), snapshot="")

    async def check_new(self, channel: Channel) -> None:
        """Raise NotThisCall if a call that was not answered yet is known as another one. If that
        cannot be told in time, it is not."""
        if self._store is not None:
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(STILL_OURS_S):
                    if reason := await self._store.misfit(channel.uuid, identity(channel)):
                        raise NotThisCall(reason)

    async def still_ours(self, call_uuid: str, epoch: int) -> bool:
        """Whether nobody has claimed the call since; True, too, if that cannot be told in time."""
        if self._store is not None:
            with contextlib.suppress(StoreError, TimeoutError):
                async with asyncio.timeout(STILL_OURS_S):
                    return not await self._store.claimed_by_others({call_uuid: epoch})
        return True

    async def watch(self, calls: Mapping[str, CallSession]) -> None:
        """Have each of ``calls`` that another controller has claimed step back; until cancelled."""
        assert self._store is not None
        while True:
            await asyncio.sleep(WATCH_S)
            with contextlib.suppress(StoreError):
                mine = {uuid: session.epoch for uuid, session in calls.items()}
                for uuid in await self._store.claimed_by_others(mine) if mine else ():
                    session = calls.get(uuid)
                    if session is not None and session.epoch == mine[uuid]:
                        session.step_back()

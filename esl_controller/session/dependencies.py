"""What a call gets from the process it runs in. All calls share it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from aiohttp import ClientSession

from esl_controller.agents.chain import ChainModel
from esl_controller.config.settings import Settings
from esl_controller.secretaries.secretary import Secretary
from esl_controller.store.records import Change
from media.lane import Clock, Ports
from media.stream import StreamEndpoint


class Record(Protocol):
    """What is written down of the calls."""

    def put(self, change: Change) -> None:
        """Have it written. Never waits, never raises."""

    async def flush(self) -> None:
        """Wait until all that was put is written, but no longer than makes sense."""

    async def still_ours(self, call_uuid: str, epoch: int) -> bool:
        """Whether nobody has claimed this call since it had this epoch; True, too, if that cannot
        be told in time."""


@dataclass(frozen=True)
class Dependencies:
    """Made by ``server/app.py``; tests make their own."""

    name: str  # this controller's, unique among those that share the record
    settings: Settings
    clock: Clock
    ports: Ports
    streams: StreamEndpoint
    media_url: str
    models: Sequence[ChainModel]
    find_secretary: Callable[[str, str], Secretary]  # by domain_uuid and secretary_uuid
    record: Record
    http: ClientSession

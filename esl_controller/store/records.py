"""The changes that are put into the store, and what is read from it. [core]

Times are Unix seconds. A change may be put again: each has a key, and the last one put under a key
stays. Texts are cut at ``TEXT_LIMIT`` characters. JSON texts are whole or not there: half of one is
of no use to anybody.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from esl_controller.call.agent import Usage
from esl_controller.call.records import ToolUsed, Turn

TEXT_LIMIT = 4_000
JSON_LIMIT = (
    24_000  # of a tool's arguments and output: a server's 20,000 bytes, with its quotes escaped
)
SNAPSHOT_LIMIT = 1_000_000
BODY_LIMIT = 256_000
HEARTBEAT_LIMIT = 1_000_000

INTERRUPTED = "interrupted"  # an outcome: we let the call go, and another controller may claim it
LOST = "lost"  # an outcome: none did


FIRST_RETRY_S = 1.0  # until a delivery is tried again; then twice as long each time
LAST_RETRY_S = 3600.0
RETRIES_GROW = 13  # tries, until it is tried each ``LAST_RETRY_S``


def retry_s(attempts: int) -> float:
    """For how many seconds a delivery waits that failed so often, by the clock of whoever put it
    off; by another controller's, at most so long."""
    return min(FIRST_RETRY_S * 2.0 ** max(0, attempts - 1), LAST_RETRY_S)


def _new_id() -> str:
    return uuid4().hex


@dataclass(frozen=True)
class CallStarted:
    """A call is ours. If a call has several (it came back to us), the first one stays.

    ``call_ended_url``: where to deliver the record if the call is lost, or empty. ``created_us``:
    when its channel was created, in microseconds of the switch's clock.
    ``secretary_id``: the ``SecretaryKept`` that answers it.
    """

    call_uuid: str
    domain_uuid: str
    secretary: str
    caller: str
    destination: str
    at: float
    owner: str = ""
    call_ended_url: str = ""
    created_us: int = 0
    secretary_id: str = ""


@dataclass(frozen=True)
class SecretaryKept:
    """A secretary came into force. ``file``: where it was read, or "" if it has none;
    ``definition``: a JSON text."""

    id: str
    file: str
    definition: str
    kept_at: float


@dataclass(frozen=True)
class SnapshotSaved:
    """What a call must remember to go on in another process: the JSON of ``call/snapshot.py``.

    ``epoch``: how often the call was taken over. A snapshot with a lower one than the record's is
    not written: another controller has claimed the call.
    """

    call_uuid: str
    epoch: int
    snapshot: str


@dataclass(frozen=True)
class MessageTaken:
    """The caller left a message."""

    call_uuid: str
    name: str
    phone: str
    text: str
    at: float
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True)
class Noted:
    """Something worth knowing later, such as that the model was connected again."""

    call_uuid: str
    at: float
    text: str
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True)
class CallEnded:
    """A call ended. ``cause``: FreeSWITCH's; ``outcome``: ours; ``recording``: a path, or empty."""

    call_uuid: str
    at: float
    cause: str
    outcome: str
    recording: str = ""
    usage: Usage = field(default_factory=Usage)
    epoch: int = 0


@dataclass(frozen=True)
class DeliveryQueued:
    """An event is to be delivered to ``url``; ``kind`` is the event's name.

    ``body``: a JSON text of at most ``BODY_LIMIT`` characters. If it is empty, the record of the
    call is sent, as it is then. ``id`` is the same at every try.
    """

    url: str
    kind: str
    body: str
    call_uuid: str
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True)
class DeliveryPostponed:
    """A delivery failed, and is due again at ``due_at``."""

    id: str
    attempts: int
    due_at: float


@dataclass(frozen=True)
class DeliverySettled:
    """A delivery was made or given up, and is not kept any longer."""

    id: str


@dataclass(frozen=True)
class Heartbeat:
    """The controller ``name`` is alive.

    ``web``, ``media``: its URLs. ``calls``: a JSON text with the calls that it has, by UUID.
    """

    name: str
    web: str
    media: str
    started_at: float
    seen_at: float
    state: Literal["ready", "draining"]
    calls: str = "{}"

    @property
    def figures(self) -> dict[str, dict[str, Any]] | None:
        """What it says of each of its calls, by UUID; None if another program or version wrote
        something else."""
        if len(self.calls) > HEARTBEAT_LIMIT:
            return None
        try:
            found = json.loads(self.calls)
        except (ValueError, RecursionError):
            return None
        right = isinstance(found, dict) and all(isinstance(each, dict) for each in found.values())
        return found if right else None


@dataclass(frozen=True)
class ControllerLeft:
    """The controller ``name`` has ended."""

    name: str


Change: TypeAlias = (
    CallStarted
    | SecretaryKept
    | SnapshotSaved
    | Turn
    | ToolUsed
    | MessageTaken
    | Noted
    | CallEnded
    | DeliveryQueued
    | DeliveryPostponed
    | DeliverySettled
    | Heartbeat
    | ControllerLeft
)


@dataclass(frozen=True)
class CallSummary:
    """A call without what happened in it. ``ended_at`` is None until it ends."""

    call_uuid: str
    domain_uuid: str
    secretary: str
    caller: str
    destination: str
    started_at: float | None
    ended_at: float | None
    cause: str
    outcome: str
    recording: str
    usage: Usage


PARTS = ("turns", "tools", "messages", "notes")


@dataclass(frozen=True)
class StoredCall(CallSummary):
    """A call with everything recorded of it, in the order in which it happened.

    ``shortened``: there are older turns, tools, messages or notes than these.
    """

    turns: Sequence[Turn] = ()
    tools: Sequence[ToolUsed] = ()
    messages: Sequence[MessageTaken] = ()
    notes: Sequence[Noted] = ()
    shortened: bool = False

    def newest(self, last: int) -> StoredCall:
        """The same with at most so many turns, tools, messages and notes each."""
        return replace(
            self,
            turns=self.turns[-last:],
            tools=self.tools[-last:],
            messages=self.messages[-last:],
            notes=self.notes[-last:],
            shortened=any(len(getattr(self, part)) > last for part in PARTS),
        )

    def as_dict(self) -> dict[str, Any]:
        """The fields under their names, for JSON; ``shortened`` only if it is."""
        whole = asdict(self)
        for part in PARTS:
            for record in whole[part]:
                del record["call_uuid"]
        if not self.shortened:
            del whole["shortened"]
        return whole


@dataclass(frozen=True)
class UnfinishedCall:
    """A call that a controller has, or that waits for one.

    ``owner``: the controller that had it last; ``epoch``: how often it was taken over; ``outcome``:
    INTERRUPTED if its controller let it go, else empty.
    """

    call_uuid: str
    domain_uuid: str
    secretary: str
    caller: str
    destination: str
    started_at: float | None
    owner: str
    epoch: int
    outcome: str


@dataclass(frozen=True)
class Delivery:
    """An event that waits to be delivered, after ``attempts``. ``at``: when it was put."""

    id: str
    url: str
    kind: str
    body: str
    call_uuid: str
    at: float
    attempts: int

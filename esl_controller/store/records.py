"""What is written down of a call, and what is read back. [core]

Times are Unix seconds. A change may be put again: a record has a key, and the last one put under it
stays. Texts are cut at ``TEXT_LIMIT`` characters, JSON texts at ``JSON_LIMIT``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypeAlias
from uuid import uuid4

from esl_controller.call.events import Usage
from esl_controller.call.records import ToolUsed, Turn

TEXT_LIMIT = 4_000
JSON_LIMIT = 16_000
BODY_LIMIT = 256_000

INTERRUPTED = "interrupted"  # an outcome: let go of, and somebody else may go on with it
LOST = "lost"  # an outcome: nobody did


def _new_id() -> str:
    return uuid4().hex


@dataclass(frozen=True)
class CallStarted:
    """A call is ours. Of several for one call (it came back to us) the first stays.

    ``call_ended_url``: the webhook to send if the call is lost, or empty.
    """

    call_uuid: str
    domain_uuid: str
    secretary: str
    caller: str
    destination: str
    at: float
    owner: str = ""
    call_ended_url: str = ""


@dataclass(frozen=True)
class Remembered:
    """What the call needs to go on in another process: a JSON text, see ``memory.py``.

    ``epoch`` says how often it did so far: who lost the call to somebody else writes in vain.
    """

    call_uuid: str
    epoch: int
    memory: str


@dataclass(frozen=True)
class MessageTaken:
    """A message that the caller left."""

    call_uuid: str
    name: str
    phone: str
    text: str
    at: float
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True)
class Noted:
    """Something worth knowing later: the model was connected again, a restart cut a sentence."""

    call_uuid: str
    at: float
    text: str
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True)
class CallEnded:
    """``cause``: FreeSWITCH's; ``outcome``: ours. ``recording``: its path, or empty."""

    call_uuid: str
    at: float
    cause: str
    outcome: str
    recording: str = ""
    usage: Usage = field(default_factory=Usage)
    epoch: int = 0


@dataclass(frozen=True)
class Deliver:
    """A webhook that is kept until it is delivered (``Outbox``).

    ``body``: a JSON text of at most ``BODY_LIMIT`` bytes, or empty: the whole record of the call,
    as it is when the webhook is sent. ``id`` is the same at every try.
    """

    url: str
    kind: str
    body: str
    call_uuid: str
    id: str = field(default_factory=_new_id)


@dataclass(frozen=True)
class Postponed:
    """A webhook that could not be delivered is due again at ``due_at``."""

    id: str
    attempts: int
    due_at: float


@dataclass(frozen=True)
class Settled:
    """A webhook was delivered, or given up: it is kept no longer."""

    id: str


@dataclass(frozen=True)
class Heartbeat:
    """A controller is there: ``name`` among those that share the record.

    ``web``, ``media``: its URLs. ``calls``: those that it has, by their UUID, as a JSON text.
    """

    name: str
    web: str
    media: str
    started_at: float
    seen_at: float
    state: Literal["ready", "draining"]
    calls: str = "{}"


@dataclass(frozen=True)
class Left:
    """The controller ``name`` has ended."""

    name: str


Change: TypeAlias = (
    CallStarted
    | Remembered
    | Turn
    | ToolUsed
    | MessageTaken
    | Noted
    | CallEnded
    | Deliver
    | Postponed
    | Settled
    | Heartbeat
    | Left
)


@dataclass(frozen=True)
class CallSummary:
    """A call without what happened in it; ``ended_at`` is None while it lasts."""

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


@dataclass(frozen=True)
class StoredCall(CallSummary):
    """A call with all that was written down of it, each in the order in which it happened."""

    turns: Sequence[Turn] = ()
    tools: Sequence[ToolUsed] = ()
    messages: Sequence[MessageTaken] = ()
    notes: Sequence[Noted] = ()

    def as_dict(self) -> dict[str, Any]:
        """For JSON: the fields above under their names."""
        whole = asdict(self)
        for part in ("turns", "tools", "messages", "notes"):
            for record in whole[part]:
                del record["call_uuid"]
        return whole


@dataclass(frozen=True)
class Unfinished:
    """A call that somebody has, or waits for a controller. ``owner``: who had it last; ``epoch``:
    how often it went on elsewhere; ``outcome``: "interrupted" if it was let go, else empty."""

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
    """A webhook that waits; ``attempts`` were made so far, ``at`` is when it was put."""

    id: str
    url: str
    kind: str
    body: str
    call_uuid: str
    at: float
    attempts: int

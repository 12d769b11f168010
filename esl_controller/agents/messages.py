"""Reading a model's messages: JSON events, field by field. [core]

An event that is not as expected is counted and dropped.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import orjson
import structlog

from esl_controller.agents.base import Counters
from esl_controller.call.agent_events import AgentEvent

log = structlog.stdlib.get_logger(__name__)

Reader: TypeAlias = Callable[[Mapping[str, Any]], Sequence[AgentEvent]]
"""Turns an event of the model into ours. May raise for a field that is not as expected."""


def read(message: bytes, readers: Mapping[str, Reader], counters: Counters) -> Sequence[AgentEvent]:
    """The events in one message. What cannot be used is counted; nothing is raised."""
    try:
        event = orjson.loads(message)
    except (ValueError, RecursionError):
        event = None
    if not isinstance(event, dict):
        counters.ignored += 1
        return ()
    kind = event.get("type")
    reader = readers.get(kind) if isinstance(kind, str) else None
    if reader is None:
        return ()
    try:
        return reader(event)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        counters.ignored += 1
        if worth_telling(counters.ignored):
            log.warning(
                "an event of the model cannot be used",
                type=str(kind)[:100],
                why=repr(error)[:300],
                ignored=counters.ignored,
            )
        return ()


def text(event: Mapping[str, Any], key: str) -> str:
    """The string at ``key``. Raises KeyError or TypeError if there is none."""
    value = event[key]
    if not isinstance(value, str):
        raise TypeError(f"{key} is no string")
    return value


COUNT_LIMIT: Final = 10**9  # of anything that a model counts: milliseconds or tokens of a session


TOLD_LIMIT: Final = 10  # faults of one kind and connection; of more, each tenth, hundredth, ...


def worth_telling(number: int) -> bool:
    """Whether the fault of this ``number`` gets a line in the log."""
    return number <= TOLD_LIMIT or str(number).strip("0") == "1"


def amount(value: object) -> float:
    """A number that the model counted, from 0 to ``COUNT_LIMIT``; 0 if it is none."""
    return float(max(0, min(value, COUNT_LIMIT))) if isinstance(value, int | float) else 0.0


def count(value: object) -> int:
    """The same as a whole number."""
    return int(amount(value))


def told(error: Mapping[str, Any]) -> str:
    """The ``error`` of an error event in one line."""
    parts = (error.get("code") or error.get("type"), error.get("message"))
    return " ".join(": ".join(str(part) for part in parts if part).split())[:500]

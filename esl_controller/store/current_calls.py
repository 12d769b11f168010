"""The current calls: live ones and those that wait, and which controller has which. [core]"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from esl_controller.config.terminal import table
from esl_controller.store.records import Heartbeat, UnfinishedCall

SILENT_S: Final = 15.0
"""A controller whose last heartbeat is older than this counts as dead."""
WAITING: Final = "waiting for a controller"

_CALLS = ("call_uuid", "age_s", "caller", "number", "codec", "state", "controller")
_CONTROLLERS = ("controller", "state", "calls", "seen_s", "web", "media")


def living(controllers: Sequence[Heartbeat], now: float) -> list[Heartbeat]:
    """The controllers whose last heartbeat is recent enough."""
    return [each for each in controllers if now - each.seen_at < SILENT_S]


def as_dict(
    unfinished: Sequence[UnfinishedCall], controllers: Sequence[Heartbeat], now: float
) -> dict[str, Any]:
    """``calls`` (live and waiting) and ``controllers``, for JSON. ``now``: Unix time."""
    alive = living(controllers, now)
    names = {each.name for each in alive}
    reported = {
        uuid: (each.name, figures)
        for each in sorted(alive, key=lambda each: each.seen_at)
        for uuid, figures in (each.figures or {}).items()
    }
    return {
        "calls": [_call(call, reported.get(call.call_uuid), names, now) for call in unfinished],
        "controllers": [_controller(each, each.name in names, now) for each in controllers],
    }


def _call(
    call: UnfinishedCall,
    reported: tuple[str, dict[str, str]] | None,
    names: Collection[str],
    now: float,
) -> dict[str, Any]:
    # A call that has just arrived is not in its controller's heartbeat yet.
    name, figures = reported or (call.owner, {})
    waits = call.outcome or name not in names
    return {
        "call_uuid": call.call_uuid,
        "domain_uuid": call.domain_uuid,
        "secretary": call.secretary,
        "caller": call.caller,
        "number": call.destination,
        "since": call.started_at,
        "age_s": None if call.started_at is None else round(now - call.started_at, 1),
        "controller": name,
        **figures,
        "state": WAITING if waits else figures.get("state", "new"),
    }


def _controller(each: Heartbeat, alive: bool, now: float) -> dict[str, Any]:
    return {
        "controller": each.name,
        "state": each.state if alive else "silent",
        "calls": len(each.figures or {}),
        "started_at": each.started_at,
        "seen_at": each.seen_at,
        "seen_s": round(now - each.seen_at, 1),
        "web": each.web,
        "media": each.media,
    }


def as_table(listed: Mapping[str, Any]) -> str:
    """What ``as_dict`` returned, as tables for people."""
    calls, controllers = listed["calls"], listed["controllers"]
    waiting = sum(call["state"] == WAITING for call in calls)
    lines = [_table(_CALLS, calls)] if calls else []
    lines.append(f"{len(calls) - waiting} live, {waiting} waiting for a controller\n")
    lines.append(_table(_CONTROLLERS, controllers) if controllers else "no controller is running")
    return "\n".join(lines)


def _table(columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> str:
    texts = [[_text(row.get(column)) for column in columns] for row in rows]
    return table([columns, *texts])


def _text(value: object) -> str:
    return "-" if value is None or value == "" else str(value)

"""Health, readiness, and the live calls, over HTTP."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from esl_controller.server import CallServer
from esl_controller.session import CallSession
from media.lane import Clock


def web_routes(calls: CallServer, clock: Clock) -> list[web.AbstractRouteDef]:
    """``/healthz``: the process lives. ``/readyz``: it takes calls (503: it does not). ``/calls``:
    the live calls as JSON."""

    async def healthz(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        status = 200 if calls.ready else 503
        return web.json_response({"ready": calls.ready, "calls": len(calls.calls)}, status=status)

    async def list_calls(request: web.Request) -> web.Response:
        return web.json_response(
            {
                "calls": [describe(session) for session in calls.calls.values()],
                "taken": calls.taken,
                "refused": calls.refused,
                "clock": {
                    "ticks": clock.ticks,
                    "late": clock.late,
                    "skipped": clock.skipped,
                    "worst_late_ms": round(clock.worst_late_ms, 1),
                },
            }
        )

    return [
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/calls", list_calls),
    ]


def describe(session: CallSession) -> dict[str, Any]:
    """One call, for JSON: who, in which state, by which ways it hears and speaks."""
    channel, call = session.channel, session.call
    return {
        "call_uuid": channel.uuid,
        "domain_uuid": channel.domain_uuid,
        "caller": channel.caller,
        "number": channel.number,
        "codec": channel.codec,
        "since": time.time() - session.age_s,
        "age_s": round(session.age_s, 1),
        "state": call.state.value,
        "hearing": call.hearing,
        "speaking_by": call.speaking_by,
        "marks": session.marks.at,
        "counters": session.counters,
    }

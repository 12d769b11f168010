"""Health, readiness, and the live calls, over HTTP."""

from __future__ import annotations

import time
from typing import Any

from aiohttp import web

from esl_controller.server.listener import CallListener
from esl_controller.server.shutdown import Shutdown
from esl_controller.session.session import CallSession
from media.lane import Clock


def web_routes(calls: CallListener, clock: Clock, shutdown: Shutdown) -> list[web.AbstractRouteDef]:
    """``/healthz``: the process is alive. ``/readyz``: it takes calls (503: it does not).
    ``/calls``: the live calls as JSON. ``/drain`` (POST): let them finish, then end. Who may ask:
    ``guard.py``, ``local_socket.py``."""

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
                "last_refusal": calls.last_refusal,
                "clock": {
                    "ticks": clock.ticks,
                    "late": clock.late,
                    "skipped": clock.skipped,
                    "worst_late_ms": round(clock.worst_late_ms, 1),
                },
            }
        )

    async def drain(request: web.Request) -> web.Response:
        accepted = shutdown.drain(limit_s(request))
        return web.json_response({"calls": len(calls.calls)}, status=202 if accepted else 409)

    return [
        web.post("/drain", drain),
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/calls", list_calls),
    ]


def limit_s(request: web.Request) -> float:
    """How long ``/drain`` lets calls live. Raises HTTPBadRequest if that is no time."""
    try:
        limit = float(request.query.get("limit_s", "inf"))
    except ValueError:
        limit = -1.0
    if not limit >= 0:  # float("nan") is a number, too
        raise web.HTTPBadRequest(text="limit_s is no number of seconds\n")
    return limit


def describe(session: CallSession) -> dict[str, Any]:
    """One call, for JSON."""
    channel = session.channel
    return {
        "call_uuid": channel.uuid,
        "domain_uuid": channel.domain_uuid,
        "caller": channel.caller,
        "number": channel.number,
        "since": time.time() - session.age_s,
        "age_s": round(session.age_s, 1),
        **in_brief(session),
        "marks": session.marks,
        "counters": session.counters,
    }


def in_brief(session: CallSession) -> dict[str, str]:
    """One call's codec, its state, how it hears the caller and speaks to them, and which model has
    it, for JSON."""
    call = session.call
    return {
        "codec": session.channel.codec,
        "state": call.state.value,
        "where": call.describe(),
        "hearing": call.hearing,
        "speaking_by": call.speaking_by,
        "model": session.model,
    }

"""HTTP for all workers together: each is asked by its local socket, and the answers added up."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any, Final

from aiohttp import web

from esl_controller.server.web.local_socket import LocalConnection
from esl_controller.server.web.routes import limit_s

ASKED_S: Final = 2.0  # for a worker's answer: one that stands still must not hide the others

WebPorts = Callable[[], Mapping[int, int]]
"""The workers that take calls: by slot, under which port their local sockets are."""


def front_routes(
    web_ports: WebPorts, drain_all: Callable[[float], bool]
) -> list[web.AbstractRouteDef]:
    """The routes of ``web/routes.py``. ``drain_all`` tells all workers to drain, with a limit in
    seconds; False if they were told to end before."""

    async def healthz(request: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def readyz(request: web.Request) -> web.Response:
        told = await _ask(web_ports(), "/readyz")
        workers = [{"worker": slot, **each} for slot, each in told.items()]
        ready = any(each["ready"] for each in workers)
        calls = sum(each["calls"] for each in workers)
        body = {"ready": ready, "calls": calls, "workers": workers}
        return web.json_response(body, status=200 if ready else 503)

    async def list_calls(request: web.Request) -> web.Response:
        return web.json_response(together(await _ask(web_ports(), "/calls")))

    async def drain(request: web.Request) -> web.Response:
        limit = limit_s(request)
        accepted = drain_all(limit)
        told = await _ask(web_ports(), "/readyz")
        calls = sum(each["calls"] for each in told.values())
        return web.json_response({"calls": calls}, status=202 if accepted else 409)

    return [
        web.post("/drain", drain),
        web.get("/healthz", healthz),
        web.get("/readyz", readyz),
        web.get("/calls", list_calls),
    ]


def together(told: Mapping[int, Mapping[str, Any]]) -> dict[str, Any]:
    """The ``/calls`` of all workers, by slot, as one. [core]"""
    clocks = [each["clock"] for each in told.values()]
    return {
        "calls": [
            {**call, "worker": slot} for slot, each in told.items() for call in each["calls"]
        ],
        "taken": sum(each["taken"] for each in told.values()),
        "refused": sum(each["refused"] for each in told.values()),
        "last_refusal": next(
            (each["last_refusal"] for each in told.values() if each["last_refusal"]), ""
        ),
        "clock": {
            **{name: sum(c[name] for c in clocks) for name in ("ticks", "late", "skipped")},
            "worst_late_ms": max((c["worst_late_ms"] for c in clocks), default=0.0),
        },
        "workers": [
            {"worker": slot, "calls": len(each["calls"]), "taken": each["taken"]}
            for slot, each in told.items()
        ],
    }


async def _ask(ports: Mapping[int, int], path: str) -> dict[int, Any]:
    """What each worker says, by slot; one that does not answer is left out."""
    asked = (asyncio.to_thread(_ask_one, port, path) for port in ports.values())
    answers = await asyncio.gather(*asked)
    return {slot: told for slot, told in zip(ports, answers, strict=True) if told is not None}


def _ask_one(port: int, path: str) -> Any:
    try:
        with contextlib.closing(LocalConnection("worker", port, timeout=ASKED_S)) as there:
            there.request("GET", path)
            return json.loads(there.getresponse().read())
    except (OSError, HTTPException, ValueError):
        return None

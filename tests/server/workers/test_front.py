"""The answers of all workers as one."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from esl_controller.server.http_server import serving
from esl_controller.server.web.local_socket import at_local_socket
from esl_controller.server.workers.front import front_routes, together
from tests.live.freeswitch import free_port

CLOCK = {"ticks": 10, "late": 1, "skipped": 0, "worst_late_ms": 3.5}


def told(calls: list[str], **more: Any) -> dict[str, Any]:
    return {
        "calls": [{"call_uuid": uuid} for uuid in calls],
        "taken": 5,
        "refused": 1,
        "last_refusal": "",
        "clock": CLOCK,
        **more,
    }


class Worker:
    """What a worker answers."""

    def __init__(self, calls: list[str], ready: bool = True) -> None:
        self.port = free_port()
        self._calls = calls
        self._ready = ready

    async def answer(self, request: web.Request) -> web.Response:
        if request.path == "/readyz":
            body: Any = {"ready": self._ready, "calls": len(self._calls)}
            return web.json_response(body, status=200 if self._ready else 503)
        return web.json_response(told(self._calls))


@asynccontextmanager
async def front(
    *workers: Worker, gone: tuple[int, ...] = (), drained: list[float] | None = None
) -> AsyncIterator[TestClient[web.Request, web.Application]]:
    ports = {slot: worker.port for slot, worker in enumerate(workers)}
    drained = [] if drained is None else drained

    def drain_all(limit_s: float) -> bool:
        drained.append(limit_s)
        return len(drained) == 1

    app = web.Application()
    app.add_routes(front_routes(lambda: ports, drain_all))
    async with AsyncExitStack() as stack:
        for slot, worker in enumerate(workers):
            if slot not in gone:
                routes = [web.route("*", "/{path:.*}", worker.answer)]
                await stack.enter_async_context(serving(routes, at_local_socket(worker.port)))
        yield await stack.enter_async_context(TestClient(TestServer(app)))


def test_nobody_has_answered() -> None:
    assert together({})["calls"] == []
    assert together({})["clock"]["worst_late_ms"] == 0.0


def test_sums_and_the_worst() -> None:
    worse = {**CLOCK, "worst_late_ms": 9.0}
    all_of_them = together({0: told(["a"]), 2: told(["b", "c"], clock=worse, last_refusal="x")})
    assert [(call["call_uuid"], call["worker"]) for call in all_of_them["calls"]] == [
        ("a", 0),
        ("b", 2),
        ("c", 2),
    ]
    assert (all_of_them["taken"], all_of_them["refused"]) == (10, 2)
    assert all_of_them["last_refusal"] == "x"
    assert all_of_them["clock"] == {"ticks": 20, "late": 2, "skipped": 0, "worst_late_ms": 9.0}


async def test_calls_of_all_and_who_does_not_answer_is_left_out() -> None:
    async with front(Worker(["a"]), Worker(["b"]), Worker(["c"]), gone=(1,)) as client:
        answer = await (await client.get("/calls")).json()
        assert [call["call_uuid"] for call in answer["calls"]] == ["a", "c"]
        assert [worker["worker"] for worker in answer["workers"]] == [0, 2]


@pytest.mark.parametrize(
    ("ready", "status"),
    [((True, True), 200), ((False, True), 200), ((False, False), 503), ((), 503)],
)
async def test_it_is_ready_as_long_as_one_is(ready: tuple[bool, ...], status: int) -> None:
    async with front(*(Worker(["a"], each) for each in ready)) as client:
        answer = await client.get("/readyz")
        assert answer.status == status
        assert (await answer.json())["calls"] == len(ready)


async def test_all_are_drained_once() -> None:
    workers = Worker(["a"]), Worker(["b", "c"])
    drained: list[float] = []
    async with front(*workers, drained=drained) as client:
        answer = await client.post("/drain?limit_s=30")
        assert (answer.status, await answer.json()) == (202, {"calls": 3})
        assert (await client.post("/drain")).status == 409
        assert drained == [30.0, math.inf]
        assert (await client.post("/drain?limit_s=soon")).status == 400

"""What the calls of one model know together of its endpoint."""

from __future__ import annotations

import asyncio

import pytest

from esl_controller.agents import health
from esl_controller.agents.health import LIMIT_S, SPREAD_S, TRY_S, EndpointHealth


async def test_nobody_waits_while_the_endpoint_is_well() -> None:
    endpoint = EndpointHealth()
    async with asyncio.timeout(0.05):
        for _ in range(1000):
            await endpoint.admit()
    assert endpoint.wait_s == 0.0


async def test_of_many_calls_one_at_a_time_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "TRY_S", (0.05, 0.1))
    endpoint, dialled = EndpointHealth(), []
    loop = asyncio.get_running_loop()
    began = loop.time()

    async def call() -> None:
        while True:
            ticket = await endpoint.admit()
            dialled.append(loop.time() - began)
            await asyncio.sleep(0)
            endpoint.failed(ticket)

    calls = [asyncio.create_task(call()) for _ in range(50)]
    await asyncio.sleep(0.5)
    for task in calls:
        task.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    assert sum(at < 0.04 for at in dialled) == 50, "nobody knew yet"
    assert 3 <= len(dialled) - 50 <= 6


async def test_the_first_that_gets_through_sets_the_others_free_one_by_one() -> None:
    endpoint = EndpointHealth()
    endpoint.failed(await endpoint.admit(), after_s=30.0)
    loop = asyncio.get_running_loop()
    waiting = [asyncio.create_task(endpoint.admit()) for _ in range(20)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in waiting)
    endpoint.connected()
    freed: list[float] = []
    for task in waiting:
        task.add_done_callback(lambda _: freed.append(loop.time()))
    async with asyncio.timeout(SPREAD_S + 1.0):
        await asyncio.gather(*waiting)
    await asyncio.sleep(0)
    assert max(freed) - min(freed) > SPREAD_S / 10
    assert endpoint.wait_s == 0.0


async def test_the_service_says_when_and_is_not_believed_for_ever() -> None:
    endpoint = EndpointHealth()
    endpoint.failed(await endpoint.admit(), after_s=5.0)
    assert 5.0 <= endpoint.wait_s <= 5.0 * 1.3
    endpoint = EndpointHealth()
    endpoint.failed(await endpoint.admit(), after_s=1e9)
    assert endpoint.wait_s <= LIMIT_S * 1.3


async def test_tries_that_were_made_at_once_count_once() -> None:
    endpoint = EndpointHealth()
    tickets = [await endpoint.admit() for _ in range(50)]
    for ticket in tickets:
        endpoint.failed(ticket)
    assert endpoint.wait_s <= TRY_S[0] * 1.3


async def test_a_call_that_hangs_up_while_it_tries_does_not_stop_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "TRY_S", (0.05, 0.1))
    endpoint = EndpointHealth()
    endpoint.failed(await endpoint.admit())
    await endpoint.admit()  # and nothing is heard of it any more
    async with asyncio.timeout(1.0):
        await endpoint.admit()

"""What the calls of one model know together of its endpoint."""

from __future__ import annotations

import asyncio

import pytest

from esl_controller.agents import health
from esl_controller.agents.health import (
    JITTER,
    LIMIT_S,
    SPREAD_S,
    TOGETHER,
    TRY_S,
    EndpointDown,
    EndpointHealth,
    spread,
)


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
    endpoint.connected(endpoint._round)
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


async def test_controllers_whose_endpoint_fails_do_not_try_again_in_one_instant() -> None:
    endpoints = [EndpointHealth() for _ in range(50)]
    for endpoint in endpoints:
        endpoint.failed(await endpoint.admit(), after_s=20.0)
    waits = [endpoint.wait_s for endpoint in endpoints]
    assert max(waits) - min(waits) > 20.0 * JITTER / 2
    assert JITTER > 0.1


def test_calls_that_are_told_to_try_again_do_not_all_do_it_in_one_instant() -> None:
    waits = [spread(1.5) for _ in range(50)]
    assert min(waits) >= 1.5
    assert max(waits) <= 1.5 + SPREAD_S
    assert max(waits) - min(waits) > SPREAD_S / 2
    assert spread(0.0) == 0.0


# --- confirmed connections break ------------------------------------------------------------------


async def break_together(endpoint: EndpointHealth) -> None:
    before = asyncio.get_running_loop().time() - 60.0
    await endpoint.admit()
    for _ in range(TOGETHER):
        endpoint.broke(before)


async def test_a_connection_that_breaks_alone_is_made_again_at_once() -> None:
    endpoint = EndpointHealth()
    for _ in range(TOGETHER - 1):
        await endpoint.admit()
        endpoint.broke(asyncio.get_running_loop().time())
    async with asyncio.timeout(0.05):
        for _ in range(TOGETHER):
            await endpoint.admit()


async def test_connections_that_break_now_and_then_are_no_trouble_of_the_endpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "TOGETHER_S", 0.02)
    endpoint = EndpointHealth()
    for _ in range(2 * TOGETHER):
        await endpoint.admit()
        endpoint.broke(asyncio.get_running_loop().time())
        await asyncio.sleep(0.01)
    async with asyncio.timeout(0.05):
        for _ in range(TOGETHER):
            await endpoint.admit()


async def test_of_calls_whose_connections_break_together_one_goes_first_and_at_once() -> None:
    endpoint = EndpointHealth()
    await break_together(endpoint)
    loop = asyncio.get_running_loop()
    waiting = [asyncio.create_task(endpoint.admit(0.0)) for _ in range(50)]
    await asyncio.sleep(0.02)
    assert sum(task.done() for task in waiting) == 1, "and nobody goes to another endpoint yet"
    endpoint.connected(endpoint._round)
    freed: list[float] = []
    for task in waiting:
        task.add_done_callback(lambda _: freed.append(loop.time()))
    async with asyncio.timeout(SPREAD_S + 0.5):
        await asyncio.gather(*waiting)
    await asyncio.sleep(0)
    assert max(freed) - min(freed) > SPREAD_S / 2


async def test_whoever_goes_first_and_is_not_heard_of_is_followed_by_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "TRY_S", (0.05, 60.0))
    endpoint = EndpointHealth()
    await break_together(endpoint)
    await endpoint.admit()
    async with asyncio.timeout(0.5):
        await endpoint.admit()


async def test_what_breaks_again_soon_after_it_was_confirmed_is_not_well() -> None:
    endpoint = EndpointHealth()
    await break_together(endpoint)
    loop = asyncio.get_running_loop()
    for wait in TRY_S:
        endpoint.connected(endpoint._round)
        assert endpoint.wait_s == 0.0
        endpoint.broke(loop.time())
        assert wait * 0.9 < endpoint.wait_s <= wait * (1 + JITTER)


async def test_a_session_that_was_asked_for_before_that_is_no_sign_that_it_is_well() -> None:
    endpoint = EndpointHealth()
    await break_together(endpoint)
    tickets = [await endpoint.admit(), endpoint._round]
    endpoint.connected(tickets[0])
    endpoint.broke(asyncio.get_running_loop().time())
    endpoint.connected(tickets[1])
    assert endpoint.wait_s > 0.0


async def test_after_that_the_others_see_first_whether_a_session_lasts() -> None:
    endpoint = EndpointHealth()
    await break_together(endpoint)
    loop = asyncio.get_running_loop()
    endpoint.connected(endpoint._round)
    endpoint.broke(loop.time())
    waiting = [asyncio.create_task(endpoint.admit()) for _ in range(20)]
    await asyncio.sleep(0.01)
    endpoint.connected(endpoint._round)
    await asyncio.sleep(TRY_S[0] - 0.05)
    assert not any(task.done() for task in waiting)
    async with asyncio.timeout(SPREAD_S + 0.5):
        await asyncio.gather(*waiting)


async def test_those_who_were_set_free_wait_again_if_it_breaks_meanwhile() -> None:
    endpoint = EndpointHealth()
    await break_together(endpoint)
    await endpoint.admit()
    waiting = [asyncio.create_task(endpoint.admit()) for _ in range(20)]
    await asyncio.sleep(0.01)
    endpoint.connected(endpoint._round)
    await asyncio.sleep(0)
    endpoint.broke(asyncio.get_running_loop().time())
    endpoint._next_at += 60.0
    await asyncio.sleep(SPREAD_S + 0.1)
    assert not any(task.done() for task in waiting)
    for task in waiting:
        task.cancel()


async def test_what_was_well_for_a_while_begins_with_the_first_wait_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(health, "STABLE_S", 0.05)
    endpoint = EndpointHealth()
    for _ in range(3):
        endpoint.failed(endpoint._round)
    endpoint.connected(endpoint._round)
    await asyncio.sleep(0.06)
    endpoint.failed(endpoint._round)
    assert endpoint.wait_s <= TRY_S[0] * (1 + JITTER)


async def test_calls_that_have_another_model_leave_when_the_try_fails_and_not_in_one_instant() -> (
    None
):
    endpoint = EndpointHealth()
    await break_together(endpoint)
    loop = asyncio.get_running_loop()
    ticket = await endpoint.admit(0.0)
    left: list[float] = []

    async def call() -> None:
        with pytest.raises(EndpointDown):
            await endpoint.admit(0.0)
        left.append(loop.time())

    calls = [asyncio.create_task(call()) for _ in range(20)]
    await asyncio.sleep(0.01)
    endpoint.failed(ticket, after_s=9.0)
    async with asyncio.timeout(SPREAD_S + 0.5):
        await asyncio.gather(*calls)
    assert max(left) - min(left) > SPREAD_S / 2


async def test_a_call_that_cannot_wait_so_long_is_told_at_once() -> None:
    endpoint = EndpointHealth()
    endpoint.failed(await endpoint.admit(), after_s=9.0)
    with pytest.raises(EndpointDown) as down:
        await endpoint.admit(3.0)
    assert down.value.wait_s > 8.0

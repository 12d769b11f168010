"""What the operator wants of the process, and what happens to its calls then."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from esl_controller.server.shutdown import HAND_OVER_S, Shutdown


class Calls:
    """Calls that drain, or can be handed over, when somebody says so."""

    def __init__(self) -> None:
        self.calls: dict[str, object] = {"a": object()}
        self.done: list[tuple[str, float]] = []
        self.drained = asyncio.Event()
        self.handed_over = asyncio.Event()

    async def drain(self, limit_s: float) -> None:
        self.done.append(("drain", limit_s))
        await self.drained.wait()

    async def stop(self, patience_s: float) -> None:
        self.done.append(("stop", patience_s))
        await self.handed_over.wait()


def obeying(shutdown: Shutdown, calls: Calls) -> asyncio.Task[None]:
    return asyncio.create_task(shutdown.carry_out(cast(Any, calls)))


async def turn() -> None:
    """Let everybody who can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


async def test_a_signal_hands_the_calls_over_and_another_one_does_not_wait() -> None:
    shutdown, calls = Shutdown(), Calls()
    task = obeying(shutdown, calls)
    await turn()
    assert calls.done == []
    shutdown.stop()
    await turn()
    assert calls.done == [("stop", HAND_OVER_S)]
    assert not task.done()
    shutdown.stop()
    await asyncio.wait_for(task, 1)


async def test_a_drain_waits_for_the_calls_and_then_stops() -> None:
    shutdown, calls = Shutdown(), Calls()
    task = obeying(shutdown, calls)
    assert shutdown.drain(60.0)
    await turn()
    assert calls.done == [("drain", 60.0)]
    calls.drained.set()
    await turn()
    assert calls.done == [("drain", 60.0), ("stop", HAND_OVER_S)]
    calls.handed_over.set()
    await asyncio.wait_for(task, 1)


async def test_a_signal_ends_a_drain() -> None:
    shutdown, calls = Shutdown(), Calls()
    task = obeying(shutdown, calls)
    shutdown.drain(60.0)
    await turn()
    shutdown.stop()
    await turn()
    assert [what for what, _ in calls.done] == ["drain", "stop"]
    calls.handed_over.set()
    await asyncio.wait_for(task, 1)


async def test_who_stops_does_not_drain_any_more() -> None:
    shutdown = Shutdown()
    shutdown.stop()
    assert not shutdown.drain(60.0)
    again = Shutdown()
    assert again.drain(60.0)
    assert not again.drain(60.0)


async def test_a_bug_in_stopping_is_not_hidden() -> None:
    class Broken(Calls):
        async def stop(self, patience_s: float) -> None:
            raise RuntimeError("bug")

    shutdown = Shutdown()
    shutdown.stop()
    with pytest.raises(RuntimeError, match="bug"):
        await asyncio.wait_for(shutdown.carry_out(cast(Any, Broken())), 1)


async def test_any_number_of_signals_is_no_mistake() -> None:
    shutdown = Shutdown()
    for _ in range(20):
        shutdown.stop()

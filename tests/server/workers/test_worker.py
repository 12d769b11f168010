"""A worker's standard input."""

from __future__ import annotations

import asyncio
import math
import os
import sys
from collections.abc import Iterator

import pytest

from esl_controller.server.workers.worker import BEGIN, drain_line, to_supervisor
from tests.waiting import until


@pytest.fixture
def supervisor(monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """The other end of standard input; to be closed by the test."""
    read, write = os.pipe()
    with os.fdopen(read) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        yield write


async def test_it_waits_for_its_turn(supervisor: int) -> None:
    async with to_supervisor() as line:
        turn = asyncio.create_task(line.turn())
        await asyncio.sleep(0.05)
        assert not turn.done()
        os.write(supervisor, BEGIN)
        assert await turn
    os.close(supervisor)


@pytest.mark.parametrize("said", [b"", b"beg", b"what?\n"])
async def test_its_turn_never_comes(supervisor: int, said: bytes) -> None:
    async with to_supervisor() as line:
        os.write(supervisor, said)
        os.close(supervisor)
        assert not await line.turn()


async def test_it_learns_of_a_drain_and_that_the_supervisor_is_gone(supervisor: int) -> None:
    gone, limits = asyncio.Event(), list[float]()
    async with to_supervisor() as line:
        os.write(supervisor, BEGIN)
        assert await line.turn()
        watching = asyncio.create_task(line.watch(limits.append, gone.set))
        for limit in (600.0, math.inf):
            os.write(supervisor, drain_line(limit))
        await until(lambda: limits == [600.0, math.inf])
        assert not gone.is_set()
        os.close(supervisor)
        await asyncio.wait_for(gone.wait(), 5)
        await watching

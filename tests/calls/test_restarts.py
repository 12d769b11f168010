"""One call that outlives many controllers: nothing grows, nothing is lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path

import pytest

from benchmarks.processes import Footprint
from esl_controller.store.postgresql import CONNECTIONS
from tests import postgres
from tests.calls.rig import words_of
from tests.calls.test_two_controllers import Pair, pair

RESTARTS = int(os.environ.get("RESTARTS", "4"))  # how often the call loses its controller
WAYS = (signal.SIGKILL, signal.SIGTERM)
MORE_MB = 4.0  # two processes that do the same differ by 1
MORE_FILES = 4  # connections to the database are made when they are needed


@pytest.fixture
def database(postgresql: postgres.Server) -> Iterator[postgres.Database]:
    made = postgres.Database(postgresql)
    yield made
    made.drop()


def history(of: Pair) -> list[tuple[str, str]]:
    """What the last session of the model was told of what had been said."""
    events = of.model.sessions[-1].record.client_events
    items = [e["item"] for e in events if e["type"] == "conversation.item.create"]
    return [(item["role"], item["content"][0]["text"]) for item in items]


async def test_a_call_outlives_its_controllers_and_nothing_grows(
    database: postgres.Database, tmp_path: Path
) -> None:
    footprints: list[Footprint] = []
    async with pair(database, tmp_path) as of:
        call = await of.switch.call()
        await of.greeted(call)
        for number, how in enumerate(islice(cycle(WAYS), RESTARTS)):
            lost, has = number % 2, (number + 1) % 2
            await of.end(lost, how)
            await of.record(call, lambda stored: len(stored.notes) > number)  # noqa: B023
            footprints.append(Footprint.of(of.controllers[has].process.pid))
            await of.start(lost)
            assert await of.calls(has) == 1
        await of.turn(call)
        assert history(of) == [("assistant", words_of("caller_interrupts"))]
        call.hangup()
        stored = await of.record(call, lambda stored: stored.outcome)
        connections = database.sql(
            f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{database.name}'"
            " AND application_name = 'esl-controller'"
        )
    assert [turn.who for turn in stored.turns] == ["agent", "caller", "agent"]
    assert len(stored.notes) == RESTARTS
    first, last = footprints[0], footprints[-1]
    assert last.memory_mb < first.memory_mb + MORE_MB
    assert last.files <= first.files + MORE_FILES
    assert last.threads <= first.threads
    assert int(connections) <= 2 * CONNECTIONS, "those of the lost ones are left"

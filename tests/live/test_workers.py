"""Workers at a real FreeSWITCH: one is killed, all are replaced, and the callers go on."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from esl_controller.call.instructions import CONTINUE
from esl_controller.simulator.model import ModelStandIn
from tests.live.conftest import Figures
from tests.live.freeswitch import FreeSwitch
from tests.live.processes import Serving, serving
from tests.live.rig import Phone, dialled, environment, until
from tests.live.test_restart import asked, history
from tests.server.workers.test_supervisor import workers_of

CALLS = 4
AGAIN_MS = 2000  # killed to heard again
ON_THE_WAY_S = 0.15  # of what was sent, in the caller's jitter buffer too


class Team:
    """Two workers, their callers and the model."""

    def __init__(self, controller: Serving, model: ModelStandIn, phones: list[Phone]) -> None:
        self.controller = controller
        self.model = model
        self.phones = phones

    async def all(self, does: str, *how: str) -> list[float]:
        """Every caller says or waits for something, at once."""
        each = (getattr(phone, does)(*how) for phone in self.phones)
        return list[float](await asyncio.gather(*each))

    async def workers(self) -> dict[str, int]:
        """Which worker has a call, by the calls' UUIDs."""
        calls = (await self.controller.get("/calls"))["calls"]
        return {call["call_uuid"]: call["worker"] for call in calls}

    def told(self, event: str) -> int:
        """How often the log has it."""
        return sum(line["event"] == event for line in self.controller.lines)

    def took(self) -> list[int]:
        """The workers that took calls up again."""
        again = [line for line in self.controller.lines if line["event"] == "the call goes on here"]
        return [line["worker"] for line in again]


@pytest.fixture
async def team(switch: FreeSwitch, tmp_path: Path) -> AsyncIterator[Team]:
    async with ModelStandIn() as model, AsyncExitStack() as stack:
        store = f"sqlite:///{tmp_path}/calls.db"
        settings = environment(switch, model.base_url, STORE_URL=store)
        controller = await stack.enter_async_context(serving(settings, "--workers", "2"))
        of = Team(controller, model, [])
        await until(lambda: of.told("a spare is ready") == 1, 40)
        for _ in range(CALLS):
            of.phones.append(await stack.enter_async_context(dialled(switch)))
        await until(lambda: sum(bool(each.record.spoken) for each in model.sessions) == CALLS, 15)
        await of.all("hears_speech")
        yield of
        assert not any(phone.leg.ended.done() for phone in of.phones)


async def test_a_worker_that_is_killed_loses_no_call(team: Team, figures: Figures) -> None:
    """In the middle of the greeting."""
    workers = await team.workers()
    assert len(workers) == CALLS
    lost = max(workers.values(), key=list(workers.values()).count)
    count = list(workers.values()).count(lost)
    os.kill(workers_of(team.controller.process.pid)[lost], signal.SIGKILL)
    killed = time.monotonic()
    await until(lambda: len(team.model.sessions) == CALLS + count, 15)
    await until(lambda: all(asked(team.model, CALLS + n) for n in range(count)), 15)
    greeted = [history(team.model, CALLS + n) for n in range(count)]
    assert all(asked(team.model, CALLS + n)[0] == CONTINUE for n in range(count) if greeted[n])
    await team.all("hears_silence")
    # The greeting of the others goes on; who was with the killed one waits longest.
    again = [min(at for at in p.loud if at > killed + ON_THE_WAY_S) for p in team.phones]
    waited = sorted((at - killed) * 1000 for at in again)[-count:]
    figures["a worker killed to heard again, ms"] += waited
    assert max(waited) <= AGAIN_MS
    assert lost not in team.took()
    assert len(team.took()) == count, "the others' calls stay where they are"
    await team.all("says", "caller")
    await team.all("hears_speech")


async def test_all_are_replaced_and_nobody_hears_it(team: Team) -> None:
    await team.all("hears_silence")
    before, pid = await team.workers(), team.controller.process.pid
    old = set(workers_of(pid).values())
    assert len(old) == 3
    team.controller.process.send_signal(signal.SIGHUP)
    await until(lambda: not old & set(workers_of(pid).values()), 90)
    await until(lambda: team.told("a spare is ready") >= 2, 40)
    assert before.keys() == (await team.workers()).keys()
    assert len(team.took()) >= CALLS
    await team.all("says", "caller")
    await team.all("hears_speech")
    await team.all("hears_silence")
    assert [line for line in team.controller.lines if line["level"] != "info"] == []

"""A controller that is stopped or killed in the middle of a call, and the one that comes after it.

The controllers are processes, as in operation; switch and model stand in.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from esl_controller.call.instructions import CONTINUE
from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction, Ladder, SwitchStandIn
from esl_controller.simulator.freeswitch.dialplan import voice_extension
from esl_controller.simulator.model import ModelStandIn, ScriptedCall
from esl_controller.store import reading
from esl_controller.store.records import StoredCall
from tests.calls.rig import asked, greeted, rig, words, words_of
from tests.live.freeswitch import free_port
from tests.live.processes import Serving, serving
from tests.waiting import until

LADDER = Ladder(tries=600, wait=0.1)


@dataclass
class Shop:
    """A switch and a model; ``controller`` starts a process that listens beside the others."""

    switch: SwitchStandIn
    model: ModelStandIn
    environment: dict[str, str]
    stack: AsyncExitStack

    async def controller(self) -> Serving:
        """One that is ready."""
        return await self.stack.enter_async_context(serving(self.environment))

    async def killed(self, controller: Serving, call: CallStandIn) -> Serving:
        """Kill it; the one that comes after it."""
        variables = self.switch.sessions[call.uuid].channel.variables
        controller.kill()
        variables["controller_lost_at"] = str(round(time.time() * 1e6))  # as the dialplan does
        await controller.process.wait()
        return await self.controller()

    async def record(
        self, call: CallStandIn, complete: Callable[[StoredCall], object]
    ) -> StoredCall:
        """What is written down of the call, once it is ``complete``."""
        async with (
            asyncio.timeout(10),
            reading(self.environment["ESL_CONTROLLER_STORE_URL"]) as reader,
        ):
            while True:
                stored = await reader.call(call.uuid)
                if stored is not None and complete(stored):
                    return stored
                await asyncio.sleep(0.05)

    async def greeted(self, call: CallStandIn) -> None:
        """Wait until the greeting has been heard, and is written: who goes on knows of its end."""
        await greeted(call)
        await self.record(call, lambda stored: stored.turns and stored.turns[0].ended_at)

    async def session(self, number: int) -> dict[str, Any]:
        """What a session of the model was told to be."""
        update = await asked(self.model.sessions[number].record, "session.update")
        session: dict[str, Any] = update["session"]
        return session

    def told(self, session: int) -> list[dict[str, Any]]:
        """The items that a session of the model was given at its start."""
        events = self.model.sessions[session].record.client_events
        return [e["item"] for e in events if e["type"] == "conversation.item.create"]

    def asked(self, session: int) -> list[str]:
        """What a session was asked to say."""
        events = self.model.sessions[session].record.client_events
        replies = [e.get("response", {}) for e in events if e["type"] == "response.create"]
        return [reply.get("instructions", "") for reply in replies]


@asynccontextmanager
async def shop(folder: Path, secretary: str = "", **model: Any) -> AsyncIterator[Shop]:
    port = free_port()
    (folder / "default.toml").write_text(secretary or "name = 'Ana'")
    async with AsyncExitStack() as stack:
        standin = await stack.enter_async_context(ModelStandIn(**{"think_ms": 20, **model}))
        switch = await stack.enter_async_context(SwitchStandIn(f"127.0.0.1:{port}", ladder=LADDER))
        environment = {
            "OPENAI_API_KEY": "sk-test",
            "ESL_CONTROLLER_WEBHOOK_ALLOW": "127.0.0.0/8",
            "ESL_CONTROLLER_AGENT_BASE_URL": standin.base_url,
            "ESL_CONTROLLER_ESL_PORT": str(port),
            "ESL_CONTROLLER_ESL_SHARE": "true",
            "ESL_CONTROLLER_MEDIA_PORT": "0",
            "ESL_CONTROLLER_ESL_MAX_LOAD": "0",
            "ESL_CONTROLLER_STORE_URL": f"sqlite:///{folder}/calls.db",
            "ESL_CONTROLLER_SECRETARIES_FOLDER": str(folder),
            "ESL_CONTROLLER_LOG_FORMAT": "json",
        }
        yield Shop(switch, standin, environment, stack)


def sessions(of: Shop, count: int) -> bool:
    """Whether the model has had so many."""
    return len(of.model.sessions) == count


def longest_pause_ms(call: CallStandIn) -> float:
    """The longest time in which the caller got no frame."""
    return float(np.diff([at for at, _ in call.heard]).max()) * 1000


async def test_a_stopped_controller_hands_its_call_over_at_rest(tmp_path: Path) -> None:
    async with shop(tmp_path, greeting="caller_interrupts") as of:
        async with AsyncExitStack() as first:
            of.stack, later = first, of.stack
            await of.controller()
            call = await of.switch.call()
            await greeted(call)
            of.stack = later
            await of.controller()
        await until(lambda: len(of.model.sessions) == 2)
        assert longest_pause_ms(call) < 1000
        await call.lane_open()
        await until(lambda: bool(of.told(1)))
        (greeting,) = of.told(1)
        assert greeting["role"] == "assistant"
        assert greeting["content"][0]["text"] == words_of("caller_interrupts")
        await asyncio.sleep(0.5)
        assert of.asked(1) == [], "nothing is to be said"
        call.speak(*words())
        await until(lambda: bool(of.asked(1)))
        await greeted(call)
        call.hangup()
        await call.ended()
        stored = await of.record(call, lambda stored: stored.outcome)
    assert [turn.who for turn in stored.turns] == ["agent", "caller", "agent"]
    assert stored.outcome == "completed"
    assert "the call went on" in stored.notes[0].text


async def test_a_killed_controller_is_followed_by_one_that_knows_what_was_said(
    tmp_path: Path,
) -> None:
    async with shop(tmp_path, greeting="greeting") as of:
        first = await of.controller()
        call = await of.switch.call()
        await of.record(call, lambda stored: stored.turns)  # "one moment" may come before
        await asyncio.sleep(1.5)
        await of.killed(first, call)
        await until(lambda: len(of.model.sessions) == 2, 10)
        await until(lambda: bool(of.asked(1)), 10)
        (greeting,) = of.told(1)
        said = greeting["content"][0]["text"]
        assert said
        assert words_of("greeting").startswith(said)
        (asked,) = of.asked(1)
        assert asked.endswith(f"# Do this now\n{CONTINUE}"), "no second greeting"
        await greeted(call)
        call.hangup()
        await call.ended()
        stored = await of.record(call, lambda stored: stored.outcome)
    assert stored.turns[0].interrupted_ms
    assert [turn.who for turn in stored.turns] == ["agent", "agent"]


SLOW = """
name = "Ana"
[tools]
enabled = ["collect_digits"]
[[tools.webhooks]]
name = "book"
description = "Books."
url = "http://127.0.0.1:PORT/book"
timeout_s = 60
parameters = { type = "object" }
"""


async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A server that does not answer."""
    await reader.read()
    writer.close()


async def test_a_call_that_waits_for_large_function_calls_goes_on(tmp_path: Path) -> None:
    large = [f'{{"wish": "{number}{"x" * 15_000}"}}' for number in range(2)]
    script = tuple(ScriptedCall(1, "book", arguments) for arguments in large)
    async with AsyncExitStack() as stack:
        mute = await stack.enter_async_context(await asyncio.start_server(hold, "127.0.0.1", 0))
        secretary = SLOW.replace("PORT", str(mute.sockets[0].getsockname()[1]))
        of = await stack.enter_async_context(
            shop(tmp_path, secretary, greeting="caller_interrupts", script=script)
        )
        first = await of.controller()
        call = await of.switch.call()
        await of.greeted(call)
        call.speak(*words())
        with contextlib.closing(sqlite3.connect(tmp_path / "calls.db")) as record:
            memory = "SELECT length(memory) FROM calls"
            await until(lambda: record.execute(memory).fetchone()[0] > 30_000, 20)
        await of.killed(first, call)
        await until(lambda: len(of.model.sessions) == 2, 10)
        await until(lambda: str(of.told(1)).count("interrupted by a fault") == 2, 10)
        await until(lambda: bool(of.asked(1)), 10)
        assert of.asked(1)[0] == "", "no second greeting"
        call.hangup()
        await call.ended()


@pytest.mark.parametrize("edit", ["name = 'Bia'\nvoice = 'cedar'", "name = ", None])
async def test_a_call_goes_on_with_the_secretary_that_it_began_with(
    tmp_path: Path, edit: str | None
) -> None:
    ana = "name = 'Ana'\nvoice = 'verse'"
    async with shop(tmp_path, ana, greeting="caller_interrupts") as of:
        first = await of.controller()
        call = await of.switch.call()
        await of.greeted(call)
        if edit is None:
            (tmp_path / "default.toml").unlink()
        else:
            (tmp_path / "default.toml").write_text(edit)
        await of.killed(first, call)
        await until(lambda: len(of.model.sessions) == 2, 10)
        assert (await of.session(1))["audio"]["output"]["voice"] == "verse"
        assert "Your name is Ana." in (await of.session(1))["instructions"]
        another = await of.switch.call()
        await until(lambda: len(of.model.sessions) == 3, 10)
        # A file that cannot be read costs its callers nothing: they get its last good version.
        told = (await of.session(2))["audio"]["output"]["voice"]
        assert told == {"name = ": "verse", None: "marin"}.get(edit, "cedar")
        for each in (call, another):
            each.hangup()
            await each.ended()


async def test_a_farewell_that_was_cut_is_finished_and_the_call_ends(tmp_path: Path) -> None:
    script = (ScriptedCall(1, "end_call"),)
    async with shop(tmp_path, greeting="caller_interrupts", script=script) as of:
        first = await of.controller()
        call = await of.switch.call()
        await greeted(call)
        call.speak(*words("caller"))
        await until(lambda: len(of.asked(0)) == 3, 15)  # greeting, answer, farewell
        await call.wait_heard()
        await asyncio.sleep(1.2)
        await of.killed(first, call)
        assert await call.ended(20) == "NORMAL_CLEARING"
        assert len(of.asked(1)) == 1
        assert (await of.record(call, lambda stored: stored.outcome)).outcome == "completed"


async def test_a_controller_that_drains_lets_its_call_finish(tmp_path: Path) -> None:
    async with shop(tmp_path, greeting="caller_interrupts") as of:
        controller = await of.controller()
        call = await of.switch.call()
        await greeted(call)
        drain = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "esl_controller", "drain"),
            env={**os.environ, "ESL_CONTROLLER_WEB_PORT": str(controller.web_port)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert drain.stdout is not None
        assert await drain.stdout.readline() == b"no more calls are taken; 1 live\n"
        assert not await controller.ready()
        call.speak(*words())
        await until(lambda: len(of.asked(0)) == 2)
        await greeted(call)
        assert controller.process.returncode is None
        call.hangup()
        assert await asyncio.wait_for(controller.process.wait(), 10) == 0
        assert b"the controller has ended" in await drain.stdout.read()
        assert await drain.wait() == 0
    assert len(of.model.sessions) == 1


async def test_who_lost_a_call_to_another_controller_steps_back_and_keeps_quiet() -> None:
    """Its connection stays: to close it would throw the call out of where it is by now."""
    async with rig(model={"greeting": "caller_interrupts"}) as of:
        call = await of.switch.call()
        await greeted(call)
        store = of.controller.store
        assert store is not None
        assert (await store.claim(call.uuid, "somebody else")).epoch == 1
        await of.no_lanes(5)
        assert call.cause == ""
        assert of.switch.sessions[call.uuid].controlled, "the connection was closed"
        assert (await of.record(call.uuid))["outcome"] == ""
        call.hangup()
        await call.ended()


@pytest.mark.parametrize("times", [3])
async def test_one_call_outlives_many_controllers(tmp_path: Path, times: int) -> None:
    async with shop(tmp_path, greeting="caller_interrupts") as of:
        controller = await of.controller()
        call = await of.switch.call()
        await of.greeted(call)
        for number in range(times):
            controller = await of.killed(controller, call)
            await until(partial(sessions, of, number + 2), 10)
            await of.record(call, lambda stored, number=number: len(stored.notes) == number + 1)  # type: ignore[misc]
        call.speak(*words())
        await until(lambda: bool(of.asked(times)), 10)
        await greeted(call)
        call.hangup()
        await call.ended()
        stored = await of.record(call, lambda stored: stored.outcome)
    assert [turn.who for turn in stored.turns] == ["agent", "caller", "agent"]
    assert len(stored.notes) == times


@pytest.mark.parametrize("goes_on", [False, True])
async def test_our_recording_stops_where_no_controller_is_left(
    tmp_path: Path, goes_on: bool
) -> None:
    """What the caller says to whoever the dialplan sends them to is none of it; an operator's own
    recording goes on, and so does ours when the caller comes back to us."""
    folder = tmp_path / "all calls"
    folder.mkdir()
    secretary = f"[recording]\nstereo = true\nafter_transfer = {str(goes_on).lower()}\n"
    async with shop(tmp_path, secretary, greeting="caller_interrupts") as of:
        of.environment["ESL_CONTROLLER_FREESWITCH_RECORDINGS"] = str(folder)
        gone = DialplanAction("set", "gone=yes"), DialplanAction("sleep", "20000")
        ladder = Ladder(tries=2, wait=0.1, fallback=gone)
        target = f"127.0.0.1:{of.environment['ESL_CONTROLLER_ESL_PORT']}"
        of.switch.extensions["8000"] = voice_extension(target, ladder)
        first = await of.controller()
        call = await of.switch.call()
        await of.greeted(call)
        session = of.switch.sessions[call.uuid]
        recordings = session.channel.recordings
        ours, operators = f"{folder}/{call.uuid}.wav", f"{tmp_path}/operators.wav"
        assert of.switch.record(session.channel, operators)
        first.kill()
        await first.process.wait()
        await until(lambda: call.variables.get("gone") == "yes")
        assert set(recordings) == ({operators, ours} if goes_on else {operators})
        await of.controller()
        session.transfer("8000", "XML", "default")
        await until(lambda: sessions(of, 2) and ours in recordings, 20)
        assert operators in recordings
        call.hangup()
        await of.record(call, lambda stored: stored.outcome == "completed")

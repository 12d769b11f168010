"""``esl-controller serve`` as an operator runs it: a process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from esl_controller.call.records import Claimed
from esl_controller.config.loading import load
from esl_controller.freeswitch.channel import Channel
from esl_controller.server.app import Controller
from esl_controller.server.heartbeats import Heartbeats
from esl_controller.server.shutdown import Shutdown
from esl_controller.session.session import _began_with
from esl_controller.simulator.freeswitch import SwitchStandIn
from tests.calls.rig import greeted, rig
from tests.lateness import LoopWatch
from tests.live.freeswitch import free_port
from tests.live.processes import run
from tests.secretaries.rig import secretary
from tests.waiting import until

ANY_PORT = {
    **{f"ESL_CONTROLLER_{part}_PORT": "0" for part in ("ESL", "MEDIA", "WEB")},
    "ESL_CONTROLLER_ESL_MAX_LOAD": "0",  # whatever else this machine has to do
}


class Served:
    """The process, and what it logs (JSON, because it is no terminal)."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.lines: list[dict[str, Any]] = []

    async def line(self, event: str, timeout: float = 20.0) -> dict[str, Any]:
        """The next line that says ``event``."""
        assert self.process.stderr is not None
        async with asyncio.timeout(timeout):
            while text := await self.process.stderr.readline():
                self.lines.append(json.loads(text))
                if self.lines[-1]["event"] == event:
                    return self.lines[-1]
        raise AssertionError(f"ended without {event!r}: {self.lines}")


@contextlib.asynccontextmanager
async def serving(**environment: str) -> AsyncIterator[Served]:
    folder = tempfile.mkdtemp()
    command = (sys.executable, "-m", "esl_controller", "serve")
    environment = {"ESL_CONTROLLER_STORE_URL": f"sqlite:///{folder}/calls.db", **environment}
    process = await asyncio.create_subprocess_exec(
        *command, env={**os.environ, **ANY_PORT, **environment}, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield Served(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()
        shutil.rmtree(folder)


async def test_it_takes_a_call_and_gives_it_back_when_it_is_stopped() -> None:
    async with serving(ESL_CONTROLLER_LOG_LEVEL="debug") as served:
        ready = await served.line("ready")
        assert ready["agent"] == "standin"
        assert any("it is no AI" in line["event"] for line in served.lines)
        async with SwitchStandIn(ready["esl"]) as switch:
            call = await switch.call()
            await greeted(call)
            served.process.send_signal(signal.SIGTERM)
            over = await served.line("call over")
            assert over["cause"] == "handed back to the switch"
            assert over["call_uuid"] == call.uuid
            assert call.cause == "", "it was hung up"
            async with asyncio.timeout(5):
                assert await served.process.wait() == 0
        token = [line for line in served.lines if "STREAM_EXTRA_HEADERS" in str(line)]
        assert token, "the test looks at what it should look at"
        assert not [line for line in token if "Bearer" in str(line) and "***" not in str(line)]


@pytest.mark.parametrize("section", ["esl", "media", "web"])
async def test_a_port_that_is_taken_is_one_line(section: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        async with serving(**{f"ESL_CONTROLLER_{section.upper()}_PORT": port}) as served:
            assert served.process.stderr is not None
            async with asyncio.timeout(20):
                said = (await served.process.stderr.read()).decode()
            assert await served.process.wait() == 1
            assert "Traceback" not in said
            assert f"cannot listen at 127.0.0.1:{port}, [{section}] host and port: " in said


async def test_of_several_on_one_machine_each_can_be_drained_by_its_name(tmp_path: Path) -> None:
    port = free_port()
    shop = {
        "ESL_CONTROLLER_ESL_SHARE": "true",
        "ESL_CONTROLLER_WEB_PORT": str(port),
        "ESL_CONTROLLER_STORE_URL": f"sqlite:///{tmp_path}/calls.db",
    }
    async with serving(**shop) as first, serving(**shop) as second:
        urls = {(await first.line("ready"))["web"], (await second.line("ready"))["web"]}
        assert f"http://127.0.0.1:{port}" in urls
        assert len(urls) == 2
        names = [f"{socket.gethostname()}:{one.process.pid}" for one in (first, second)]
        async with asyncio.timeout(20):
            while len(told := await controllers(shop)) < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        assert sorted(names) == told
        status, _, err = await run("drain", "nobody:1", environment=shop)
        assert (status, err.count(names[0]), err.count("\n")) == (2, 1, 1)
        status, out, _ = await run("drain", names[1], environment=shop)
        assert (status, out) == (0, "no more calls are taken; 0 live\nthe controller has ended\n")
        async with asyncio.timeout(10):
            assert await second.process.wait() == 0
        assert await controllers(shop) == [names[0]]


async def test_a_bug_in_work_that_all_calls_need_hands_them_over_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bug = asyncio.Event()

    async def broken(_: Heartbeats) -> None:
        await bug.wait()
        raise RuntimeError("no such column")

    monkeypatch.setattr(Heartbeats, "run", broken)
    with capture_logs() as logs:
        async with rig() as of:
            controller = of.controller
            await greeted(await of.switch.call())
            assert controller.calls.ready
            bug.set()
            await until(lambda: controller.failure is not None)
            assert not controller.calls.ready
            async with asyncio.timeout(10):
                await controller.shutdown.carry_out(controller.calls)
            assert not controller.calls.calls
    (error,) = [line for line in logs if line["log_level"] == "error"]
    assert "hands over" in error["event"]


async def test_its_exit_status_tells_the_supervisor(tmp_path: Path) -> None:
    code = """
import sys
from esl_controller.cli.main import main
from esl_controller.server.heartbeats import Heartbeats
async def broken(self):
    raise RuntimeError("no such column")
Heartbeats.run = broken
sys.exit(main(["serve"]))
"""
    environment = {
        **os.environ,
        **ANY_PORT,
        "ESL_CONTROLLER_STORE_URL": f"sqlite:///{tmp_path}/c.db",
    }
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code), env=environment, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(60):
        _, err = await process.communicate()
    *_, last = err.decode().splitlines()
    assert (process.returncode, last) == (
        1,
        "esl-controller: ended by a bug: RuntimeError('no such column')",
    )


async def test_in_containers_of_one_host_no_two_have_the_same_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def names() -> list[str]:
        return [Controller(load(None, {}).settings, Shutdown()).name for _ in range(2)]

    monkeypatch.setattr(socket, "gethostname", lambda: "pbx1")
    monkeypatch.setattr(os, "getpid", lambda: 4711)
    assert names() == ["pbx1:4711"] * 2
    monkeypatch.setattr(os, "getpid", lambda: 1)
    first, second = names()
    assert first != second
    assert first.startswith("pbx1:1-")


async def test_calls_that_come_back_with_a_large_secretary_hold_nobody_up(
    monkeypatch: pytest.MonkeyPatch, watched_loop: LoopWatch
) -> None:
    """Its file has changed, so it is read from what is stored; its checks take seconds."""
    properties = {f"p{number}": {"pattern": "(?i)[a-z]{80}"} for number in range(460)}
    webhook = {"description": "?", "url": "https://clinic.example/", "name": "f"}
    parameters = {"type": "object", "properties": properties}
    stored = json.loads(
        secretary(tools={"webhooks": [{**webhook, "parameters": parameters}]}).as_json
    )
    [one] = stored["tools"]["webhooks"]
    stored["tools"]["webhooks"] = [{**one, "name": f"f{number}"} for number in range(12)]
    controller = Controller(load(None, {}).settings, Shutdown())
    uuid = "8f045ec3-c1d9-47ba-8369-9955c1dfc4f2"
    channel = Channel.parse({"Unique-ID": uuid, "Answer-State": "answered"})
    texts = {name: json.dumps({**stored, "name": name}) for name in "ab"}

    async def claim(channel: Channel) -> Claimed:
        return Claimed(1, "", secretary=texts[channel.caller_name])

    async def comes(name: str) -> None:
        claimed = await controller._claim(replace(channel, caller_name=name))
        assert _began_with(claimed, secretary(name="now")).name == name

    monkeypatch.setattr(controller.records, "claim", claim)
    assert channel.answered
    async with watched_loop:
        await asyncio.gather(*map(comes, "aaaaaabbbb"))


async def controllers(shop: dict[str, str]) -> list[str]:
    """Their names, as `esl-controller calls` lists them."""
    _, out, _ = await run("calls", "--json", environment=shop)
    return [each["controller"] for each in json.loads(out or "{}").get("controllers", ())]

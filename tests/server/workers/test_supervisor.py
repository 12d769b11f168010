"""The supervisor over processes: small ones that do as workers do, and the real ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from esl_controller.config.loading import load
from esl_controller.server.workers import crew
from esl_controller.server.workers.supervisor import Supervisor
from esl_controller.simulator.freeswitch import SwitchStandIn
from tests.calls.rig import greeted
from tests.live.freeswitch import free_port
from tests.server.test_app import Served
from tests.waiting import until

# Imports nothing that takes time. The name of a file is its argument; in it each writes its PID.
WORKER = """
import os, select, signal, socket, sys
pids, mode, slot = sys.argv[1:]
there = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
def tell(text):
    there.sendto(text.encode(), os.environ["NOTIFY_SOCKET"])
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
signal.signal(signal.SIGUSR1, lambda *_: tell("STATUS=takes no more calls"))  # as by a drain
if mode == "unfit" or (mode == "soon unfit" and os.path.exists(pids + ".unfit")):
    sys.exit(3)
tell("STATUS=waits for its turn")
if os.read(0, 100) != b"begin\\n":
    sys.exit(0)
tell(f"READY=1\\nSTATUS=web at http://127.0.0.1:{1 + int(slot)}")
with open(pids, "a") as file:
    print(os.getpid(), file=file)
while not select.select([0], [], [], 0.1)[0]:
    tell("WATCHDOG=1")
with open(pids + ".told", "ab") as file:
    file.write(os.read(0, 100))
"""


class Team:
    """A supervisor of small processes."""

    def __init__(self, supervisor: Supervisor, pids: Path) -> None:
        self.supervisor = supervisor
        self.pids = pids
        self.running: asyncio.Task[int] = asyncio.create_task(supervisor.run())

    def begun(self) -> list[int]:
        """The processes that have begun, in their order."""
        return list(map(int, self.pids.read_text().split())) if self.pids.exists() else []

    def told(self) -> list[str]:
        """What those that have ended were told last."""
        told = Path(f"{self.pids}.told")
        return told.read_text().splitlines() if told.exists() else []

    def taking(self) -> int:
        return len(self.supervisor.web_ports())


@contextlib.asynccontextmanager
async def team(folder: Path, count: int, mode: str = "fit") -> AsyncIterator[Team]:
    script, pids = folder / "worker.py", folder / "pids"
    script.write_text(WORKER)
    ports = {"ESL_CONTROLLER_ESL_PORT": str(free_port()), "ESL_CONTROLLER_WEB_PORT": "0"}
    settings = load(None, ports).settings
    command = (sys.executable, "-S", str(script), str(pids), mode)
    of = Team(Supervisor(settings, count, command, os.environ), pids)
    try:
        yield of
    finally:
        of.supervisor.stop()
        async with asyncio.timeout(10):
            await of.running


async def test_they_come_and_they_go(tmp_path: Path) -> None:
    with capture_logs() as logs:
        async with team(tmp_path, 3) as of:
            await until(lambda: len(of.begun()) == 3)
            await until(lambda: any(line["event"] == "ready" for line in logs))
            of.supervisor.stop()
            async with asyncio.timeout(10):
                assert await of.running == 0
    assert not any(alive(pid) for pid in of.begun())
    assert not [line for line in logs if line["log_level"] == "warning"]


async def test_a_temporary_folder_with_a_long_path_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The path of a socket has 107 bytes at most."""
    long = tmp_path / ("x" * 100)
    long.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    with capture_logs() as logs:
        async with team(tmp_path, 1) as of:
            await until(lambda: of.taking() == 1)
    assert not [line for line in logs if line["log_level"] in ("warning", "error")]


async def test_one_that_dies_is_replaced_by_the_spare(tmp_path: Path) -> None:
    async with team(tmp_path, 2) as of:
        await until(lambda: of.taking() == 2)
        for _ in range(3):
            before = of.begun()
            os.kill(next(pid for pid in before if alive(pid)), signal.SIGKILL)
            await until(lambda: len(of.begun()) == len(before) + 1)  # noqa: B023
            await until(lambda: of.taking() == 2)


async def test_one_that_takes_no_more_calls_is_replaced_at_once(tmp_path: Path) -> None:
    """Told so by its own drain or by a signal, and not by us."""
    with capture_logs() as logs:
        async with team(tmp_path, 1) as of:
            await until(lambda: of.taking() == 1)
            (leaves,) = of.begun()
            os.kill(leaves, signal.SIGUSR1)
            await until(lambda: len(of.begun()) == 2)
            assert alive(leaves)
            os.kill(leaves, signal.SIGTERM)
            await until(lambda: of.taking() == 1)
    assert not [line for line in logs if line["log_level"] == "warning"]


async def test_a_drain_is_told_by_the_line_that_none_misses(tmp_path: Path) -> None:
    async with team(tmp_path, 2) as of:
        await until(lambda: of.taking() == 2)
        assert of.supervisor.drain(600.0)
        assert not of.supervisor.drain(600.0)
        await until(lambda: not any(alive(pid) for pid in of.begun()))
        async with asyncio.timeout(10):
            assert await of.running == 0
        assert of.told() == ["drain 600.0"] * 2


async def test_one_that_stands_still_is_killed_and_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with team(tmp_path, 1) as of:
        await until(lambda: of.taking() == 1)
        monkeypatch.setattr(crew, "SILENT_S", 1.0)
        (frozen,) = of.begun()
        os.kill(frozen, signal.SIGSTOP)
        await until(lambda: len(of.begun()) == 2, 10)
        assert not alive(frozen)


async def test_workers_that_stood_still_with_the_supervisor_are_not_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with team(tmp_path, 1) as of:
        await until(lambda: of.taking() == 1)
        monkeypatch.setattr(crew, "SILENT_S", 1.0)
        (frozen,) = of.begun()
        os.kill(frozen, signal.SIGSTOP)
        time.sleep(2.5)  # noqa: ASYNC251 (as if the whole machine stood still)
        os.kill(frozen, signal.SIGCONT)
        await asyncio.sleep(1.0)
        assert of.begun() == [frozen]
        assert alive(frozen)


async def test_one_that_is_stopped_while_it_is_being_started_ends(tmp_path: Path) -> None:
    async with team(tmp_path, 1) as of:
        while not of.supervisor._crew.workers:  # noqa: ASYNC110
            await asyncio.sleep(0)
        of.supervisor.stop()
        async with asyncio.timeout(5):
            assert await of.running == 0
    assert not any(alive(pid) for pid in of.begun())


async def test_settings_that_cannot_be_used_end_it_with_the_workers_status(tmp_path: Path) -> None:
    async with team(tmp_path, 2, "unfit") as of:
        async with asyncio.timeout(10):
            assert await of.running == 3
        assert of.begun() == []


async def test_all_are_renewed_and_none_is_missing_meanwhile(tmp_path: Path) -> None:
    async with team(tmp_path, 2) as of:
        await until(lambda: of.taking() == 2)
        before, fewest = of.begun(), 2
        of.supervisor.renew()
        while sum(map(alive, before)):
            fewest = min(fewest, of.taking())
            await asyncio.sleep(0.01)
        assert fewest == 2
        await until(lambda: len(of.begun()) == 4)


async def test_new_settings_that_cannot_be_used_leave_the_old_workers(tmp_path: Path) -> None:
    async with team(tmp_path, 2, "soon unfit") as of:
        await until(lambda: of.taking() == 2)
        (tmp_path / "pids.unfit").touch()
        with capture_logs() as logs:
            of.supervisor.renew()
            await until(lambda: any("ended by itself" in line["event"] for line in logs))
        assert all(map(alive, of.begun()))
        (tmp_path / "pids.unfit").unlink()
        of.supervisor.renew()
        await until(lambda: len(of.begun()) == 4, 10)


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        return state != "Z"
    return False


# --- the real ones --------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def serving(folder: Path, *arguments: str) -> AsyncIterator[tuple[Served, int]]:
    """``esl-controller serve`` with workers, and its Event Socket's port."""
    esl = free_port()
    environment = {
        **os.environ,
        "ESL_CONTROLLER_STORE_URL": f"sqlite:///{folder}/calls.db",
        "ESL_CONTROLLER_ESL_PORT": str(esl),
        "ESL_CONTROLLER_ESL_MAX_LOAD": "0",
        "ESL_CONTROLLER_MEDIA_PORT": str(free_port()),
        "ESL_CONTROLLER_WEB_PORT": str(free_port()),
    }
    command = (sys.executable, "-m", "esl_controller", "serve", *arguments)
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield Served(process), esl
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def line(served: Served, fits: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    assert served.process.stderr is not None
    async with asyncio.timeout(40):
        while text := await served.process.stderr.readline():
            if fits(told := json.loads(text)):
                return dict(told)
    raise AssertionError("it has ended")


def workers_of(pid: int) -> dict[int, int]:
    """The processes of its workers, by their slots."""
    commands: dict[int, list[str]] = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with contextlib.suppress(FileNotFoundError):  # it has ended meanwhile
            commands[int(child)] = Path(f"/proc/{child}/cmdline").read_text().split("\0")
    return {
        int(words[words.index("--worker") + 1]): pid
        for pid, words in commands.items()
        if "--worker" in words  # not yet in one that is just being started
    }


async def test_a_worker_that_is_killed_loses_no_call(tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "1") as (served, esl):
        await line(served, lambda told: told["event"] == "a spare is ready")
        async with SwitchStandIn(f"127.0.0.1:{esl}") as switch:
            calls = [await switch.call() for _ in range(3)]
            slots = {
                (await line(served, lambda told: told["event"] == "call"))["worker"] for _ in calls
            }
            await asyncio.gather(*map(greeted, calls))
            (slot,) = slots
            os.kill(workers_of(served.process.pid)[slot], signal.SIGKILL)
            for _ in calls:
                told = await line(served, lambda told: told["event"] == "the call goes on here")
                assert told["worker"] != slot
            killed = asyncio.get_running_loop().time()
            await asyncio.gather(
                *(call.wait_heard(lambda at, frame: at > killed, timeout=5) for call in calls)
            )
            assert [call.cause for call in calls] == ["", "", ""]
            served.process.send_signal(signal.SIGTERM)
            for _ in calls:
                over = await line(served, lambda told: told["event"] == "call over")
                assert over["cause"] == "handed back to the switch"
            async with asyncio.timeout(15):
                assert await served.process.wait() == 0


async def test_workers_whose_supervisor_is_killed_give_their_calls_back(tmp_path: Path) -> None:
    async with serving(tmp_path, "--workers", "1") as (served, esl):
        await line(served, lambda told: told["event"] == "ready" and "worker" not in told)
        async with SwitchStandIn(f"127.0.0.1:{esl}") as switch:
            call = await switch.call()
            await greeted(call)
            pids = workers_of(served.process.pid).values()
            served.process.kill()
            over = await line(served, lambda told: told["event"] == "call over")
            assert over["cause"] == "handed back to the switch"
            await until(lambda: not any(map(alive, pids)), 15)


async def test_settings_that_workers_cannot_share_are_one_line(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "esl_controller", "serve", "--workers", "2")
    process = await asyncio.create_subprocess_exec(
        *command,
        env={**os.environ, "ESL_CONTROLLER_ESL_PORT": "0"},
        stderr=asyncio.subprocess.PIPE,
        cwd=tmp_path,
    )
    _, said = await asyncio.wait_for(process.communicate(), 20)
    assert process.returncode == 2
    assert said.decode().splitlines()[-1] == (
        "esl-controller serve --workers: [esl] port: 0 cannot be shared by workers; name a port"
    )

"""The three processes: started, asked, measured and stopped; never anything that we did not start.

CPU and memory are what Linux says of the process, all its threads together: /proc/PID/stat and
/proc/PID/status.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self
from urllib.request import urlopen

from esl_controller.config import default_file

READY_S: Final = 20.0
STOP_S: Final = 10.0
_LINE: Final = 1 << 28  # bytes; the model stand-in tells all that it recorded in one line
_TICKS: Final = os.sysconf("SC_CLK_TCK")


class BenchError(Exception):
    """The measurement could not be made; the text says why."""


@asynccontextmanager
async def started(
    *command: str, environment: Mapping[str, str] | None = None, log: Path
) -> AsyncIterator[Process]:
    """Run `python -m COMMAND` until the block is left; its standard error goes to `log`.

    `environment` is put over ours, which has no settings of a controller of this machine. What
    does not end by SIGTERM within STOP_S is killed.
    """
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("ESL_CONTROLLER_")}
    settings = log.with_name("no-settings")
    settings.touch()
    inherited[default_file.VARIABLE] = str(settings)
    with log.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            *command,
            stdin=PIPE,
            stdout=PIPE,
            stderr=errors,
            env={**inherited, **(environment or {})},
            limit=_LINE,
        )
    try:
        yield process
    finally:
        await stop(process)


async def stop(process: Process) -> None:
    """SIGTERM, and SIGKILL if that does not help."""
    if process.returncode is None:
        process.terminate()
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


async def told(process: Process, log: Path, timeout: float) -> dict[str, Any]:
    """The next JSON line of a process. Raises BenchError, with the end of its log."""
    assert process.stdout is not None
    line = b""
    try:
        async with asyncio.timeout(timeout):
            line = await process.stdout.readline()
    except TimeoutError:
        pass
    if not line:
        raise BenchError(f"a process said nothing within {timeout:g} s. {tail(log)}")
    answer: dict[str, Any] = json.loads(line)
    return answer


def ask(process: Process, command: str) -> None:
    """Write a line to a process."""
    assert process.stdin is not None
    process.stdin.write(f"{command}\n".encode())


def tail(log: Path) -> str:
    """The last lines of a log, for an error message."""
    lines = log.read_text(errors="replace").splitlines()[-15:]
    return "\n".join(["Its log ends:", *lines])


async def ready(process: Process, log: Path, *, settled: bool = False) -> dict[str, str]:
    """The addresses in the controller's `ready` line, once /readyz says 200; with `settled`, once
    its first call is like any other, too. Raises BenchError."""
    try:
        async with asyncio.timeout(READY_S):
            found = await logged("ready", process, log)
            await asyncio.to_thread(fetch, f"{found['web']}/readyz")
            if settled:
                await logged("settled", process, log)
    except (TimeoutError, OSError) as error:
        raise BenchError(f"the controller is not ready: {error}. {tail(log)}") from None
    return found


async def logged(event: str, process: Process, log: Path) -> dict[str, str]:
    """The first line of its log that says ``event``. Raises BenchError if it ends before."""
    while (found := _line(event, log)) is None:
        if process.returncode is not None:
            raise BenchError(f"the controller ended. {tail(log)}")
        await asyncio.sleep(0.02)
    return found


def _line(event: str, log: Path) -> dict[str, str] | None:
    for line in log.read_text(errors="replace").splitlines():
        if f'"event": "{event}"' in line:
            found: dict[str, str] = json.loads(line)
            return found
    return None


def fetch(url: str) -> dict[str, Any]:
    """JSON over HTTP. Raises OSError, also for a status that is no success."""
    with urlopen(url, timeout=5) as reply:
        answer: dict[str, Any] = json.load(reply)
        return answer


class Footprint(NamedTuple):
    """What a process takes: resident memory in MB, open files, threads."""

    memory_mb: float
    files: int
    threads: int

    @classmethod
    def of(cls, pid: int) -> Self:
        """Right now."""
        process = Path("/proc", str(pid))
        status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
        files = len(list((process / "fd").iterdir()))
        return cls(int(status["VmRSS"].split()[0]) / 1024, files, int(status["Threads"]))


def cpu_s(pid: int) -> float:
    """User and system time of a process so far, in seconds (resolution 10 ms)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def busy_s() -> float:
    """What all processors together have worked so far, for whomever, in seconds."""
    fields = [int(field) for field in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    user, nice, system, _, _, irq, soft_irq, stolen = fields[:8]
    return (user + nice + system + irq + soft_irq + stolen) / _TICKS


def rss_mb(pid: int) -> float:
    """Resident memory of a process, in MB (10**6 bytes)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    return 0.0

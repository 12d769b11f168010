"""Our commands as the processes that an operator runs."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from esl_controller.diagnostics.place_call import read_wav
from media.frame import Samples
from tests.live.freeswitch import free_port
from tests.live.rig import until_async

READY_S = 20.0
STOP_S = 15.0


class Serving:
    """A running ``esl-controller serve``. ``lines``: its log so far, each a dict."""

    def __init__(self, process: asyncio.subprocess.Process, web_port: int) -> None:
        self.lines: list[dict[str, Any]] = []
        self.words: list[str] = []  # what is no line of the log
        self.process = process
        self.web_port = web_port
        self._url = f"http://127.0.0.1:{web_port}"

    async def get(self, path: str) -> Any:
        """What its web address says, as JSON. Raises URLError."""
        return await asyncio.to_thread(self._get, path)

    def _get(self, path: str) -> Any:
        with urlopen(self._url + path, timeout=2) as reply:
            return json.load(reply)

    async def ready(self) -> bool:
        """Whether it takes calls. Raises AssertionError if it has ended."""
        assert self.process.returncode is None, self.words
        try:
            return bool((await self.get("/readyz"))["ready"])
        except (URLError, OSError):
            return False

    async def read(self) -> None:
        """Collect the log until the process ends."""
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            try:
                self.lines.append(json.loads(line))
            except ValueError:
                self.words.append(line.decode())

    def kill(self) -> None:
        """SIGKILL: no word, no clean-up."""
        self.process.kill()

    def freeze(self) -> None:
        """SIGSTOP: its connections stay open, and nothing comes of them."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT: it goes on."""
        self.process.send_signal(signal.SIGCONT)


@contextlib.asynccontextmanager
async def serving(environment: Mapping[str, str], *options: str) -> AsyncIterator[Serving]:
    """Run ``esl-controller serve`` with these settings; ready when this returns."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        *command("serve", *options),
        env={**os.environ, **environment, "ESL_CONTROLLER_WEB_PORT": str(port)},
        stderr=asyncio.subprocess.PIPE,
    )
    of = Serving(process, port)
    reader = asyncio.create_task(of.read())
    try:
        await until_async(of.ready, READY_S)
        yield of
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            raise AssertionError("the controller did not stop") from None
        finally:
            await reader


async def supervise(environment: Mapping[str, str], ready: asyncio.Queue[Serving]) -> None:
    """Start a controller, and another one whenever it has ended, until cancelled; each is put into
    ``ready`` when it is."""
    while True:
        async with serving(environment) as controller:
            ready.put_nowait(controller)
            await controller.process.wait()


class ModelProcess:
    """A model stand-in in a process of its own; after it has ended, what its sessions heard."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self.heard: list[Samples] = []
        """The caller's audio of each session, as it came, at 8 kHz (PCMU callers)."""


@contextlib.asynccontextmanager
async def model_process(directory: Path) -> AsyncIterator[ModelProcess]:
    """Run the model stand-in; it writes into ``directory`` what it heard."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "esl_controller.simulator.model", "--save", str(directory)),
        stdout=asyncio.subprocess.PIPE,
        limit=1 << 26,
    )
    assert process.stdout is not None
    of = ModelProcess(str(json.loads(await process.stdout.readline())["base_url"]))
    try:
        yield of
    finally:
        process.terminate()
        told, _ = await process.communicate()
    for session in json.loads(told)["sessions"]:
        of.heard.append(read_wav(Path(session["heard"]))[0])


async def run(*words: str, environment: Mapping[str, str]) -> tuple[int, str, str]:
    """Run a command to its end: exit status, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *command(*words),
        env={**os.environ, **environment},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, error = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()


def command(*words: str) -> tuple[str, ...]:
    """The arguments that run one of our commands."""
    return (sys.executable, "-m", "esl_controller", *words)

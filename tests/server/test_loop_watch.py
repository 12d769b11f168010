"""A loop that was held up takes no call at first; one that runs feeds the watchdog."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest
from structlog.testing import capture_logs

from esl_controller.server import loop_watch as module
from tests.calls.rig import greeted, rig
from tests.waiting import until


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_S", 0.2)
    monkeypatch.setattr(module, "LATE_S", 0.4)


async def test_what_waits_to_be_accepted_after_a_stall_is_refused(quick: None) -> None:
    async with rig() as of:
        live = await of.switch.call()
        await greeted(live)
        port = of.controller.calls.port
        with capture_logs() as logs:
            waiting = socket.create_connection(("127.0.0.1", port))  # the kernel accepts it
            time.sleep(1.0)  # noqa: ASYNC251 as if the process was frozen
            await until(lambda: not of.controller.calls.ready)
            with waiting:
                waiting.settimeout(2)
                assert await asyncio.to_thread(closed, waiting)
            await until(lambda: of.controller.calls.ready)
        assert any(line["event"] == "the event loop was held up" for line in logs)
        assert of.controller.calls.taken == 1
        assert live.cause == "", "a call that is there stays"
        call = await of.switch.call()
        await greeted(call)


def closed(connection: socket.socket) -> bool:
    """Whether the peer has closed it, without a word."""
    try:
        return connection.recv(100) == b""
    except ConnectionResetError:
        return True


async def test_a_loop_that_runs_feeds_the_watchdog(
    quick: None, monkeypatch: pytest.MonkeyPatch, socket_folder: Path
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", str(socket_folder / "notify"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as there:
        there.bind(str(socket_folder / "notify"))
        there.setblocking(False)
        async with rig():
            async with asyncio.timeout(5):
                told = await asyncio.get_running_loop().sock_recv(there, 100)
    assert told == b"WATCHDOG=1"


async def test_readyz_says_so_while_the_door_is_shut() -> None:
    async with rig() as of:
        of.controller.calls.door.shut("held up")

        def status() -> int:
            try:
                return int(urlopen(f"{of.controller.web_url}/readyz", timeout=2).status)
            except HTTPError as error:
                return error.code

        assert await asyncio.to_thread(status) == 503
        of.controller.calls.door.lift("held up")
        await until(lambda: of.controller.calls.ready)
        assert await asyncio.to_thread(status) == 200

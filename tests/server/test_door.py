"""The port through which calls come is shut while none could be taken, and opened again."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from structlog.testing import capture_logs

from esl_controller.config.loading import load
from esl_controller.server import door as module
from esl_controller.server.door import Door
from tests.waiting import until


@asynccontextmanager
async def a_door(
    awaits: Callable[[], bool] = lambda: False,
) -> AsyncIterator[tuple[Door, list[asyncio.StreamWriter]]]:
    """One that is open and kept, and the connections that came through it."""
    came: list[asyncio.StreamWriter] = []
    settings = load(None, {"ESL_CONTROLLER_ESL_PORT": "0"}).settings.esl
    door = Door(settings, lambda _, writer: came.append(writer), awaits)
    await door.open()
    keeping = asyncio.create_task(door.keep())
    try:
        yield door, came
    finally:
        door.close()
        keeping.cancel()
        await asyncio.gather(keeping, return_exceptions=True)
        for writer in came:
            writer.close()
        await door.wait_closed()


async def dial(door: Door) -> bool:
    """Whether a connection is accepted."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
    except ConnectionRefusedError:
        return False
    writer.close()
    with contextlib.suppress(ConnectionError):
        await writer.wait_closed()
    return True


async def test_it_is_open_while_no_reason_keeps_it_shut() -> None:
    async with a_door() as (door, came):
        assert await dial(door)
        port = door.port
        door.shut("full")
        door.shut("held up")
        assert not door.is_open
        assert not await dial(door)
        door.lift("full")
        await asyncio.sleep(0.05)
        assert not await dial(door), "there is another reason"
        door.lift("held up")
        await until(lambda: door.is_open)
        assert door.port == port
        assert await dial(door)
        await until(lambda: len(came) == 2)


async def test_it_is_told_once_that_it_is_shut_and_open() -> None:
    async with a_door() as (door, _):
        with capture_logs() as logs:
            for _ in range(3):
                door.shut("full")
            door.lift("full")
            door.lift("full")
            await until(lambda: door.is_open)
        assert [(line["event"], line.get("reason")) for line in logs] == [
            ("no more calls are taken for now", "full"),
            ("new calls are taken again", None),
        ]


async def test_the_port_stays_open_for_calls_of_ours_that_are_about_to_come_back() -> None:
    about_to = [True]
    async with a_door(lambda: bool(about_to)) as (door, came):
        door.shut("full", to_all=False)
        assert not door.is_open, "to new ones"
        assert door.why_shut == "full"
        assert not door.shut_to_all
        assert await dial(door)
        await until(lambda: len(came) == 1)
        about_to.clear()
        door.mind()
        assert not await dial(door)
        about_to.append(True)
        door.mind()
        await until(lambda: door._listens)
        assert await dial(door)
        door.shut("held up")
        assert door.shut_to_all
        assert not await dial(door)


async def test_it_is_not_opened_if_a_reason_comes_or_the_end_meanwhile() -> None:
    async with a_door() as (door, _):
        door.shut("full")
        door.lift("full")
        door.shut("full")
        await asyncio.sleep(0.05)
        assert not door.is_open
        door.close()
        door.lift("full")
        await asyncio.sleep(0.05)
        assert not door.is_open


async def test_a_port_that_somebody_else_took_is_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "REOPEN_S", 0.02)
    async with a_door() as (door, _):
        door.shut("full")
        with capture_logs() as logs, socket.create_server(("127.0.0.1", door.port)):
            door.lift("full")
            await until(lambda: any("opened again" in line["event"] for line in logs))
            assert not door.is_open
        await until(lambda: door.is_open)

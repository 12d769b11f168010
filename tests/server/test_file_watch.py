"""Calls are refused before the process runs out of files."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from esl_controller.server import file_watch as module
from esl_controller.server.file_watch import FEW_LEFT, RESERVE, FileWatch, raise_limit
from tests.calls.rig import greeted, rig
from tests.waiting import until


@contextmanager
def limited(soft: int) -> Iterator[None]:
    """Allow this process no more files than ``soft``."""
    before, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before, hard))


def newest() -> int:
    """The lowest number that is free."""
    file = os.open(os.devnull, os.O_RDONLY)
    os.close(file)
    return file


async def test_no_call_is_taken_while_few_files_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "WATCH_S", 0.1)
    with capture_logs() as log:
        async with rig() as of:
            await greeted(live := await of.switch.call())
            with limited(newest() + RESERVE):
                await until(lambda: not of.controller.calls.ready)
                assert of.controller.calls.door.why_shut == FEW_LEFT
                assert live.cause == "", "a call that is there stays"
            await until(lambda: of.controller.calls.ready)
            live.hangup()
    told = [line["reason"] for line in log if line["event"] == "no more calls are taken for now"]
    assert told == [FEW_LEFT]


async def test_a_burst_of_calls_does_not_wait_for_the_watch() -> None:
    async with rig() as of:
        with limited(newest() + RESERVE):
            of.controller.calls.checks[-1]()
            assert not of.controller.calls.ready
        of.controller.calls.checks[-1]()
        await until(lambda: of.controller.calls.ready)


async def test_a_system_that_does_not_tell_the_limit_shuts_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forbidden(*_: object) -> None:
        raise PermissionError

    monkeypatch.setattr(resource, "getrlimit", forbidden)
    raise_limit()
    async with rig() as of:
        FileWatch(of.controller.calls.door).check()
        assert of.controller.calls.ready


def test_as_many_files_as_the_system_allows() -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with limited(min(256, hard)):
        raise_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)

"""What tests of several packages need."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog
from _pytest.runner import runtestprotocol

from esl_controller.config import default_file
from esl_controller.fusionpbx import config as fusionpbx_config
from tests import postgres
from tests.lateness import LoopWatch
from tests.machine import Waits

QUIET = ("websockets", "aiosqlite")  # libraries whose level is ours to set
LIVE = Path(__file__).parent / "live"
AGAIN = "run again"
_WAITS = pytest.StashKey[Waits]()


@pytest.fixture(autouse=True)
def waits(request: pytest.FixtureRequest) -> Iterator[None]:
    """How long the threads of a test had to wait for a CPU."""
    with Waits() as measured:
        request.node.stash[_WAITS] = measured
        yield


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item, nextitem: pytest.Item | None) -> bool:
    """A test that fails while the machine is too busy to tell is run again: a fault of ours fails
    it each time. Which ones were is told at the end."""
    tries = 1 if os.environ.get("TESTS_STRICT") else 3 if item.path.is_relative_to(LIVE) else 2
    item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
    for left in reversed(range(tries)):
        reports = runtestprotocol(item, log=False, nextitem=nextitem)
        waits = item.stash.get(_WAITS, None)
        failed = [report for report in reports if report.failed]
        if not (left and failed and waits and waits.busy):
            break
        item.user_properties.append((AGAIN, f"{waits}; then: {_reason(failed[0])}"))
        item._initrequest()  # type: ignore[attr-defined]  # as pytest-rerunfailures does
    for report in reports:
        item.ihook.pytest_runtest_logreport(report=report)
    item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
    return True


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    reports = [each for group in terminalreporter.stats.values() for each in group]
    for report in reports:
        if getattr(report, "when", "") == "call":
            for _, why in (each for each in report.user_properties if each[0] == AGAIN):
                terminalreporter.write_line(f"{AGAIN}: {report.nodeid}: {why}")


def _reason(report: pytest.TestReport) -> str:
    """Where a test failed, and with what."""
    crash = getattr(report.longrepr, "reprcrash", None)
    text = f"{crash.path}:{crash.lineno}: {crash.message}" if crash else report.longreprtext
    return text.partition("\n")[0]


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Server]:
    """A real PostgreSQL, started for the first test that asks for it."""
    with postgres.serving() as server:
        yield server


@pytest.fixture(scope="session", autouse=True)
def no_settings_of_this_machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Neither a test nor a process that it starts finds the settings of a controller that the
    machine has, and no test its FusionPBX."""
    empty = tmp_path_factory.mktemp("no-settings") / "esl-controller.toml"
    empty.touch()
    with pytest.MonkeyPatch.context() as patch:
        for name in os.environ:
            if name.startswith(("ESL_CONTROLLER_", "OPENAI_")) or name == "FREESWITCH_PASSWORD":
                patch.delenv(name)
        patch.setenv(default_file.VARIABLE, str(empty))
        patch.setattr(fusionpbx_config, "DEFAULT_FILES", ())
        yield


@pytest.fixture
def socket_folder() -> Iterator[Path]:
    """For UNIX sockets: their paths have 107 bytes at most, which ``tmp_path`` may exceed."""
    with tempfile.TemporaryDirectory(dir="/tmp") as folder:
        yield Path(folder)


@pytest.fixture
def watched_loop() -> LoopWatch:
    """``async with watched_loop:`` asserts that nothing within holds the event loop."""
    return LoopWatch()


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A test that sets up the process's logging, as each command does, leaves nothing behind."""
    named = [logging.getLogger(name) for name in (None, "esl_controller", "media", *QUIET)]
    handlers, levels = list(named[0].handlers), [logger.level for logger in named]
    config = structlog.get_config()
    yield
    named[0].handlers[:] = handlers
    for logger, level in zip(named, levels, strict=True):
        logger.setLevel(level)
    structlog.configure(**config)
    structlog.contextvars.clear_contextvars()

"""What tests of several packages need."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from esl_controller.cli import argument_groups
from esl_controller.fusionpbx import config as fusionpbx_config
from tests import postgres
from tests.lateness import LoopWatch

QUIET = ("websockets", "aiosqlite")  # libraries whose level is ours to set


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Server]:
    """A real PostgreSQL, started for the first test that asks for it."""
    with postgres.serving() as server:
        yield server


@pytest.fixture(autouse=True)
def no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test must not find the controller or the FusionPBX that the machine has."""
    own = [file for file in argument_groups.DEFAULT_FILES if not file.is_absolute()]
    monkeypatch.setattr(argument_groups, "DEFAULT_FILES", tuple(own))
    monkeypatch.setattr(fusionpbx_config, "DEFAULT_FILES", ())


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

"""What tests of several packages need."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog

from tests import postgres
from tests.lateness import LoopWatch

QUIET = ("websockets", "aiosqlite")  # libraries whose level is ours to set


@pytest.fixture(scope="session")
def postgresql() -> Iterator[postgres.Server]:
    """A real PostgreSQL, started for the first test that asks for it."""
    with postgres.serving() as server:
        yield server


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

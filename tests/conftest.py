"""What tests of several packages need."""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import structlog

from esl_controller.config import default_file
from esl_controller.fusionpbx import config as fusionpbx_config
from tests import postgres
from tests.lateness import LoopWatch

QUIET = ("websockets", "aiosqlite")  # libraries whose level is ours to set


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

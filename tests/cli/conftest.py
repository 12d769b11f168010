"""A command line without the settings of this machine."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from esl_controller.cli import argument_groups
from esl_controller.server import logs


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test, and no log set up for the whole process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(argument_groups, "DEFAULT_FILES", (Path("esl-controller.toml"),))
    monkeypatch.setattr(logs, "configure", lambda *args, **kwargs: None)
    for name in os.environ:
        if name.startswith("ESL_CONTROLLER_") or name in ("OPENAI_API_KEY", "FREESWITCH_PASSWORD"):
            monkeypatch.delenv(name)

"""A command line without the settings of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from esl_controller.config import default_file
from esl_controller.server import logs


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings but those of the test, and no log set up for the whole process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(default_file, "USUAL_FILES", (Path("esl-controller.toml"),))
    monkeypatch.setattr(logs, "configure", lambda *args, **kwargs: None)
    monkeypatch.delenv(default_file.VARIABLE)

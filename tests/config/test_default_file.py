"""Which file holds the settings when the command line names none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from esl_controller.config import default_file as module
from esl_controller.config.default_file import VARIABLE, default_file


@pytest.fixture
def usual(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The usual places; nothing is there."""
    places = [tmp_path / "first.toml", tmp_path / "second.toml"]
    monkeypatch.setattr(module, "USUAL_FILES", tuple(places))
    return places


def test_no_file_is_needed(usual: list[Path]) -> None:
    assert default_file({}) is None


def test_the_first_usual_file_that_is_there(usual: list[Path]) -> None:
    usual[1].touch()
    assert default_file({}) == usual[1]
    usual[0].touch()
    assert default_file({VARIABLE: " "}) == usual[0]  # an empty variable says nothing


def test_the_variable_goes_before_the_usual_files(usual: list[Path]) -> None:
    usual[0].touch()
    assert default_file({VARIABLE: "/elsewhere/it.toml"}) == Path("/elsewhere/it.toml")


def test_a_command_reads_the_file_that_the_variable_names(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text("[web]\nport = 8099\n")
    command = [sys.executable, "-m", "esl_controller", "settings"]
    shown = subprocess.run(
        command, env={**os.environ, VARIABLE: str(file)}, capture_output=True, text=True
    )
    assert f"port = 8099  # {file}:2\n" in shown.stdout
    assert "Ignored" not in shown.stdout, "the variable is no setting, and known all the same"
    file.unlink()
    gone = subprocess.run(
        command, env={**os.environ, VARIABLE: str(file)}, capture_output=True, text=True
    )
    assert gone.returncode == 2
    assert str(file) in gone.stderr

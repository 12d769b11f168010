"""The command, as it is typed."""

from __future__ import annotations

import io
import json
import os
import sys
from pathlib import Path

import pytest

from esl_controller.cli.main import main
from esl_controller.diagnostics.explain import command

LINE = "2026-11-22 10:00:00.0 [ERR] switch_core_session.c:1 Invalid Application audio_stream\n"


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "freeswitch.log"
    path.write_text(LINE + "something else\n")
    return path


def test_it_says_what_is_wrong_and_what_to_do(
    log: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["explain", str(log)]) == 0
    out = capsys.readouterr().out
    assert out.startswith("invalid application: audio_stream\n")
    assert "seen   once, 2026-11-22 10:00:00" in out
    assert "esl-controller fusionpbx install" in " ".join(out.split())
    assert out.endswith("1 known in 2 lines\n")


def test_json(log: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "--json", str(log), str(log)]) == 0
    read = json.loads(capsys.readouterr().out)
    assert read["lines"] == 4
    assert [(of["fault"], of["lines"]) for of in read["found"]] == [("invalid application", 2)]


def test_standard_input(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(LINE.encode())))
    assert main(["explain"]) == 0
    assert "invalid application" in capsys.readouterr().out


def test_without_a_pipe_the_log_at_its_usual_place_is_read(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from cron, whose standard input is /dev/null."""
    monkeypatch.setattr(command, "USUAL", (log, log))
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr(sys, "stdin", nothing)
        assert main(["explain"]) == 0
    assert "1 known in 2 lines" in capsys.readouterr().out


def test_nothing_known(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log"
    path.write_text("all is well\n")
    assert main(["explain", str(path)]) == 0
    assert capsys.readouterr().out == "nothing known in 1 lines\n"


def test_what_a_log_holds_is_masked_and_escaped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "log"
    path.write_text(LINE.replace("audio_stream", "\x1b]0;x\x07Authorization: Bearer abc.def"))
    assert main(["explain", str(path)]) == 0
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "abc.def" not in out


def test_a_time_is_escaped_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Our own form of a line can stand in what a caller's telephone calls itself."""
    path = tmp_path / "log"
    line = {"timestamp": "\x1b]0;x\x07 Authorization: Bearer abc.def", "event": "a call was lost"}
    path.write_text(f"2026-11-22 10:00:00.0 [INFO] x.c:1 {json.dumps(line)}\n")
    for form in ([], ["--json"]):
        assert main(["explain", *form, str(path)]) == 0
        out = capsys.readouterr().out
        assert "lost call" in out
        assert "\x1b" not in out.encode().decode("unicode_escape" if form else "utf-8")
        assert "abc.def" not in out


@pytest.mark.parametrize(("arguments", "status"), [([], 2), (["-"], 1)])
def test_a_closed_input(
    arguments: list[str],
    status: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    monkeypatch.setattr(command, "USUAL", (tmp_path / "a", tmp_path / "b"))
    assert main(["explain", *arguments]) == status
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("arguments", [["--follow", "-"], ["--follow", "a", "b"]])
def test_one_file_is_followed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", *arguments]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_no_log(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["explain", str(tmp_path / "none")]) == 1
    assert "none" in capsys.readouterr().err


def test_following(
    log: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def follow(path: Path) -> list[str]:
        assert path == log
        return [LINE, LINE, LINE.replace("audio_stream", "lua")]

    monkeypatch.setattr(command, "follow", follow)
    assert main(["explain", "--follow", str(log)]) == 0
    out = capsys.readouterr().out
    assert out.count("means") == 2

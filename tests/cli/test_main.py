"""The command line: what it takes, what it says about mistakes, and what it does not import."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
from argparse import Namespace
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from esl_controller.cli.main import main
from esl_controller.config.loading import describe, example, load
from esl_controller.config.setting_types import secret_variable
from esl_controller.config.settings import Settings, schema
from esl_controller.freeswitch.dialplan import EXAMPLE_DOMAIN_UUID, EXAMPLE_SECRETARY_UUID, render
from esl_controller.server import logs

UUIDS = ["--domain-uuid", EXAMPLE_DOMAIN_UUID, "--secretary-uuid", EXAMPLE_SECRETARY_UUID]


def stand_in(monkeypatch: pytest.MonkeyPatch, name: str, **members: Any) -> None:
    """Put a module in the place of one that a command imports when it runs."""
    module = ModuleType(f"esl_controller.{name}")
    vars(module).update(members)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    # Where it was imported before, its package has it too.
    package, _, last = module.__name__.rpartition(".")
    monkeypatch.setattr(import_module(package), last, module, raising=False)


@pytest.mark.parametrize(
    "argv",
    [["--help"], ["--version"], ["serve", "--help"], ["settings"], ["dialplan", *UUIDS]],
)
def test_quick_commands_import_nothing_heavy(argv: list[str]) -> None:
    code = f"""
import sys
from esl_controller.cli.main import main
try:
    main({argv!r})
finally:
    heavy = {{"aiohttp", "openai", "genesis", "numpy", "structlog"}} & set(sys.modules)
    assert not heavy, heavy
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_settings_prints_what_is_in_effect(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    path = tmp_path / "other.toml"
    path.write_text("[esl]\nport = 9000\n")
    monkeypatch.setenv("ESL_CONTROLLER_WEB_PORT", "9001")
    assert main(["settings", "--config", str(path)]) == 0
    assert capsys.readouterr().out == describe(load(path, os.environ))


def test_settings_takes_the_file_in_this_directory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "esl-controller.toml").write_text("[esl]\nport = 9000\n")
    assert main(["settings"]) == 0
    assert "port = 9000  # esl-controller.toml:2\n" in capsys.readouterr().out


def test_settings_prints_an_example(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--example"]) == 0
    assert capsys.readouterr().out == example()


@pytest.mark.parametrize("command", [["serve"], ["call", "8000"], ["calls"], ["settings"]])
def test_mistakes_in_the_settings_are_a_line_each(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, command: list[str]
) -> None:
    (tmp_path / "esl-controller.toml").write_text("[media]\nmix = 'both'\nrat = '16k'\n")
    assert main(command) == 2
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith('esl-controller.toml:2: [media] mix: "both" is not a mix type')
    assert second == "esl-controller.toml:3: [media] rat: unknown; did you mean rate?"


def test_a_settings_file_that_is_not_there_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["settings", "--config", "no.toml"]) == 2
    assert capsys.readouterr().err == "no.toml: No such file or directory\n"


@pytest.mark.parametrize("command", ["settings", f"explain {__file__}"])
def test_a_reader_that_has_enough_is_no_error(command: str) -> None:
    done = subprocess.run(
        f"{sys.executable} -m esl_controller {command} | true",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


def test_dialplan_prints_the_extension(capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["dialplan", *UUIDS, "--number", "8001", "--socket", "a:1|b:2", "--name", "n"]
    argv += ["--context", "c", "--fallback", "answer", "--fallback", "transfer op XML default"]
    assert main(argv) == 0
    assert capsys.readouterr().out == render(
        "8001",
        domain_uuid=EXAMPLE_DOMAIN_UUID,
        secretary_uuid=EXAMPLE_SECRETARY_UUID,
        socket="a:1|b:2",
        name="n",
        context="c",
        fallback=[("answer", ""), ("transfer", "op XML default")],
    )


def test_dialplan_dials_the_port_of_the_settings(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ESL_CONTROLLER_ESL_PORT", "8062")
    assert main(["dialplan", *UUIDS]) == 0
    assert 'application="socket" data="127.0.0.1:8062 async full"' in capsys.readouterr().out


def test_dialplan_tells_every_wrong_value(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dialplan", *UUIDS, "--number", "(", "--socket", "a", "--name", " "]) == 2
    out, err = capsys.readouterr()
    assert (out, len(err.splitlines())) == ("", 3)


def test_serve_gets_the_settings_and_the_log_masks_their_secrets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    configured: dict[str, Any] = {}
    monkeypatch.setattr(logs, "configure", lambda *args, **kwargs: configured.update(kwargs))
    stand_in(monkeypatch, "server.app", serve=lambda loaded: loaded.settings.esl.port - 9000)
    monkeypatch.setenv("ESL_CONTROLLER_ESL_PORT", "9003")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-0123456789")
    monkeypatch.setenv("ESL_CONTROLLER_WEBHOOK_SECRET", "hook-0123")
    assert main(["serve"]) == 3
    assert configured["secrets"] == ["sk-0123456789", "ClueCon", "hook-0123", ""]


def test_every_secret_setting_is_masked_in_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    configured: dict[str, Any] = {}
    monkeypatch.setattr(logs, "configure", lambda *args, **kwargs: configured.update(kwargs))
    stand_in(monkeypatch, "server.app", serve=lambda loaded: 0)
    given = []
    for section, key, field in schema():
        if variable := secret_variable(field):
            given.append(f"the-{section}-{key}")
            monkeypatch.setenv(variable, given[-1])
    assert main(["serve"]) == 0
    assert configured["secrets"] == given


def test_no_garbage_is_looked_for_while_serve_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in(monkeypatch, "server.app", serve=lambda loaded: int(gc.isenabled()))
    assert main(["serve"]) == 0
    assert gc.isenabled()


def test_demo_gets_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Namespace] = []

    def run(args: Namespace) -> int:
        seen.append(args)
        return 0

    stand_in(monkeypatch, "demo", run=run)
    argv = ["demo", "--language", "pt-BR", "--codec", "L16", "--playback", "file"]
    assert main([*argv, "--seconds", "20", "--output", "x"]) == 0
    [args] = seen
    assert (args.language, args.codec, args.playback) == ("pt-BR", "L16", "file")
    assert (args.seconds, args.output) == (20.0, Path("x"))


class CallFailed(Exception):
    pass


def test_call_gets_a_plan(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    calls: list[tuple[Settings, SimpleNamespace]] = []

    def call(settings: Settings, plan: SimpleNamespace) -> int:
        calls.append((settings, plan))
        return 1

    stand_in(
        monkeypatch,
        "diagnostics.place_call",
        CallFailed=CallFailed,
        CallPlan=SimpleNamespace,
        read_wav=lambda path: (path.name, 8000),
        bundled_words=lambda language: (language, 24000),
        call=call,
    )
    (tmp_path / "hello.wav").touch()
    argv = ["call", "8000", "--caller-audio", "hello.wav", "--record", "out.wav"]
    assert main([*argv, "--context", "tenant.example.net", "--timeout", "9.5", *UUIDS]) == 1
    assert main(["call", "+5511"]) == 1
    (settings, full), (_, plain) = calls
    assert settings == Settings()
    assert vars(full) == {
        "number": "8000",
        "context": "tenant.example.net",
        "audio": "hello.wav",
        "audio_rate": 8000,
        "record": Path("out.wav"),
        "timeout_s": 9.5,
        "variables": {
            "domain_uuid": EXAMPLE_DOMAIN_UUID,
            "secretary_uuid": EXAMPLE_SECRETARY_UUID,
        },
    }
    assert (plain.number, plain.audio, plain.record, plain.variables) == ("+5511", "en", None, {})


def test_call_refuses_a_file_that_is_no_sound(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_wav(path: Path) -> None:
        raise CallFailed(f"cannot read {path}")

    stand_in(monkeypatch, "diagnostics.place_call", CallFailed=CallFailed, read_wav=read_wav)
    (tmp_path / "hello.wav").touch()
    assert main(["call", "8000", "--caller-audio", "hello.wav"]) == 2
    assert capsys.readouterr().err == "cannot read hello.wav\n"


def test_calls_gets_its_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str | None, bool]] = []

    def list_calls(_loaded: object, *, url: str | None, as_json: bool) -> int:
        seen.append((url, as_json))
        return 0

    stand_in(monkeypatch, "server.web.client", list_calls=list_calls)
    assert main(["calls", "--json", "--url", "https://h/x"]) == 0
    assert main(["calls"]) == 0
    assert seen == [("https://h/x", True), (None, False)]


def test_calls_show_and_recent_get_their_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[str | int, bool]] = []

    def note(_settings: object, which: str | int, *, as_json: bool) -> int:
        seen.append((which, as_json))
        return 1

    stand_in(monkeypatch, "store.show", show_call=note, show_recent=note)
    uuid = EXAMPLE_DOMAIN_UUID
    assert main(["calls", "show", uuid.upper(), "--json"]) == 1
    assert main(["calls", "--json", "show", uuid]) == 1
    assert main(["calls", "show", uuid, "--config", "no.toml"]) == 2
    assert main(["calls", "recent"]) == 1
    assert main(["calls", "recent", "--limit", "5", "--json"]) == 1
    assert seen == [(uuid.upper(), True), (uuid, True), (20, False), (5, True)]


@pytest.mark.parametrize(
    ("error", "status", "line"),
    [
        (OSError(98, "Address already in use"), 1, "esl-controller: [Errno 98] Address already in"),
        (KeyboardInterrupt(), 130, ""),
    ],
)
def test_what_ends_a_command_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    status: int,
    line: str,
) -> None:
    def serve(loaded: object) -> int:
        raise error

    stand_in(monkeypatch, "server.app", serve=serve)
    assert main(["serve"]) == status
    assert capsys.readouterr().err.startswith(line)


def test_the_log_says_which_settings_are_read_and_which_variable_is_none() -> None:
    code = """
import sys, types, esl_controller.server
app = esl_controller.server.app = sys.modules["esl_controller.server.app"] = types.ModuleType("app")
app.serve = lambda loaded: 0
from esl_controller.cli.main import main
sys.exit(main(["serve"]))
"""
    Path("esl-controller.toml").touch()
    environ = os.environ | {"ESL_CONTROLLER_SERVICE_PORT": "1"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, env=environ
    )
    first, second = map(json.loads, done.stderr.splitlines())
    assert done.returncode == 0
    assert (first["event"], first["file"]) == ("settings read", "esl-controller.toml")
    assert second["variable"] == "ESL_CONTROLLER_SERVICE_PORT"

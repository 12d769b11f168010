"""The command line as it is parsed: its help, and what it says about mistakes."""

from __future__ import annotations

import argparse
import re

import pytest

from esl_controller.cli import arguments, main

COMMANDS = sorted(main._COMMANDS)


def fails(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a mistake in `argv` gives."""
    with pytest.raises(SystemExit) as caught:
        arguments.parser().parse_args(argv)
    assert caught.value.code == 2
    [line] = capsys.readouterr().err.splitlines()
    return line


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        arguments.parser().parse_args([command, "--help"])
    assert caught.value.code == 0
    assert f"examples:\n  esl-controller {command}" in capsys.readouterr().out


def test_the_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        arguments.parser().parse_args(["--help"])
    out = capsys.readouterr().out
    assert all(re.search(rf"\n    {command}\s", out) for command in COMMANDS)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        ([], "required: COMMAND"),
        (["server"], "invalid choice: 'server'"),
        (["serve", "--port", "1"], "unrecognized arguments: --port 1"),
        (["call"], "required: NUMBER"),
        (["call", "80 00"], "'80 00' is not made of letters, digits"),
        (["call", "${x}"], "'${x}' is not made of letters, digits"),
        (["call", "8000", "--timeout", "0"], "0 is not from 1 to 3600 seconds"),
        (["call", "8000", "--timeout", "nan"], "'nan' is not a number of seconds"),
        (["call", "8000", "--caller-audio", "no.wav"], "there is no file 'no.wav'"),
        (["call", "8000", "--record", "no/x.wav"], "cannot write to 'no/x.wav'"),
        (["call", "8000", "--domain-uuid", "x"], "'x' is not a UUID"),
        (["calls", "--url", "10.0.0.5:8023"], "not an http:// or https:// URL"),
        (["calls", "show", "x"], "'x' is not a UUID"),
        (["calls", "show"], "required: UUID"),
        (["calls", "recent", "--limit", "0"], "'0' is not a number from 1 to 9999"),
        (["calls", "last"], "invalid choice: 'last'"),
        (["demo", "--codec", "G729"], "invalid choice: 'G729'"),
        (["dialplan"], "required: --domain-uuid, --secretary-uuid"),
    ],
)
def test_a_mistake_is_one_line_that_says_where_help_is(
    capsys: pytest.CaptureFixture[str], argv: list[str], words: str
) -> None:
    line = fails(capsys, *argv)
    assert words in line
    assert line.startswith("esl-controller")
    assert line.endswith("--help)")


def test_every_command_that_is_parsed_can_be_run() -> None:
    [commands] = [
        action
        for action in arguments.parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    ]
    assert sorted(commands.choices) == COMMANDS

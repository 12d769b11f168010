"""What the pages say to type can be typed: our commands, make's targets, modules and files."""

from __future__ import annotations

import argparse
import importlib.util
import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

from esl_controller.cli import arguments
from tests.paths import ROOT
from tests.project.pages import DOCS, PAGES, PORTUGUESE, code_lines, ids, name, spans

UUID = "4f167587-f340-4e96-9850-8479730f0b19"
MAKEFILE = (ROOT / "Makefile").read_text()
READ = ("--caller-audio", "--restore")  # options whose file has to be there
SUBCOMMANDS = argparse._SubParsersAction


def commands(page: Path) -> list[str]:
    """Our own command lines in the blocks of a page, but for those that are cut short (`...`)."""
    found = []
    for line in code_lines(page.read_text()):
        said = re.search(r"\besl-controller (?!\.db)[a-z].*", line)
        if said and "://" not in line and "systemctl" not in line and " ... " not in line:
            found.append(re.split(r"\s{2,}|\s[>|#;]|\)$", said[0])[0])
    return found


@pytest.mark.parametrize(
    ("page", "line"),
    [(page, line) for page in PAGES for line in commands(page)],
    ids=ids,
)
def test_a_command_line_is_understood(
    page: Path,
    line: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words = [UUID if word == "UUID" else word for word in shlex.split(line)][1:]
    monkeypatch.chdir(tmp_path)
    for option, value in pairwise(words):
        if option in READ:
            (tmp_path / value).touch()
    try:
        parsed = arguments.parser().parse_args(words)
    except SystemExit as stop:
        pytest.fail(f"{name(page)}: {line}: {capsys.readouterr().err}", pytrace=bool(stop.code))
    assert isinstance(parsed, argparse.Namespace)


def test_there_are_command_lines() -> None:
    for page in ("README.md", "freeswitch.md", "fusionpbx.md", "operations.md"):
        folders = [ROOT] if page == "README.md" else [DOCS, PORTUGUESE]
        assert all(len(commands(folder / page)) >= 5 for folder in folders), page
    for page in ("secretaries.md", "record.md", "troubleshooting.md"):
        assert all(len(commands(folder / page)) >= 3 for folder in (DOCS, PORTUGUESE)), page


def below(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Its subcommands."""
    for action in parser._actions:
        if isinstance(action, SUBCOMMANDS):
            return dict(action.choices)
    return {}


def options(parser: argparse.ArgumentParser) -> set[str]:
    """All options of it and of its subcommands."""
    own = {option for action in parser._actions for option in action.option_strings}
    return own.union(*map(options, below(parser).values()))


COMMANDS = below(arguments.parser())


def shortened(page: Path) -> list[str]:
    """Commands within sentences, with or without the program's name: they may leave out what is
    required."""

    def is_command(span: str) -> bool:
        first, *rest = span.split()
        return bool(rest) and (first == "esl-controller" or first in COMMANDS)

    return [span for span in spans(page.read_text()) if is_command(span)]


def unknown(span: str) -> str:
    """The first word of a shortened command that the command line does not know, or ''."""
    parser, value = arguments.parser(), False
    for word in shlex.split(span.removeprefix("esl-controller "), comments=True):
        if value:
            value = False
        elif word.startswith("--"):
            action = parser._option_string_actions.get(word.rstrip(","))
            if action is None:
                return word
            value = action.nargs != 0
        elif choices := below(parser):
            if word.rstrip(",") not in choices:
                return word
            parser = choices[word.rstrip(",")]
    return ""


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_shortened_command_is_understood(page: Path) -> None:
    assert {span: unknown(span) for span in shortened(page) if unknown(span)} == {}


def test_a_wrong_shortened_command_is_noticed() -> None:
    assert unknown("doctor --call --fix") == unknown("fusionpbx --restore FILE") == ""
    assert unknown("esl-controller calls show UUID --json") == ""
    assert unknown("doctor --cal") == "--cal"
    assert unknown("esl-controller calls shew UUID") == "shew"
    assert unknown("esl-controller drian") == "drian"
    assert unknown("fusionpbx show --order 3") == "--order"


def test_options_that_are_named_exist() -> None:
    known = options(arguments.parser())
    for path in (ROOT / "benchmarks").glob("*.py"):
        known |= set(re.findall(r'add_argument\(\s*"(--[\w-]+)"', path.read_text()))
    for page in PAGES:
        for span in spans(page.read_text()):
            if span.startswith("--"):
                named = set(re.findall(r"(?<!\S)--[\w-]+", span))
                assert named <= known, f"{name(page)}: {span}"


def typed(page: Path) -> list[str]:
    """Everything on a page that may be a command: its blocks' lines, and code in sentences."""
    text = page.read_text()
    return [*code_lines(text), *spans(text)]


def makes(line: str) -> list[str]:
    """What a line gives to make: targets and NAME=value."""
    said = re.match(r"(?:[A-Z_]+=\S+ )*make ((?:\S+ ?)+)", line.partition(" && ")[0])
    words = shlex.split(re.split(r"\s{2,}|\s[#;]", said[0])[0]) if said else []
    return words[words.index("make") + 1 :] if words else []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_what_make_is_given_exists(page: Path) -> None:
    known = set(re.findall(r"^([\w-]+):", MAKEFILE, re.M)) | {".venv/.ready"}
    variables = set(re.findall(r"^([A-Z]+) *[?:]?=|\$\(([A-Z]+)\)", MAKEFILE, re.M))
    names = {name for pair in variables for name in pair}
    for line in typed(page):
        for word in makes(line):
            variable, assigned, _ = word.partition("=")
            assert variable in (names if assigned else known), line


def test_make_s_targets_are_read() -> None:
    assert makes("make demo      one whole call") == ["demo"]
    assert makes("make .venv/.ready && . .venv/bin/activate") == [".venv/.ready"]
    assert makes("CRASHES=3 make test ARGS='tests/calls -k x'") == ["test", "ARGS=tests/calls -k x"]
    assert makes("make up your mind") == ["up", "your", "mind"]
    assert makes("esl-controller makes") == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_variables_in_front_of_a_command_are_read(page: Path) -> None:
    texts = [path.read_text() for path in ROOT.glob("[!.]*/**/*.py")]
    for line in typed(page):
        for variable in re.findall(
            r"(?:^|(?<=\s))([A-Z_]{4,})=\S+(?= .*\b(?:make|pytest)\b)", line
        ):
            assert any(f'"{variable}"' in text for text in texts), line


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_modules_that_are_run_exist(page: Path) -> None:
    for line in typed(page):
        for module in re.findall(r"\bpython3? -m ([\w.]+)", line):
            assert importlib.util.find_spec(module) is not None, line


TOP = "|".join(sorted(path.name for path in ROOT.iterdir() if path.name[0] not in "._"))
PATH = re.compile(rf"(?<![\w/.<-])(?:\./)?((?:{TOP})/[\w./*-]*)(?![\w{{}}<])")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_that_are_named_exist(page: Path) -> None:
    for line in typed(page):
        for path in PATH.findall(line):
            there = path.rstrip("./,")
            assert list(ROOT.glob(there)), f"{name(page)}: {line}"

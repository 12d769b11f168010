"""What the pages for operators say to type exists, and their links lead somewhere."""

from __future__ import annotations

import argparse
import re
import shlex
from pathlib import Path

import pytest

from esl_controller.cli import arguments
from esl_controller.config.settings import Settings
from esl_controller.secretaries.schema import Secretary
from tests.paths import ROOT

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
UUID = "4f167587-f340-4e96-9850-8479730f0b19"


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def commands(page: Path) -> list[str]:
    """Our own command lines in the blocks of a page, but for those that are cut short (`...`)."""
    text = page.read_text().replace("\\\n", " ")
    blocks = re.findall(r"^```sh\n(.*?)^```", text, re.M | re.S)
    blocks += re.findall(r"^ {4,7}\S.*$", text, re.M)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    found = []
    for line in lines:
        said = re.search(r"\besl-controller (?!\.db)[a-z].*", line)
        if said and "://" not in line and "systemctl" not in line and " ... " not in line:
            found.append(re.split(r"\s{2,}|\s[>|#;]|\)$", said[0])[0])
    return found


@pytest.mark.parametrize(
    ("page", "line"),
    [(page, line) for page in PAGES for line in commands(page)],
    ids=lambda value: name(value) if isinstance(value, Path) else value,
)
def test_a_command_line_is_understood(
    page: Path, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [UUID if word == "UUID" else word for word in shlex.split(line)][1:]
    try:
        parsed = arguments.parser().parse_args(words)
    except SystemExit as stop:
        pytest.fail(f"{name(page)}: {line}: {capsys.readouterr().err}", pytrace=bool(stop.code))
    assert isinstance(parsed, argparse.Namespace)


def test_there_are_command_lines() -> None:
    assert all(len(commands(page)) >= 5 for page in PAGES)


def anchors(page: Path) -> set[str]:
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.M)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        to = (page.parent / path).resolve() if path else page
        assert to.exists(), target
        assert not anchor or anchor in anchors(to), target


@pytest.mark.parametrize("page", ["freeswitch.md", "fusionpbx.md"])
def test_both_languages_say_the_same(page: str) -> None:
    english, portuguese = ROOT / "docs" / page, ROOT / "docs" / "pt" / page
    assert commands(english) == commands(portuguese)

    def shape(path: Path) -> list[int]:
        """Of each section: rows of its tables, its points and its blocks."""
        sections = re.split(r"^## ", path.read_text(), flags=re.M)
        return [len(re.findall(r"^(?:\||- |```)", section, re.M)) for section in sections]

    assert shape(english) == shape(portuguese)


SETTING = re.compile(r"`\[(\w+)\] (\w+)")


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_settings_that_are_named_exist(page: Path) -> None:
    known: dict[str, set[str]] = {}
    for schema in (Settings, Secretary):
        for section, field in schema.model_fields.items():
            keys = getattr(field.annotation, "model_fields", {})
            known.setdefault(section, set()).update(keys)
    for section, key in SETTING.findall(page.read_text()):
        assert key in known[section], f"[{section}] {key}"

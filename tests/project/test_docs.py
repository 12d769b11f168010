"""The pages: their links lead somewhere, what they name exists, both languages say the same."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest

from esl_controller.config import default_file
from esl_controller.config.setting_types import secret_variable
from esl_controller.config.settings import PREFIX, Settings, schema
from esl_controller.secretaries.secretary import Secretary
from tests.paths import CAPTURES, ROOT
from tests.project.pages import (
    DOCS,
    OPERATORS,
    PAGES,
    PORTUGUESE,
    Link,
    blocks,
    headings,
    ids,
    links,
    name,
    sections,
    spans,
    table_cells,
)

README_LINES = 150


def test_the_pages_are_found() -> None:
    names = {name(page) for page in PAGES}
    assert {"README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"} <= names
    assert {"docs/README.md", "docs/pt/README.md", "freeswitch/dialplan/README.md"} <= names
    assert {"benchmarks/README.md", "tests/live/README.md", "tests/captures/README.md"} <= names
    assert not any("site-packages" in name for name in names)


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) < README_LINES


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page, page.read_text()):
        assert link.target.exists(), link
        assert link.target.is_relative_to(ROOT), link
        assert not link.anchor or link.anchor in headings(link.target), link


@pytest.mark.parametrize("folder", [DOCS, PORTUGUESE], ids=ids)
def test_every_page_is_found_from_the_index(folder: Path) -> None:
    index = folder / "README.md"
    linked = {link.target for link in links(index, index.read_text())}
    expected = set(folder.rglob("*.md"))
    if folder == DOCS:
        expected -= set(PORTUGUESE.rglob("*.md")) - {PORTUGUESE / "README.md"}
    assert expected - {index} <= linked
    readme = ROOT / "README.md"
    assert index in {link.target for link in links(readme, readme.read_text())}


def test_every_page_for_operators_is_there_in_both_languages() -> None:
    assert {page.name for page in OPERATORS} == {page.name for page in PORTUGUESE.glob("*.md")}


# The words that stand for what an operator fills in.
FILLED_IN = {
    "ARQUIVO": "FILE",
    "PORTA": "PORT",
    "NOME-DO-CONTROLADOR": "NAME-OF-THE-CONTROLLER",
    "domínio": "domain",
    "vendas": "sales",
}


def in_english(code: str) -> str:
    for portuguese, english in FILLED_IN.items():
        code = code.replace(portuguese, english)
    return code


def place(link: Link) -> tuple[str, int]:
    """Where it leads, the same for both languages: the page, and which of its headings."""
    target = link.target
    if target.is_relative_to(PORTUGUESE):
        target = DOCS / target.relative_to(PORTUGUESE)
    return name(target), headings(link.target).index(link.anchor) if link.anchor else -1


def shape(page: Path, section: str) -> dict[str, object]:
    """What a section has, whatever its language."""
    return {
        "lines": re.findall(r"^(#+ |\||- |\d\. | *```)", section, re.M),
        "code in its sentences": {in_english(code) for code in spans(section)},
        "settings": sorted(SETTING.findall(section)),
        "links": sorted(map(place, links(page, section))),
        "blocks": [block.language for block in blocks(section)],
    }


@pytest.mark.parametrize("page", OPERATORS, ids=ids)
def test_both_languages_say_the_same(page: Path) -> None:
    portuguese = PORTUGUESE / page.name
    pairs = zip(sections(page), sections(portuguese), strict=True)
    for english_section, portuguese_section in pairs:
        title = portuguese_section.partition("\n")[0]
        expected = shape(page, english_section)
        assert shape(portuguese, portuguese_section) == expected, title


SPOKEN = re.compile(r'("?\b(?:greeting|description|wait_say|language|caller)"? ?[=:] )"[^"]*"')


def unsaid(language: str, text: str) -> str:
    """A block without what is translated in it: comments, words that are spoken, who calls."""
    if language in ("sh", "python", "sql", "xml"):
        return re.sub(r"\s+# .*$", "", text, flags=re.M)
    return SPOKEN.sub(r"\1", text)


@pytest.mark.parametrize("page", OPERATORS, ids=ids)
def test_both_languages_have_the_same_code(page: Path) -> None:
    english, portuguese = (
        [(block.language, unsaid(block.language, block.text)) for block in blocks(text)]
        for text in (page.read_text(), (PORTUGUESE / page.name).read_text())
    )
    assert english == portuguese


SETTING = re.compile(r"`\[(\w+)\] (\w+)")


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_settings_that_are_named_exist(page: Path) -> None:
    known: dict[str, set[str]] = {}
    for model in (Settings, Secretary):
        for section, field in model.model_fields.items():
            keys = getattr(field.annotation, "model_fields", {})
            known.setdefault(section, set()).update(keys)
    for section, key in SETTING.findall(page.read_text()):
        assert key in known[section], f"[{section}] {key}"


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_variables_that_are_named_exist(page: Path) -> None:
    known = {secret_variable(field) or f"{PREFIX}{s}_{k}".upper() for s, k, field in schema()}
    named = set(re.findall(rf"\b{PREFIX}[A-Z_]+\b|\b[A-Z]+_API_KEY\b", page.read_text()))
    assert named <= known | {default_file.VARIABLE}


@pytest.mark.parametrize(
    ("page", "code"),
    [
        (page, block.text)
        for page in PAGES
        for block in blocks(page.read_text())
        if block.language == "toml"
    ],
    ids=ids,
)
def test_examples_in_toml_are_understood(
    page: Path, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    values: dict[str, Any] = tomllib.loads(code)
    if values.keys() <= Settings.model_fields.keys():
        agent = values.get("agent")
        if agent:
            agent["api_key"] = "any"
        Settings.model_validate(values)
    else:
        Secretary.model_validate(values)


# Tables that quote log lines: the page, the title of the section, the column.
QUOTED = [
    (DOCS / "operations.md", "Lines to know in the log", 1),
    (DOCS / "troubleshooting.md", "What the log says", 0),
    (DOCS / "freeswitch.md", "When it does not work", 0),
    (DOCS / "fusionpbx.md", "When it does not work", 0),
]


def what_is_said() -> str:
    """Our own code, its string literals joined as Python joins them, and what was captured."""
    ours = [path for top in ("esl_controller", "media") for path in (ROOT / top).rglob("*.py")]
    captured = [*CAPTURES.rglob("*.log"), *CAPTURES.rglob("*.jsonl")]
    code = "\n".join(path.read_text() for path in ours if "explain" not in path.parts)
    joined = re.sub(r'"\s*\n\s*f?"', "", code)
    return joined + "\n".join(path.read_text() for path in captured)


def quoted(page: Path, title: str, column: int) -> list[str]:
    [section] = [each for each in sections(page) if each.startswith(title + "\n")]
    return [line for cell in table_cells(section, column) for line in spans(cell)]


def test_log_lines_that_are_quoted_are_what_is_logged() -> None:
    said = what_is_said()
    for page, title, column in QUOTED:
        lines = quoted(page, title, column)
        assert lines, title
        for line in lines:
            whole = " " in line or line.isupper() or f'"{line}"' in said
            parts = [part for part in re.split(r": |\s?\w+://\S+", line) if part]
            assert whole, f"{name(page)}: {line}"
            assert all(part in said for part in parts), f"{name(page)}: {line}"

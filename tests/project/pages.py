"""The repository's Markdown pages, read: their headings, links, code and command lines."""

from __future__ import annotations

import re
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.paths import ROOT

DOCS: Final = ROOT / "docs"
PORTUGUESE: Final = DOCS / "pt"


def _pages() -> list[Path]:
    """Every page of ours: hidden folders (.venv, .git) and installed packages are not."""
    found = list(ROOT.glob("*.md"))
    for folder in ROOT.iterdir():
        if folder.is_dir() and not folder.name.startswith("."):
            found += (path for path in folder.rglob("*.md") if "site-packages" not in path.parts)
    return sorted(found)


PAGES: Final = _pages()
OPERATORS: Final = sorted(DOCS.glob("*.md"))
"""The English pages for operators, the index among them."""

_FENCED: Final = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.M | re.S)
_INDENTED: Final = re.compile(r"^ {4,7}\S.*$", re.M)
_LINK: Final = re.compile(r"\]\(([^)\s]+)\)")


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def ids(value: object) -> str:
    """The names that pytest shows for parameters."""
    return name(value) if isinstance(value, Path) else str(value)


@dataclass(frozen=True)
class Link:
    """`target` is a file or folder; `anchor` is empty where the link has none."""

    target: Path
    anchor: str


@dataclass(frozen=True)
class Block:
    """A fenced block of code; `language` is empty where the page names none."""

    language: str
    text: str


def blocks(text: str) -> list[Block]:
    return [Block(language, textwrap.dedent(code)) for _, language, code in _FENCED.findall(text)]


def prose(text: str) -> str:
    """Without the fenced blocks, whose comments would look like headings."""
    return _FENCED.sub("", text)


def spans(text: str) -> list[str]:
    """What stands in backticks within sentences and tables, on one line each."""
    paragraphs = re.split(r"\n\s*\n", prose(text))
    found = [code for paragraph in paragraphs for code in re.findall(r"`([^`]+)`", paragraph)]
    return [" ".join(code.split()) for code in found]


def code_lines(text: str) -> list[str]:
    """The lines of the blocks that are typed into a shell, continued ones joined."""
    text = text.replace("\\\n", " ")
    shells = [block.text for block in blocks(text) if block.language in ("", "sh")]
    indented = _INDENTED.findall(prose(text))
    return [line.strip() for block in (*shells, *indented) for line in block.splitlines()]


def headings(page: Path) -> list[str]:
    """The anchors of its headings, in order, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", prose(page.read_text()), re.M)
    return [re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles]


def links(page: Path, text: str) -> list[Link]:
    """The links in `text`, a part of `page`, that stay within the repository."""
    found = []
    for target in _LINK.findall(prose(text)):
        if "://" not in target:
            path, _, anchor = target.partition("#")
            found.append(Link((page.parent / path).resolve() if path else page, anchor))
    return found


def sections(page: Path) -> list[str]:
    return re.split(r"^## ", page.read_text(), flags=re.M)


def table_cells(text: str, column: int) -> list[str]:
    """A column of all tables in `text`, without their heads."""
    rows = re.findall(r"^\|(?!-)(.*)\|$(?!\n\|-)", text, re.M)
    return [row.split(" | ")[column].strip() for row in rows]

"""What ARCHITECTURE.md says of rooms, places, times and limits is so."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Final

import pytest

from tests.paths import ROOT
from tests.project.test_boundaries import imports, modules

TEXT: Final = (ROOT / "ARCHITECTURE.md").read_text()
MOST_ROOMS, MOST_FLOORS = 16, 10


def rows(title: str) -> list[list[str]]:
    """The cells of the table under a heading."""
    (section,) = re.findall(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines[2:]]


# --- rooms ----------------------------------------------------------------------------------------


def room(module: str) -> str:
    """``esl_controller/call`` for ``esl_controller.call.timers``."""
    package, *rest = module.split(".")
    return package if package == "media" or not rest else f"{package}/{rest[0]}"


def below() -> dict[str, set[str]]:
    """Which rooms each room imports."""
    ours = modules()
    graph: dict[str, set[str]] = {}
    for name, path in ours.items():
        mine = graph.setdefault(room(name), set())
        mine |= {room(each) for each in imports(path, ours)} - {room(name)}
    del graph["esl_controller"]  # its docstring
    return graph


def floors(graph: dict[str, set[str]]) -> dict[str, int]:
    """The longest way down from each room."""
    found: dict[str, int] = {}

    def floor(name: str) -> int:
        if name not in found:
            found[name] = 1 + max(map(floor, graph[name]), default=0)
        return found[name]

    for name in graph:
        floor(name)
    return found


def test_each_room_stands_on_its_floor() -> None:
    written = {cells[1].strip("`"): int(cells[0]) for cells in rows("Rooms")}
    del written["benchmarks"]
    found = floors(below())
    top = found.pop("esl_controller/__main__")
    assert written == found
    assert len(found) + 1 <= MOST_ROOMS
    assert top <= MOST_FLOORS


@pytest.mark.parametrize("cells", rows("Rooms"), ids=lambda cells: cells[1])
def test_where_to_begin_in_a_room_exists(cells: list[str]) -> None:
    begin = re.search(r"`([\w/]+\.py)`$", cells[2])
    if begin:
        assert (ROOT / cells[1].strip("`") / begin[1]).is_file()


@pytest.mark.parametrize("name", sorted(below()))
def test_each_room_says_at_its_door_what_it_is_for(name: str) -> None:
    door = ROOT / name / "__init__.py"
    if door.exists():
        lines = (ast.get_docstring(ast.parse(door.read_text())) or "").splitlines()
        assert 3 <= len(lines) <= 10, f"{name}: {len(lines)} lines"


# --- places ---------------------------------------------------------------------------------------


def defined(file: str) -> set[str]:
    """Names of a file: ``Ending``, ``Ending.take``, ``REDIAL_S``."""
    found = set()

    def look(body: list[ast.stmt], prefix: str) -> None:
        for node in body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                found.add(prefix + node.name)
                if isinstance(node, ast.ClassDef):
                    look(node.body, f"{prefix}{node.name}.")
            elif isinstance(node, ast.Assign | ast.AnnAssign):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                found.update(prefix + each.id for each in targets if isinstance(each, ast.Name))

    look(ast.parse((ROOT / file).read_text()).body, "")
    return found


def places() -> Iterator[tuple[str, str]]:
    """Each file of the table, with each name that stands behind it."""
    for cells in rows("Where is it?"):
        file = ""
        for quoted in re.findall(r"`([^`]+)`", cells[1]):
            if "/" in quoted or quoted.endswith((".py", ".toml", ".md")):
                file = quoted
                yield file, ""
            else:
                yield file, quoted


@pytest.mark.parametrize(("file", "name"), list(places()))
def test_what_is_looked_for_is_there(file: str, name: str) -> None:
    assert (ROOT / file).exists()
    assert not name or name in defined(file)


# --- times and limits -----------------------------------------------------------------------------


def number(text: str) -> list[float]:
    """``0, 0.3 s`` as numbers, in the unit that is written."""
    return [float(each.replace(",", "")) for each in re.findall(r"\d[\d,]*(?:\.\d+)?", text)]


@pytest.mark.parametrize("title", ["Times", "Limits"])
def test_there_are_rows(title: str) -> None:
    assert len(rows(title)) > 10


@pytest.mark.parametrize("cells", [*rows("Times"), *rows("Limits")], ids=lambda cells: cells[0])
def test_a_constant_has_the_value_that_is_written(cells: list[str]) -> None:
    file, name = re.findall(r"`([^`]+)`", cells[0])
    value = getattr(import_module(file.removesuffix(".py").replace("/", ".")), name)
    values = list(value) if isinstance(value, tuple) else [value]
    assert number(cells[1]) == [float(each) for each in values]


NO_CALL: Final = ("esl_controller/diagnostics", "esl_controller/simulator")
A_LIMIT: Final = re.compile(r"(?:[A-Z]+_)*(?:LIMIT|MAX)(?:_[A-Z]+)*")


def test_each_limit_of_a_call_has_its_row() -> None:
    written = {tuple(re.findall(r"`([^`]+)`", cells[0])) for cells in rows("Limits")}
    limits = {
        (file, name)
        for path in [*ROOT.glob("esl_controller/**/*.py"), *ROOT.glob("media/*.py")]
        if not (file := str(path.relative_to(ROOT))).startswith(NO_CALL)
        for name in defined(file)
        if A_LIMIT.fullmatch(name) and not name.endswith("_S")
    }
    assert len(limits) > 30
    assert limits <= written

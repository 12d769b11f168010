"""The rooms' boundaries: imports go down only, there are no circles, and a machine sees it."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.paths import ROOT

PACKAGES: Final = ("esl_controller", "media")
LINT: Final = (sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()")


def modules() -> dict[str, Path]:
    """Each module of ours by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path, ours: dict[str, Path]) -> Iterator[str]:
    """What a module imports of ours: anywhere in it, also for type checking only."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name in ours)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                if inner in ours or node.module in ours:
                    yield inner if inner in ours else node.module


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """What cannot be put below everything else: peel off whatever imports nothing that is left."""
    left = {name: to - {name} for name, to in graph.items()}
    while bottom := {name for name, to in left.items() if not to & left.keys()}:
        left = {name: to for name, to in left.items() if name not in bottom}
    while top := left.keys() - {each for to in left.values() for each in to}:
        left = {name: to for name, to in left.items() if name not in top}
    return [sorted(left)] if left else []


def test_no_module_imports_itself_by_a_detour() -> None:
    ours = modules()
    assert circles({name: set(imports(path, ours)) for name, path in ours.items()}) == []


def test_a_circle_is_found() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": {"a"}, "e": set()}
    assert circles(graph) == [["b", "c"]]


PLANTED: Final = (
    ("Layers", "esl_controller/store/records.py", "import esl_controller.session.session"),
    ("Layers", "esl_controller/agents/base.py", "import esl_controller.freeswitch.channel"),
    ("The call's core is pure", "esl_controller/call/replies.py", "import asyncio"),
    ("media knows nothing", "media/frame.py", "import esl_controller.call.events"),
    ("Production imports", "esl_controller/server/outbox.py", "import esl_controller.simulator"),
    ("Production imports", "esl_controller/store/records.py", "import tests.paths"),
    ("A stand-in shares", "esl_controller/simulator/live/voice.py", "import esl_controller.call"),
)


@pytest.mark.parametrize(("contract", "file", "line"), PLANTED)
def test_a_planted_violation_is_seen(contract: str, file: str, line: str, tmp_path: Path) -> None:
    for package in PACKAGES:
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    planted = tmp_path / file
    planted.write_text(f"{planted.read_text()}\n{line}\n")
    command = [*LINT, "--no-cache"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    told = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout)
    broken = [each for each in told.splitlines() if each.endswith("BROKEN")]
    assert done.returncode == 1, done.stdout + done.stderr
    assert any(contract in each for each in broken), broken

"""What we import is declared, with bounds on both sides, and the lock keeps to them."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.paths import ROOT

OURS: Final = {"benchmarks", "esl_controller", "media", "tests"}
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: Final[dict[str, list[str]]] = PROJECT["optional-dependencies"]

PART_OF: Final = {"pydantic-core": "pydantic"}
"""Imported with another package, which pins its exact version."""

ONLY_IN: Final = {"matplotlib": "esl_controller/demo/picture.py"}
"""What only an extra brings, and the module that says so if it is missing."""

WITHOUT_UPPER_BOUND: Final = {"tzdata": "new rules of time zones must come in"}


def requirements(asked: list[str]) -> dict[str, Requirement]:
    """By name; without our own extras, which are asked for as ``esl-controller[demo]``."""
    found = {canonicalize_name(each.name): each for each in map(Requirement, asked)}
    return {name: each for name, each in found.items() if name != PROJECT["name"]}


RUNTIME: Final = requirements(PROJECT["dependencies"])
DEVELOPMENT: Final = requirements([*EXTRAS["dev"], *EXTRAS["demo"]])
DECLARED: Final = {**RUNTIME, **DEVELOPMENT}


def imported(folder: str) -> dict[str, set[str]]:
    """The third-party distributions that the modules of a folder import, and which do."""
    owners = packages_distributions()
    found: dict[str, set[str]] = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        for name in top_levels(path) - OURS - set(sys.stdlib_module_names):
            for owner in owners.get(name, [name]):
                owner = canonicalize_name(owner)
                found.setdefault(PART_OF.get(owner, owner), set()).add(str(path.relative_to(ROOT)))
    return found


def top_levels(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level and node.module:
            found.add(node.module.partition(".")[0])
    return found


@pytest.mark.parametrize("folder", ["esl_controller", "media"])
def test_what_the_controller_imports_is_declared(folder: str) -> None:
    undeclared = {
        name: where
        for name, where in imported(folder).items()
        if name not in RUNTIME and where != {ONLY_IN.get(name)}
    }
    assert not undeclared
    assert imported(folder)


@pytest.mark.parametrize("folder", ["tests", "benchmarks"])
def test_what_the_tests_import_is_declared(folder: str) -> None:
    assert not {n: where for n, where in imported(folder).items() if n not in DECLARED}


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_each_has_bounds_on_both_sides(name: str) -> None:
    operators = {each.operator for each in DECLARED[name].specifier}
    assert operators == ({">="} if name in WITHOUT_UPPER_BOUND else {">=", "<"})


def locked() -> dict[str, list[str]]:
    lines = re.findall(r"^([\w.-]+)==([^\s;]+)", (ROOT / "requirements.lock").read_text(), re.M)
    found: dict[str, list[str]] = {}
    for name, version in lines:
        found.setdefault(canonicalize_name(name), []).append(version)
    return found


@pytest.mark.parametrize("name", sorted(DECLARED))
def test_the_lock_keeps_to_the_bounds(name: str) -> None:
    versions = locked()[name]
    assert all(DECLARED[name].specifier.contains(version) for version in versions), versions

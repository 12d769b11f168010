"""The tests mirror the source, so that each is found from the other.

``esl_controller/call/timers.py`` is tested by ``tests/call/test_timers.py``, or by several files
whose names begin with that: ``test_timers_idle.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.paths import ROOT

# Tests of what is more than one module, and so have none to mirror.
WHOLES: Final = {
    "calls": "whole calls, through every room",
    "live": "whole calls on a real FreeSWITCH",
    "fuzz": "hostile input for whatever comes from outside",
    "project": "the repository itself: its pages, its deployment, its structure",
    "simulator": "a stand-in is held as a whole against captures and published types",
    "benchmarks": "one short run measures everything",
    "demo": "the demo is one whole call",
}
# Modules that are tested through others.
UNTESTED: Final[dict[str, str]] = {
    "session/at_switch": "a whole call: tests/calls/test_talking.py, tests/calls/test_killed.py",
    "session/dependencies": "a dataclass and a Protocol, without logic",
    "session/media": "a whole call: tests/session/test_session.py, tests/calls",
    "store/migrations/versions/0001_calls": "tests/store/test_database.py migrates",
    "store/migrations/versions/0002_resumption": "tests/store/test_database.py migrates",
    "store/migrations/versions/0003_controllers": "tests/store/test_database.py migrates",
    "store/migrations/versions/0004_created": "tests/store/test_database.py migrates",
    "store/migrations/versions/0005_secretaries": "tests/store/test_database.py migrates",
}


def sources() -> dict[str, Path]:
    """Each module by the place where its test belongs: ``call/timers``."""
    found = {}
    for package in ("esl_controller", "media"):
        for path in sorted((ROOT / package).rglob("*.py")):
            place = path.relative_to(ROOT).with_suffix("")
            inside = place.relative_to("esl_controller") if package == "esl_controller" else place
            if not path.name.startswith("__"):
                found[str(inside)] = path
    return {name: path for name, path in found.items() if name.split("/")[0] not in WHOLES}


def found_tests() -> dict[str, Path]:
    """Each test file, by the name of what it tests."""
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        inside = path.relative_to(ROOT / "tests")
        if inside.parts[0] not in WHOLES:
            found[str(inside.parent / path.stem.removeprefix("test_"))] = path
    return found


def mirrors(test: str, module: str) -> bool:
    """``call/timers_idle`` mirrors ``call/timers``."""
    return test == module or test.startswith(f"{module}_")


def has_code(path: Path) -> bool:
    """Whether there is anything to test: a package's ``__init__`` may be a docstring only."""
    return "def " in path.read_text()


@pytest.mark.parametrize("module", sorted(sources()))
def test_each_module_has_its_tests(module: str) -> None:
    found = [test for test in found_tests() if mirrors(test, module)]
    if module in UNTESTED:
        assert not found, f"it has tests: take {module} off the list"
    elif has_code(sources()[module]):
        assert found, f"tests/{Path(module).parent}/test_{Path(module).name}.py is missing"


@pytest.mark.parametrize("test", sorted(found_tests()))
def test_each_test_has_its_module(test: str) -> None:
    packages = {str(Path(module).parent) for module in sources()}  # a package's own __init__
    assert any(mirrors(test, module) for module in (*sources(), *packages))


def test_the_lists_hold_nothing_that_is_gone() -> None:
    assert not UNTESTED.keys() - sources().keys()
    assert all((ROOT / "tests" / folder).is_dir() for folder in WHOLES)

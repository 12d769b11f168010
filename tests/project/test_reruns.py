"""A test that fails is tried again only where the machine was too busy, and never in silence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.paths import ROOT

TESTS = """
from collections import Counter

import pytest

from tests.machine import Waits

TRIES = Counter()


BUSY = set()
Waits.busy = property(lambda measured: bool(BUSY))


@pytest.fixture(autouse=True)
def tries(request):
    TRIES[request.node.name] += 1
    BUSY.clear()
    if "quiet" not in request.node.name:
        BUSY.add("the machine")
    yield
    print(f"try {TRIES[request.node.name]} of {request.node.name}")


def test_that_fails_by_chance(request):
    assert TRIES[request.node.name] == 2


def test_that_always_fails():
    assert not "ours"


def test_that_fails_by_chance_on_a_quiet_machine(request):
    assert TRIES[request.node.name] == 2


def test_that_passes():
    pass
"""


def run(folder: Path, strict: str = "") -> str:
    """What pytest says of these tests, with our conftest."""
    file = folder / "test_these.py"
    file.write_text(TESTS)
    arguments = [
        "-p",
        "tests.conftest",
        "-p",
        "no:cacheprovider",
        "-n",
        "0",
        "-rfP",
        "-c",
        os.devnull,
    ]
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments, "--rootdir", str(folder), str(file)],
        cwd=ROOT,
        env={**os.environ, "TESTS_STRICT": strict},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return ran.stdout + ran.stderr


def test_on_a_busy_machine_it_is_tried_twice_and_told(tmp_path: Path) -> None:
    told = run(tmp_path)
    assert "2 failed, 2 passed" in told
    assert told.count("\nrun again: ") == 2
    assert "test_that_fails_by_chance: " in told.partition("\nrun again: ")[2]
    assert "try 2 of test_that_always_fails" in told
    assert re.search(r"FAILED .*::test_that_fails_by_chance_on_a_quiet_machine", told)
    assert "try 2 of test_that_fails_by_chance_on_a_quiet_machine" not in told
    assert "try 2 of test_that_passes" not in told


def test_where_it_shall_be_strict_nothing_is_tried_twice(tmp_path: Path) -> None:
    told = run(tmp_path, strict="1")
    assert "3 failed, 1 passed" in told
    assert "run again" not in told

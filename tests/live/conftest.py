"""Skips everything here without a FreeSWITCH; starts one for each build of mod_audio_stream."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.freeswitch import Build, FreeSwitch, builds
from tests.machine import raise_own_priority

HERE = Path(__file__).parent
PREFIX = os.environ.get("FREESWITCH_PREFIX", "")
WHY = (
    "set FREESWITCH_PREFIX to where FreeSWITCH is installed (PREFIX/bin/freeswitch), with"
    " mod_audio_stream; see tests/live/README.md"
)

Figures = defaultdict[str, list[float]]
_figures: Figures = defaultdict(list)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if not item.path.is_relative_to(HERE):
            continue
        item.add_marker(pytest.mark.xdist_group("live"))
        if not PREFIX and "build" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.skip(reason=WHY))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``switch`` is one for each build, ``any_switch`` the first one's."""
    if "build" in metafunc.fixturenames and metafunc.definition.path.is_relative_to(HERE):
        known = builds(Path(PREFIX)) if PREFIX else [Build("none", Path())]
        wanted = known[:1] if "any_switch" in metafunc.fixturenames else known
        metafunc.parametrize("build", wanted, ids=[build.name for build in wanted], scope="session")


@pytest.fixture(scope="session")
def switch(build: Build, tmp_path_factory: pytest.TempPathFactory) -> Iterator[FreeSwitch]:
    """A running FreeSWITCH with ``build``; ends with the last test that uses it."""
    raise_own_priority()
    directory = tmp_path_factory.mktemp(f"freeswitch-{build.name}")
    with FreeSwitch(Path(PREFIX), build, directory) as running:
        yield running


@pytest.fixture
def any_switch(switch: FreeSwitch) -> FreeSwitch:
    """For what does not depend on the build."""
    return switch


@pytest.fixture
def figures() -> Figures:
    """What was measured, by name with unit; printed at the end of the run."""
    return _figures


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not _figures:
        return
    terminalreporter.section("measured on a real FreeSWITCH")
    for name, values in sorted(_figures.items()):
        values = sorted(values)
        middle = values[len(values) // 2]
        places = 4 if name.endswith("correlation") else 1
        least, median, most = (f"{value:7.{places}f}" for value in (values[0], middle, values[-1]))
        terminalreporter.write_line(
            f"{name:<62} {len(values):4} values, least {least}, median {median}, most {most}"
        )

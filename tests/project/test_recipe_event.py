"""The recipe "React to an event of FreeSWITCH" in CONTRIBUTING.md, followed step by step.

RECORD_START is made to end the call in a copy of the sources, by changing the files that the recipe
names and no others. A whole session must then act on it.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.paths import ROOT

TITLE: Final = "### React to an event of FreeSWITCH\n"
EVENTS, PARSING, MACHINE, CONVERSATION = (
    f"esl_controller/{name}.py"
    for name in ("call/events", "freeswitch/events", "call/machine", "call/conversation")
)

STEPS: Final = (
    (
        EVENTS,
        "@dataclass(frozen=True)\nclass SwitchLost:",
        '@dataclass(frozen=True)\nclass Recording:\n    """RECORD_START."""\n\n    by: str\n\n\n{}',
    ),
    (EVENTS, "    | SwitchLost\n", "{}    | Recording\n"),
    (PARSING, "import Answered, ", "{}Recording, "),
    (PARSING, "SwitchEvent: TypeAlias = ", "{}Recording | "),
    (PARSING, '("event plain ', "{}RECORD_START "),
    (
        PARSING,
        '        case "CHANNEL_ANSWER":\n',
        '        case "RECORD_START":\n'
        '            return Recording(header(event, "Caller-Caller-ID-Number"))\n{}',
    ),
    (
        MACHINE,
        "    def _switch_lost(",
        "    def _recorded(self, event: ev.Recording, now: float) -> Actions:\n"
        '        return self._end(f"recorded by {{event.by}}", now)\n\n{}',
    ),
    (
        MACHINE,
        "TRANSITIONS.on(ev.SwitchLost, ",
        "TRANSITIONS.on(ev.Recording, Call._recorded, *ALIVE)\n{}",
    ),
)
FOLLOWED: Final = """
import asyncio
from tests.calls.rig import rig

async def main() -> None:
    async with rig() as of:
        call = await of.switch.call(caller="+551199990000")
        await call.wait_heard()
        session = of.controller.calls.calls[call.uuid]
        of.switch.sessions[call.uuid].channel.fire("RECORD_START")
        await asyncio.wait_for(session.wait_over(), 5)
        print(session.call.cause)

asyncio.run(main())
"""


def recipe() -> str:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "\n## Recipes\n" in text.partition(TITLE)[0]
    return re.split(r"^##", text.partition(TITLE)[2], maxsplit=1, flags=re.M)[0]


def test_it_names_the_files_and_names_that_there_are() -> None:
    named = re.findall(r"`([\w/.]+\.py)`", recipe())
    assert named == [EVENTS, PARSING, MACHINE, CONVERSATION]
    steps = re.split(r"^\d+\. ", recipe(), flags=re.M)[1:]
    assert len(steps) == 3
    for step in steps:
        files = re.findall(r"`([\w/.]+\.py)`", step)
        source = "".join((ROOT / file).read_text(encoding="utf-8") for file in files)
        names = re.findall(r"`(_?[A-Z]\w*|parse|myevents)`", step)
        assert names
        for name in names:
            assert re.search(rf"\b{name}\b", source), name


def test_its_steps_change_no_more_than_three_files() -> None:
    assert len({file for file, _, _ in STEPS}) == 3
    assert {file for file, _, _ in STEPS} <= set(re.findall(r"`([\w/.]+\.py)`", recipe()))


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The sources, with the recipe followed."""
    for package in ("esl_controller", "media", "tests"):
        shutil.copytree(ROOT / package, tmp_path / package)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for file, anchor, change in STEPS:
        path = tmp_path / file
        source = path.read_text(encoding="utf-8")
        assert source.count(anchor) == 1, f"{file}: {anchor}"
        path.write_text(source.replace(anchor, change.format(anchor)), encoding="utf-8")
    return tmp_path


def test_a_call_acts_on_the_event_once_the_recipe_was_followed(copy: Path) -> None:
    command = [sys.executable, "-c", FOLLOWED]
    done = subprocess.run(command, cwd=copy, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "recorded by +551199990000" in done.stdout.splitlines()

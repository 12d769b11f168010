"""The hunt for an extension: this FreeSWITCH does what the one did that our own is held against."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterator
from itertools import groupby

import pytest

from tests.freeswitch.hunts import Hunt, hunts
from tests.live.freeswitch import FreeSwitch

_ACTION = re.compile(r"Dialplan: \S+ (?:ANTI-)?Action \w+\((.*)\)(?: INLINE)?[ \t]*$", re.MULTILINE)
LOGGED_S = 5.0


@pytest.fixture
def contexts(any_switch: FreeSwitch) -> Iterator[FreeSwitch]:
    """The switch with a context ``hunt-N`` for each hunt; "nobody" comes last and takes no call."""
    file = any_switch.directory / "conf" / "freeswitch.xml"
    before = file.read_text()
    made = "".join(
        f'<context name="hunt-{at}">{seen.context}<extension name="nobody"/></context>'
        for at, seen in enumerate(hunts())
    )
    first = '<context name="default">'
    file.write_text(before.replace(first, f"{made}\n{first}"))
    any_switch.api("reloadxml")
    yield any_switch
    file.write_text(before)
    any_switch.api("reloadxml")


async def test_it_hunts_as_recorded(contexts: FreeSwitch) -> None:
    for at, seen in enumerate(hunts()):
        found = await asyncio.to_thread(_hunted, contexts, f"hunt-{at}", seen)
        assert found == (seen.took, seen.ran), seen


def _hunted(switch: FreeSwitch, context: str, seen: Hunt) -> tuple[str | None, tuple[str, ...]]:
    """What the log says of a call: the extension that took it, and its actions, each once."""
    begin = switch.log.stat().st_size
    switch.api(f"originate loopback/{seen.number}/{context}/XML &hangup")
    # The log is written by a thread of its own.
    switch.api(f"log info end of {context}.")
    deadline = time.monotonic() + LOGGED_S
    log = ""
    while f"end of {context}." not in log:
        assert time.monotonic() < deadline, "the log does not come"
        with switch.log.open(errors="replace") as file:
            file.seek(begin)
            log = file.read()
    last = re.findall(rf"parsing \[{context}->([^\]]*)\]", log)[-1]
    ran = tuple(data for data, _ in groupby(_ACTION.findall(log)))
    return (None if last == "nobody" else last), ran

"""Replays the controller's side of a capture and holds every answer against the captured one."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import pytest

from tests.simulator.freeswitch.rig import Controller, Message, parse

PAUSE = 0.03
"""The longest pause of the replayed controller, in seconds."""

OPTIONAL = ("CHANNEL_PARK",)
"""Depends on whether ``myevents`` or the next tick came first; some captures lack it."""

SAME = (
    *("Channel-State", "Channel-Call-State", "Channel-State-Number", "Answer-State"),
    *("Hangup-Cause", "Call-Direction", "Channel-HIT-Dialplan", "Application", "DTMF-Digit"),
    *("DTMF-Duration", "DTMF-Source", "Application-Response", "Channel-Read-Codec-Name"),
    *("Channel-Read-Codec-Rate", "Channel-Read-Codec-Bit-Rate", "Channel-Write-Codec-Name"),
    *("Caller-Source", "Caller-Context", "Caller-Dialplan", "Caller-Destination-Number"),
    *("Caller-Direction", "Caller-Profile-Index", "Caller-RDNIS", "Event-Calling-File"),
    *("Event-Calling-Function", "Other-Type", "variable_hangup_cause", "variable_socket_resume"),
    *("variable_domain_uuid", "variable_secretary_uuid", "variable_note", "variable_read_rate"),
    *("variable_originate_disposition", "variable_DIALSTATUS", "variable_endpoint_disposition"),
    *("variable_bridge_hangup_cause", "variable_sip_hangup_disposition", "Socket-Mode", "Control"),
    *("variable_digits_dialed", "variable_hangup_cause_q850", "variable_last_app"),
    *("variable_current_loop", "variable_total_loops", "variable_current_application"),
)
"""Headers whose values must be those of the capture."""

VOLATILE = {
    # Whether the caller's Via asks for rport.
    "variable_sip_via_port",
    # mod_sofia rewrites these when the ACK comes, whenever that is.
    *("variable_sip_to_tag", "variable_sip_cseq"),
    # The captured calls were made with a variable of their own.
    "variable_x",
}


@dataclass
class Replay:
    """One capture against one call."""

    lines: list[dict[str, Any]]
    controller: Controller
    text: Callable[[str], str]
    """What the controller's text becomes in this run (uuids, ports, files)."""
    back: Callable[[str], str]
    """What the stand-in's text would have been in the capture."""
    hooks: dict[str, Callable[[Message], Awaitable[None]]] = field(default_factory=dict)
    """Done before a message of that label is waited for (``label`` or ``label#n``)."""
    seen: dict[str, int] = field(default_factory=dict)

    async def run(self) -> None:
        previous = 0.0
        for index, line in enumerate(self.lines):
            if "text" not in line:
                break
            if line["from"] == "controller":
                await asyncio.sleep(min(PAUSE, (line["t_ms"] - previous) / 1000))
                self.controller.send(self.text(line["text"]))
            else:
                await self._expect(index, parse(line["text"], strict=False))
            previous = line["t_ms"]
        rest = [self.controller.events.get_nowait() for _ in range(self.controller.events.qsize())]
        assert [m.label for m in rest if m.label not in OPTIONAL] == []
        assert self.controller.replies.empty()

    async def _expect(self, index: int, expected: Message) -> None:
        label = expected.label
        self.seen[label] = self.seen.get(label, 0) + 1
        for key in (label, f"{label}#{self.seen[label]}"):
            if key in self.hooks:
                await self.hooks[key](expected)
        where = f"line {index + 1} ({label})"
        if label in OPTIONAL:
            return
        try:
            actual = await self._next(expected.kind)
        except TimeoutError:
            pytest.fail(f"{where}: nothing came")
        compare(where, expected, actual, self.back)

    async def _next(self, kind: str) -> Message:
        if kind == "reply":
            return await self.controller.reply()
        if kind == "notice":
            return await self.controller.notice()
        while (message := await self.controller.event()).label in OPTIONAL:
            pass
        return message


def compare(where: str, expected: Message, actual: Message, back: Callable[[str], str]) -> None:
    assert actual.label == expected.label, where
    assert actual.content_type == expected.content_type, where
    missing = expected.names - actual.names - VOLATILE
    added = actual.names - expected.names - VOLATILE
    if not expected.content_type.startswith("text/event") and not expected.get("Event-Name"):
        assert back(actual.raw) == expected.raw, where
        return
    assert not missing, f"{where}: headers missing: {sorted(missing)}"
    assert not added, f"{where}: headers too many: {sorted(added)}"
    for name in SAME:
        assert back(actual.get(name)) == expected.get(name), f"{where}: {name}"
    assert back(actual.body) == expected.body, where
    for name, value in actual.headers:
        assert re.fullmatch(r"[!-~]+( will linger)?", value), f"{where}: {name} not encoded"
        raw = dict(expected.headers).get(name, "")
        if unquote(value) == unquote(raw):
            assert value == raw, f"{where}: {name} encoded otherwise"

"""One line of a log: FreeSWITCH's (file or console), or ours (JSON or console). [core]

A collector of logs (journald, Docker) may have put a prefix before it.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

LONGEST = 8192  # characters of a line that are read; an SDP or a stack trace is shorter

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
# As in captures/logs/*/*.log. The UUID is there only with mod_logfile's parameter `uuid`, the idle
# share of the CPU only from 1.10 on.
_SWITCH = re.compile(
    rf"(?:(?P<call>{_UUID}) )?(?P<at>\d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d)(?:\.\d+)?"
    r"(?: [\d.]+%)? \[(?P<level>[A-Z]+)\] (?P<text>.*)"
)
_CONSOLE = re.compile(r"(?P<at>\d{4}-\d\d-\d\dT[\d:.]+Z) \[(?P<level>\w+)\s*\] (?P<text>.*)")
_CALL = re.compile(rf"\bcall_uuid=(?P<call>{_UUID})")
_REASON = re.compile(r"\b(?:reason|error|cause)=(?P<reason>'[^']*'|\"[^\"]*\"|\S+)")


@dataclass(frozen=True)
class Line:
    """``text``: what the line says (in our own: the event and its reason); ``call``: the channel's
    UUID, or ""; ``at``: the time as the line has it, or ""; ``ours``: the controller wrote it."""

    text: str
    call: str = ""
    at: str = ""
    ours: bool = False


def parse(raw: str) -> Line:
    """Any line; one of no known form is all text."""
    raw = _COLOUR.sub("", raw[:LONGEST]).rstrip("\r\n")
    if (start := raw.find('{"timestamp"')) >= 0 and (line := _json(raw[start:])):
        return line
    if found := _SWITCH.search(raw):
        return Line(found["text"], found["call"] or "", found["at"])
    if found := _CONSOLE.search(raw):
        text = found["text"]
        call, reason = _CALL.search(text), _REASON.search(text)
        event = re.split(r"\s{2,}|\s\[", text)[0]
        said = f"{event}: {reason['reason'].strip(chr(39) + chr(34))}" if reason else event
        return Line(said, call["call"] if call else "", found["at"], ours=True)
    return Line(raw)


def _json(text: str) -> Line | None:
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(fields, dict):
        return None
    event = fields.get("event", "")
    reason = next((fields[name] for name in ("reason", "error", "cause") if fields.get(name)), "")
    said = f"{event}: {reason}" if reason else str(event)
    return Line(said, str(fields.get("call_uuid", "")), str(fields["timestamp"]), ours=True)

"""What `explain` prints: the faults of a log, for people and for programs.

What comes from a log is masked and escaped as our own log is: it may hold a header with a token, or
the name that a caller's telephone gives itself.
"""

from __future__ import annotations

import json
from typing import Any

from esl_controller.config.terminal import hanging
from esl_controller.diagnostics.explain.logged_faults import LoggedFault, LoggedFaults
from esl_controller.server.logs import Redactor

WIDTH = 96
_REDACT = Redactor()


def fields(found: LoggedFault) -> dict[str, Any]:
    """One fault, for JSON."""
    return {
        "fault": found.fault.name,
        "detail": _REDACT.text(found.detail),
        "line": _REDACT.text(found.line),
        "lines": found.lines,
        "first": _REDACT.text(found.first),
        "last": _REDACT.text(found.last),
        "calls": [_REDACT.text(call) for call in found.calls],
        "means": found.fault.means,
        "do": found.fault.do,
    }


def block(found: LoggedFault) -> str:
    """One fault, as a paragraph."""
    of = fields(found)
    seen = "once" if found.lines == 1 else f"{found.lines} times"
    if of["first"]:
        seen += f", {of['first']}"
        seen += f" to {of['last']}" if of["last"] != of["first"] else ""
    rows = {
        "line": of["line"],
        "seen": seen,
        "call": ", ".join(of["calls"]),
        "means": of["means"],
        "do": of["do"],
    }
    head = of["fault"] + (f": {of['detail']}" if of["detail"] else "")
    paragraphs = (hanging(f"  {name:<7}", text, WIDTH) for name, text in rows.items() if text)
    return "\n".join([head, *paragraphs])


def as_text(found: LoggedFaults) -> str:
    """All of them, and how much was read."""
    blocks = [block(each) for each in found]
    if not blocks:
        return f"nothing known in {found.read} lines"
    counted = f"{len(blocks)} known in {found.read} lines"
    if found.dropped:
        counted += f"; no room for what {found.dropped} more lines say"
    return "\n\n".join([*blocks, counted])


def as_json(found: LoggedFaults) -> str:
    """All of them, as one JSON object."""
    told = [fields(each) for each in found]
    return json.dumps({"lines": found.read, "dropped": found.dropped, "found": told})

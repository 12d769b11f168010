"""LoggedFaults for people and for programs.

What comes from a log is masked and escaped as our own log is: it may hold a header with a token, or
what a caller's telephone calls itself.
"""

from __future__ import annotations

import json
from textwrap import fill
from typing import Any

from esl_controller.diagnostics.explain.logged_faults import LoggedFault, LoggedFaults
from esl_controller.server.logs import Redactor

WIDTH = 96
_REDACT = Redactor()


def fields(finding: LoggedFault) -> dict[str, Any]:
    """One finding, as JSON has it."""
    return {
        "fault": finding.fault.name,
        "detail": _REDACT.text(finding.detail),
        "line": _REDACT.text(finding.line),
        "lines": finding.lines,
        "first": _REDACT.text(finding.first),
        "last": _REDACT.text(finding.last),
        "calls": [_REDACT.text(call) for call in finding.calls],
        "means": finding.fault.means,
        "do": finding.fault.do,
    }


def block(finding: LoggedFault) -> str:
    """One finding, as a paragraph."""
    of = fields(finding)
    seen = "once" if finding.lines == 1 else f"{finding.lines} times"
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
    return "\n".join([head, *(_row(name, text) for name, text in rows.items() if text)])


def as_text(findings: LoggedFaults) -> str:
    """All of them, and how much was read."""
    blocks = [block(finding) for finding in findings]
    if not blocks:
        return f"nothing known in {findings.read} lines"
    counted = f"{len(blocks)} known in {findings.read} lines"
    if findings.dropped:
        counted += f"; no room for what {findings.dropped} more lines say"
    return "\n\n".join([*blocks, counted])


def as_json(findings: LoggedFaults) -> str:
    """All of them, as one JSON object."""
    found = [fields(finding) for finding in findings]
    return json.dumps({"lines": findings.read, "dropped": findings.dropped, "found": found})


def _row(name: str, text: str) -> str:
    begin = f"  {name:<7}"
    return fill(
        text,
        WIDTH,
        initial_indent=begin,
        subsequent_indent=" " * len(begin),
        break_long_words=False,
        break_on_hyphens=False,
    )

"""What the doctor found, as text and as JSON. [core]"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from textwrap import fill
from typing import Any

WIDTH = 100
_WORD = 8  # the longest status


class Status(StrEnum):
    """How a check came out. Only ``FAILED`` makes the exit status 1."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Fix:
    """Something safe that the doctor may do by itself: what, and the doing of it."""

    what: str
    do: Callable[[], Awaitable[None]] = field(compare=False)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    ``found``: what is so. ``why``: why that matters. ``remedy``: the exact command, or the file and
    what belongs there. The last two are empty where all is well.
    """

    status: Status
    found: str
    why: str = ""
    remedy: str = ""
    fix: Fix | None = None

    def text(self, check: str) -> str:
        """For a terminal: one line, and under it why and what to do."""
        lines = [f"{self.status:<{_WORD}}  {check}: {self.found}"]
        for title, told in (("why", self.why), ("do", self.remedy)):
            if told:
                lines.append(_indented(title, told))
        return "\n".join(lines)


def ok(found: str) -> Finding:
    """All is well."""
    return Finding(Status.OK, found)


def warning(found: str, why: str, remedy: str) -> Finding:
    """Calls work, but not as they should, or not for long."""
    return Finding(Status.WARNING, found, why, remedy)


def failed(found: str, why: str, remedy: str, fix: Fix | None = None) -> Finding:
    """Calls do not work as long as this is so."""
    return Finding(Status.FAILED, found, why, remedy, fix)


def skipped(because: str) -> Finding:
    """It could not be looked at."""
    return Finding(Status.SKIPPED, f"because {because}")


@dataclass
class Report:
    """All findings, in the order of the call's path, by the name of their check."""

    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """1 if anything failed."""
        return int(any(each.status is Status.FAILED for each in self.findings.values()))

    @property
    def summary(self) -> str:
        """How many of each kind, in a line."""
        counts = Counter(each.status for each in self.findings.values())
        return ", ".join(f"{counts[status]} {status}" for status in Status)

    def json(self) -> dict[str, Any]:
        """All of it, for programs."""
        return {
            "ok": not self.exit_status,
            "findings": [
                {
                    "check": check,
                    "status": each.status.value,
                    "found": each.found,
                    "why": each.why,
                    "remedy": each.remedy,
                }
                for check, each in self.findings.items()
            ],
        }


def _indented(title: str, told: str) -> str:
    """Wrapped under the line; commands, which stand on lines of their own, are left whole."""
    margin = " " * (_WORD + 2)
    first, *rest = told.split("\n")
    head = fill(
        f"{title}: {first}",
        WIDTH,
        initial_indent=margin,
        subsequent_indent=margin + " " * (len(title) + 2),
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join([head, *(f"{margin}    {line}" for line in rest)])

"""What the checks found, as text and as JSON. [core]"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from esl_controller.config.terminal import hanging, line

WIDTH = 100
_WORD = 8  # the longest status
_MARGIN = " " * (_WORD + 2)


class Status(StrEnum):
    """The outcome of a check. Only ``FAILED`` makes the exit status 1."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True)
class Fix:
    """Something safe that the doctor can do itself. ``what``: the command that it comes to."""

    what: str
    do: Callable[[], Awaitable[None]] = field(compare=False)


@dataclass(frozen=True)
class Finding:
    """The outcome of one check.

    ``found``: what is so. ``why``: why it matters. ``remedy``: the exact command, or the file and
    what belongs there; commands stand on lines after the first. If all is well the last two are
    empty.
    """

    status: Status
    found: str
    why: str = ""
    remedy: str = ""
    fix: Fix | None = None

    def text(self, check: str) -> str:
        """For a terminal: one line, and under it why it matters and what to do."""
        lines = [line((self.status, f"{check}: {self.found}"), (_WORD,))]
        for title, told in (("why", self.why), ("do", self.remedy)):
            if told:
                lines.append(hanging(f"{_MARGIN}{title}: ", told, WIDTH))
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
    """It could not be tested."""
    return Finding(Status.SKIPPED, f"because {because}")


@dataclass
class Report:
    """All findings, in the order of the checks, by the check's name."""

    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def exit_status(self) -> int:
        """1 if anything failed."""
        return int(any(each.status is Status.FAILED for each in self.findings.values()))

    @property
    def summary(self) -> str:
        """How many findings of each status, in a line."""
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

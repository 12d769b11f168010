"""What was found in a log: each fault once, with how often, when, and in which calls. [core]"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from esl_controller.diagnostics.explain.faults import OURS, STREAM_STOPPED, SWITCH, Fault
from esl_controller.diagnostics.explain.lines import Line, parse

MOST_FINDINGS = 200  # a log that is no log must not fill the memory
MOST_CALLS = 20
REMEMBERED = 5000  # calls of which it is known what was found in them
# A test leg of `esl-controller doctor`. What is refused to it is refused on purpose, or told by it.
_DOCTORS = re.compile(r"Channel \[null/doctor\] has been answered$")
_NOT_A_CALL = "the doctor's"
# Said before the module of sptmru closes its WebSocket because it was told to.
_STOPPED = re.compile(r"stream_session_cleanup: connection closed$")


@dataclass
class LoggedFault:
    """``detail``: what the line names (an application, an address), or ""; ``first`` and ``last``:
    times as the log has them; ``calls``: UUIDs, the first 20; ``line``: the first one's text."""

    fault: Fault
    detail: str
    line: str
    first: str
    last: str = ""
    lines: int = 0
    calls: list[str] = field(default_factory=list)


class LoggedFaults:
    """Of any number of lines, in the order in which they were found; memory is bounded.

    ``read``: lines so far; ``dropped``: lines with faults for which there was no room.
    """

    def __init__(self) -> None:
        self.read = 0
        self.dropped = 0
        self._found: dict[tuple[str, str], LoggedFault] = {}
        self._of_call: OrderedDict[str, set[str]] = OrderedDict()

    def __iter__(self) -> Iterator[LoggedFault]:
        return iter(self._found.values())

    def add(self, raw: str) -> LoggedFault | None:
        """Look at a line; returns what is new in it: a fault, or one in another call."""
        self.read += 1
        if "[DEBUG]" in raw:  # most lines; what is wrong is said at other levels, too
            return None
        line = parse(raw)
        if line.call and _DOCTORS.search(line.text):
            self._seen(line.call).add(_NOT_A_CALL)
            return None
        if line.call and _STOPPED.search(line.text):
            self._seen(line.call).add(STREAM_STOPPED)
            return None
        for fault in OURS if line.ours else SWITCH:
            if match := fault.pattern.search(line.text):
                return self._note(fault, match.groupdict().get("what") or "", line)
        return None

    def _note(self, fault: Fault, detail: str, line: Line) -> LoggedFault | None:
        seen = self._seen(line.call)
        if not seen.isdisjoint((*fault.follows, _NOT_A_CALL)):
            return None
        seen.add(fault.name)
        key = fault.name, detail
        found = self._found.get(key)
        new = found is None
        if found is None:
            if len(self._found) >= MOST_FINDINGS:
                self.dropped += 1
                return None
            found = self._found[key] = LoggedFault(fault, detail, line.text, line.at)
        found.lines += 1
        found.last = line.at
        if line.call and line.call not in found.calls and len(found.calls) < MOST_CALLS:
            found.calls.append(line.call)
            new = True
        return found if new else None

    def _seen(self, call: str) -> set[str]:
        seen = self._of_call.setdefault(call, set())
        self._of_call.move_to_end(call)
        if len(self._of_call) > REMEMBERED:
            self._of_call.popitem(last=False)
        return seen

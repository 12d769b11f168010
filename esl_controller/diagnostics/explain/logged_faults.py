"""The known faults that a log shows: each once, how often, when, and in which calls. [core]"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field

from esl_controller.diagnostics.catalogue import controller_log, switch_log
from esl_controller.diagnostics.catalogue.fault import Fault
from esl_controller.diagnostics.explain.lines import Line, parse

MOST_FAULTS = 200  # a file that is not a log must not fill the memory
MOST_CALLS = 20
REMEMBERED = 5000  # calls whose faults are remembered
# A test leg of `esl-controller doctor`, which asks for what will be refused, and reports it itself.
_DOCTORS = re.compile(r"Channel \[null/doctor\] has been answered\Z")
_NOT_A_CALL = "the doctor's"
# What sptmru's build logs before it closes its WebSocket because it was told to.
_STOPPED = re.compile(r"stream_session_cleanup: connection closed\Z")


@dataclass
class LoggedFault:
    """A fault, with all lines that show it. ``detail``: what they name (an application, an
    address), or ""; ``line``: the first one's text; ``first``, ``last``: their times as the log has
    them; ``lines``: how many; ``calls``: UUIDs, the first 20."""

    fault: Fault
    detail: str
    line: str
    first: str
    last: str = ""
    lines: int = 0
    calls: list[str] = field(default_factory=list)


class LoggedFaults:
    """The faults of any number of lines, in the order of their first lines; memory is bounded.

    ``read``: lines so far; ``dropped``: lines that show further faults than there is room for.
    """

    def __init__(self) -> None:
        self.read = 0
        self.dropped = 0
        self._found: dict[tuple[str, str], LoggedFault] = {}
        self._of_call: OrderedDict[str, set[str]] = OrderedDict()

    def __iter__(self) -> Iterator[LoggedFault]:
        return iter(self._found.values())

    def add(self, raw: str) -> LoggedFault | None:
        """Read a line. The fault that it shows, if that is new, or new in this call."""
        self.read += 1
        if "[DEBUG]" in raw:  # most lines; faults are logged at other levels, too
            return None
        line = parse(raw)
        if line.call and _DOCTORS.search(line.text):
            self._seen(line.call).add(_NOT_A_CALL)
            return None
        if line.call and _STOPPED.search(line.text):
            self._seen(line.call).add(switch_log.STREAM_STOPPED)
            return None
        for fault in controller_log.ALL if line.ours else switch_log.ALL:
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
            if len(self._found) >= MOST_FAULTS:
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

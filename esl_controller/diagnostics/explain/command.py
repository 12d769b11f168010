"""`esl-controller explain`: the known faults in FreeSWITCH's log, and in ours."""

from __future__ import annotations

import json
import os
import stat
import sys
from contextlib import ExitStack
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from esl_controller.diagnostics.explain import report
from esl_controller.diagnostics.explain.logged_faults import LoggedFaults
from esl_controller.diagnostics.explain.reading import follow, lines, opened

USUAL = (
    Path("/var/log/freeswitch/freeswitch.log"),
    Path("/usr/local/freeswitch/log/freeswitch.log"),
)


def run(names: list[str], *, following: bool, as_json: bool) -> int:
    """Explain the logs with these names ("-": standard input), or FreeSWITCH's at its usual place.
    0, or 2 if there is none. Raises OSError if one cannot be read."""
    if not names and not following and _is_given_a_log():
        names = ["-"]
    names = names or [str(path) for path in USUAL if path.exists()][:1]
    if not names or (following and (len(names) > 1 or "-" in names)):
        mistake = "--follow takes one file" if names else f"no log at {USUAL[0]} or {USUAL[1]}"
        print(f"esl-controller explain: {mistake}: name it", file=sys.stderr)
        return 2
    if following:
        return _watch(Path(names[0]), as_json=as_json)
    found = LoggedFaults()
    with ExitStack() as stack:
        streams = [
            _standard_input() if name == "-" else stack.enter_context(opened(Path(name)))
            for name in names
        ]
        for line in chain.from_iterable(map(lines, streams)):
            found.add(line)
    print(report.as_json(found) if as_json else report.as_text(found))
    return 0


def _is_given_a_log() -> bool:
    """Whether standard input is a pipe or a file; a terminal or /dev/null holds no log."""
    if sys.stdin is None:  # closed
        return False
    try:
        return not stat.S_ISCHR(os.fstat(sys.stdin.fileno()).st_mode)
    except OSError:
        return not sys.stdin.isatty()


def _standard_input() -> BinaryIO:
    if sys.stdin is None:
        raise OSError("standard input is closed")
    return sys.stdin.buffer


def _watch(path: Path, *, as_json: bool) -> int:
    found = LoggedFaults()
    print(f"watching {path}; Ctrl-C ends", file=sys.stderr)
    try:
        for line in follow(path):
            if (news := found.add(line)) is not None:
                text = json.dumps(report.fields(news)) if as_json else report.block(news) + "\n"
                print(text, flush=True)
    except KeyboardInterrupt:
        pass
    return 0

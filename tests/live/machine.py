"""The machine under the tests: whether it ran in time what was ready to run.

The tests judge times, and a machine that is busy with other things breaks them without a fault of
ours. So FreeSWITCH is started in the scheduling class of its packages
(debian/freeswitch-systemd.freeswitch.service: round robin, priority 89), this process at a raised
priority, and it is measured for how long their threads were ready and did not run.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

SWITCH_PRIORITY: Final = 89
OWN_NICENESS: Final = -15
SAMPLE_S: Final = 0.2
BUSY_MS: Final = 20.0
"""In ``SAMPLE_S``: a frame's time. A thread that waited longer cannot have been in time."""


def run_as_packaged() -> None:
    """Put this process into FreeSWITCH's scheduling class, where we are allowed to: to be called in
    the child, before FreeSWITCH is executed."""
    with contextlib.suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(SWITCH_PRIORITY))


def raise_own_priority() -> None:
    """Run before others, where we are allowed to; for all threads of this process from now on."""
    with contextlib.suppress(PermissionError):
        os.setpriority(os.PRIO_PROCESS, 0, OWN_NICENESS)


class Waits:
    """Measures how long the threads of this process and its children wait for a CPU, while it is
    entered. ``longest_ms``: the longest wait of one thread within ``SAMPLE_S``."""

    def __init__(self) -> None:
        self.longest_ms = 0.0
        self._whose = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="waits", daemon=True)

    def __enter__(self) -> Waits:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def __str__(self) -> str:
        return f"{self._whose} waited {self.longest_ms:.0f} ms for a CPU"

    @property
    def busy(self) -> bool:
        """Whether the machine was too busy to judge times on it."""
        return self.longest_ms > BUSY_MS

    def _watch(self) -> None:
        before = dict(self._waited())
        while not self._over.wait(SAMPLE_S):
            now = dict(self._waited())
            for thread, waited in now.items():
                longest = (waited - before.get(thread, waited)) / 1e6
                if longest > self.longest_ms:
                    self.longest_ms, self._whose = longest, _name(thread)
            before = now

    def _waited(self) -> Iterator[tuple[Path, int]]:
        """By thread, for how many ns it has been ready and not run (proc(5), schedstat)."""
        for pid in ("self", *_children()):
            for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
                with contextlib.suppress(OSError, IndexError):  # it has ended meanwhile
                    yield path.parent, int(path.read_text().split()[1])


def _children() -> Iterator[str]:
    for path in Path("/proc/self/task").glob("*/children"):
        with contextlib.suppress(OSError):
            yield from path.read_text().split()


def _name(thread: Path) -> str:
    """The names of a thread and of its process."""
    with contextlib.suppress(OSError):
        process = (thread.parent.parent / "comm").read_text().strip()
        return f"the thread {(thread / 'comm').read_text().strip()} of {process}"
    return "a thread"

"""The machine under the tests: whether it ran in time what was ready to run.

Many tests judge times, and a machine that is busy with other things breaks them without a fault of
ours. So it is measured for how long the threads of a test were ready and did not run, and a test
that fails while that was too long is run again: a fault of ours fails it each time. With a real
FreeSWITCH this is started in the scheduling class of its packages
(debian/freeswitch-systemd.freeswitch.service: round robin, priority 89), and the tests at a raised
priority.
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
STOLEN: Final = Path("/proc/stat")  # its ninth word: what a hypervisor gave to others (proc(5))
_TICKS: Final = os.sysconf("SC_CLK_TCK")


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
    entered. ``longest_ms``: the longest wait of one thread within ``SAMPLE_S``, or what a
    hypervisor kept from the machine meanwhile."""

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
        before, over = dict(_waited()), False
        while not over:
            over = self._over.wait(SAMPLE_S)
            now = dict(_waited())
            for thread, waited in now.items():
                longest = (waited - before.get(thread, waited)) / 1e6
                if longest > self.longest_ms:
                    self.longest_ms, self._whose = longest, _name(thread)
            before = now


def _waited() -> Iterator[tuple[Path, int]]:
    """By thread, for how many ns it has been ready and not run (proc(5), schedstat), and how long
    the whole machine did not run."""
    with contextlib.suppress(OSError, IndexError):
        yield STOLEN, int(STOLEN.read_text().split(maxsplit=9)[8]) * 10**9 // _TICKS
    for pid in ("self", *_children()):
        for path in _of_each_thread(pid, "schedstat"):
            with contextlib.suppress(OSError, IndexError):
                yield path.parent, int(path.read_text().split()[1])


def _children() -> Iterator[str]:
    for path in _of_each_thread("self", "children"):
        with contextlib.suppress(OSError):
            yield from path.read_text().split()


def _of_each_thread(pid: str, name: str) -> list[Path]:
    with contextlib.suppress(OSError):  # it has ended meanwhile
        return list(Path(f"/proc/{pid}/task").glob(f"*/{name}"))
    return []


def _name(thread: Path) -> str:
    """The names of a thread and of its process."""
    if thread == STOLEN:
        return "this virtual machine"
    with contextlib.suppress(OSError):
        process = (thread.parent.parent / "comm").read_text().strip()
        return f"the thread {(thread / 'comm').read_text().strip()} of {process}"
    return "a thread"

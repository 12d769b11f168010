"""What is known of a fault. [core]"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Fault:
    """A known fault.

    ``name``: as `explain` reports it, unique among all. ``pattern``: what to look for in the text
    of a log line; its group ``what``, if it has one, is the detail (an address, an application).
    ``means``: what is so, and what callers notice. ``do``: what to do; lines after the first are
    commands or settings, one a line. ``follows``: names of faults; in a call that has one of them
    this one is only its consequence. ``row``: the first cell of its row in the operators' table,
    empty if it has none.
    """

    name: str
    pattern: re.Pattern[str]
    means: str
    do: str
    follows: tuple[str, ...] = ()
    row: str = ""


def fault(
    name: str, pattern: str, means: str, do: str, *follows: Fault | str, row: str = ""
) -> Fault:
    """A fault whose ``pattern`` is a regular expression."""
    names = tuple(each if isinstance(each, str) else each.name for each in follows)
    return Fault(name, re.compile(pattern), means, do, names, row)

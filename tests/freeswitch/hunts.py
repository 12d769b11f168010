"""What mod_dialplan_xml of a real FreeSWITCH 1.10.12 did with each context of hunts.jsonl.

tests/live/test_hunt.py has a FreeSWITCH do it again. The contexts are our own: some were written
for one rule each, the others by chance, and one says what FusionPBX ships.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from tests.fusionpbx import shipped

FILE = Path(__file__).with_name("hunts.jsonl")


@dataclass(frozen=True)
class Hunt:
    """A call to ``number``: the extensions of ``context``, the one that took it (None: no one did),
    and the data of the actions that it got, each once. ``exact``: the number alone decides it."""

    context: str
    number: str
    took: str | None
    ran: tuple[str, ...]
    exact: bool


def hunts() -> list[Hunt]:
    """All of them."""
    found = []
    for line in FILE.read_text().splitlines():
        held = json.loads(line)
        context = held.pop("context")
        ran = tuple(held.pop("ran"))
        found.append(Hunt(shipped.context() if context == "shipped" else context, ran=ran, **held))
    return found

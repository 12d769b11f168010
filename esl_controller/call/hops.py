"""How often a caller was transferred by us, as the channel tells. [core]

A destination may lead back to our own number: by mistake, by a call forwarding, or because another
secretary answers there. The store cannot bound such a loop: each leg of it is a call of its own. So
the channel carries the count, and every leg that is made for it inherits it
(``Transfers.transfer``). A call that leaves the switch and comes in again by a trunk brings
no count.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

TRANSFERS: Final = 6  # five returns of a caller, and a last transfer
FALLBACKS: Final = 1  # where the model is away, a second one leads to the same end
LEGS: Final = 2  # each keeps two more channels at the switch for as long as the call lasts

LED_BACK: Final = (
    f"the caller was transferred {TRANSFERS} times already, and some transfers may lead back to"
    " this number; help in another way"
)

_STORED = re.compile(r"(\d{1,3})\.(\d{1,3})\.(\d{1,3})", re.ASCII)


@dataclass(frozen=True)
class Hops:
    """What was done with this caller so far.

    ``transfers``: by us, of any kind; ``fallbacks``: those among them that were made for want of a
    model; ``legs``: how many bridges of ours this call is behind.
    """

    transfers: int = 0
    fallbacks: int = 0
    legs: int = 0

    @classmethod
    def parse(cls, text: str) -> Hops:
        """What ``str`` gave; no hops if ``text`` is anything else."""
        found = _STORED.fullmatch(text)
        return cls(*map(int, found.groups())) if found else cls()

    def __str__(self) -> str:
        return f"{self.transfers}.{self.fallbacks}.{self.legs}"

    @property
    def may_transfer(self) -> bool:
        """Whether the caller may be transferred once more."""
        return self.transfers < TRANSFERS

    @property
    def may_fall_back(self) -> bool:
        """Whether the fallback may be tried."""
        return self.may_transfer and self.fallbacks < FALLBACKS

    @property
    def may_bridge(self) -> bool:
        """Whether the caller may be bridged, in order to come back, rather than sent away."""
        return self.legs < LEGS

    def after(self, *, fallback: bool) -> Hops:
        """The same after one more transfer."""
        return replace(self, transfers=self.transfers + 1, fallbacks=self.fallbacks + int(fallback))

    @property
    def of_a_leg(self) -> Hops:
        """What a leg inherits that the caller is bridged to."""
        return replace(self, legs=self.legs + 1)


NO_HOPS: Final = Hops()

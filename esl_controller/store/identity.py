"""Whether a channel is the one whose call is known under its UUID. [core]

Whoever may connect to our port can name any UUID. A stranger's connection must get nobody's
conversation, and must not take a call from whoever has it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

# What else is in the record has ended for good. A caller who was transferred may be sent back to us
# by somebody, and is taken; without the promise of ``come_back`` the conversation begins anew
# (session/resume.py), so that nobody gets to know what was said before.
MAY_GO_ON: Final = ("", "interrupted", "lost", "transferred")


class NotThisCall(Exception):
    """A channel is not the one that its UUID names; the text says why."""


@dataclass(frozen=True)
class Identity:
    """What the switch says of a channel, beside its UUID, each time that it brings the call.

    ``created_us``: microseconds of Unix time, which a transfer does not change; 0 where it is not
    known. ``answered`` never changes back.
    """

    domain_uuid: str
    created_us: int
    answered: bool


def misfit(known: Identity, comes: Identity, outcome: str = "") -> str:
    """Why ``comes`` is not the call that is ``known``, whose record says ``outcome``; empty if it
    may be."""
    if outcome not in MAY_GO_ON:
        return "the call has ended"
    # Of a call that was put into the record before its start was, nothing is known.
    if known.created_us and known.created_us != comes.created_us:
        return "the call was created at another time"
    if (known.created_us or known.domain_uuid) and known.domain_uuid != comes.domain_uuid:
        return "the call is another domain's"
    if known.answered and not comes.answered:
        return "the call was answered before"
    return ""

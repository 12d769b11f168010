"""What goes wrong with FusionPBX."""

from __future__ import annotations


class FusionError(Exception):
    """It cannot be done; the text is one line for each reason, and says what to do."""


class NoSuchDomain(FusionError):
    """FusionPBX has no domain of that name or uuid; the text names those that there are."""


def shown(text: object) -> str:
    """``text`` for a terminal: without the control characters that a row may hold."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text))

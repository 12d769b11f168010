"""The errors of everything that reads or changes a FusionPBX."""

from __future__ import annotations


class FusionError(Exception):
    """Something cannot be done. The text has a line for each reason, and says what to do."""


class NoSuchDomain(FusionError):
    """FusionPBX has no domain of that name or uuid; the text names those that it has."""


def shown(text: object) -> str:
    """``text`` for a terminal: control characters, which a row may hold, are escaped."""
    return "".join(char if char.isprintable() else ascii(char)[1:-1] for char in str(text))

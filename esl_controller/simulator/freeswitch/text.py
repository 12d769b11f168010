"""Text as FreeSWITCH reads it: what counts as true, and which number it is."""

from __future__ import annotations

_TRUE = ("yes", "on", "true", "t", "enabled", "active", "allow", "1")


def is_true(text: str) -> bool:
    """Whether FreeSWITCH takes a value for true (``switch_true``)."""
    return text.lower() in _TRUE


def atoi(text: str) -> int:
    """The number that C's ``atoi`` reads: leading digits with a sign, 0 if there are none."""
    digits = text.strip()
    sign = -1 if digits.startswith("-") else 1
    digits = digits.lstrip("+-")
    end = next((i for i, c in enumerate(digits) if not c.isascii() or not c.isdigit()), len(digits))
    return sign * int(digits[:end] or 0)

"""Regular expressions that a tenant writes, matched in linear time. [core]

Python's ``re`` tries one way after the other: ``(a+)+$`` takes longer than a call lasts for thirty
characters. RE2 follows all ways together, so a match takes states times characters. It refuses what
has no such form (back references, looking around).
"""

from __future__ import annotations

import re
from typing import Final

import re2

STATES_LIMIT: Final = 1000
_OPTIONS: Final = re2.Options()
_OPTIONS.log_errors = False  # they are told to whoever wrote the pattern
_OPTIONS.never_capture = True
# JSON writes a character as \u and four digits; RE2 has \x{...}. Two backslashes are one character.
_CODE_POINT: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


class Pattern:
    """A regular expression, found anywhere in a text. Raises ValueError if it is none, or one that
    cannot be matched in linear time."""

    def __init__(self, text: str) -> None:
        translated = _CODE_POINT.sub(lambda m: rf"\x{{{m[1]}}}" if m[1] else m[0], text)
        try:
            self._compiled = re2.compile(translated, _OPTIONS)
        except re2.error as error:
            why = error.args[0]
            raise ValueError(why.decode() if isinstance(why, bytes) else str(why)) from None
        if self._compiled.programsize > STATES_LIMIT:
            raise ValueError(f"is too large: it has more than {STATES_LIMIT} states")

    def work(self, text: str) -> int:
        """How many steps ``found_in`` takes at most; one takes 10 ns."""
        states: int = self._compiled.programsize
        return states * (len(text) + 1)

    def found_in(self, text: str) -> bool:
        """Whether the pattern is found anywhere in ``text``."""
        return self._compiled.search(text) is not None

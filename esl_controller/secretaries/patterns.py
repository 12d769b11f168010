"""Regular expressions that a tenant writes, matched in linear time. [core]

Python's ``re`` tries one way after the other: ``(a+)+$`` takes longer than a call lasts for thirty
characters. Here all ways advance together, a character at a time (Thompson's construction), so a
match takes states times characters. What has no such form (back references, looking around) is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

STATES_LIMIT: Final = 1000
_REPEAT = re.compile(r"\{(\d{1,3})(?:(,)(\d{1,3})?)?\}")
_CLASS = re.compile(r"\[\^?\]?(?:[^\]\\]|\\.)*\]", re.DOTALL)
_ESCAPED = re.compile(r"\\(?:[dDwWsStnrfv]|x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|[^0-9a-zA-Z])")

_Build = Callable[[int], int]
"""Adds the states of a part, given the state after it; returns its first one."""


@dataclass
class _State:
    """``takes``: whether it takes this character; None for one that takes none. ``at``: it is
    passed at the "begin" or "end" of the text only."""

    after: list[int] = field(default_factory=list)
    takes: Callable[[str], object] | None = None
    at: str = ""


class Pattern:
    """A regular expression, found anywhere in a text. Raises ValueError if it is none, or one that
    cannot be matched in linear time."""

    def __init__(self, text: str) -> None:
        re.compile(text)  # raises re.error, which is no ValueError in all versions
        self._text = text
        self._next = 0
        self._states = [_State()]  # the last one: found
        build = self._either()
        if self._next < len(text):
            raise ValueError(f"has a {text[self._next]} too many")
        self._start = build(0)

    def work(self, text: str) -> int:
        """How many steps ``found_in`` takes at most."""
        return len(self._states) * (len(text) + 1)

    def found_in(self, text: str) -> bool:
        """Whether the pattern is found anywhere in ``text``."""
        active: set[int] = set()
        for at, character in enumerate((*text, "")):
            edges = {"begin"} if at == 0 else set()
            edges |= {"end"} if at == len(text) else set()
            reached = self._reached({*active, self._start}, edges)
            if 0 in reached:
                return True
            active = set()
            for state in (self._states[each] for each in reached):
                if character and state.takes is not None and state.takes(character):
                    active.update(state.after)
        return False

    def _reached(self, states: Iterable[int], edges: set[str]) -> set[int]:
        """``states``, and those that are reached from them without taking a character."""
        reached, waiting = set(), list(states)
        while waiting:
            number = waiting.pop()
            state = self._states[number]
            if number in reached or (state.at and state.at not in edges):
                continue
            reached.add(number)
            if state.takes is None:
                waiting += state.after
        return reached

    # --- reading it -------------------------------------------------------------------------------

    def _either(self) -> _Build:
        ways = [self._sequence()]
        while self._take("|"):
            ways.append(self._sequence())
        if len(ways) == 1:
            return ways[0]
        return lambda after: self._add(_State([way(after) for way in ways]))

    def _sequence(self) -> _Build:
        parts: list[_Build] = []
        while self._next < len(self._text) and self._text[self._next] not in "|)":
            parts.append(self._repeated(self._part()))

        def build(after: int) -> int:
            for part in reversed(parts):
                after = part(after)
            return after

        return build

    def _part(self) -> _Build:
        if self._take("("):
            self._take("?:")
            if self._text.startswith("?", self._next):
                raise ValueError("may have no (? but (?:")
            inner = self._either()
            self._take(")")
            return inner
        for sign, edge in (("^", "begin"), ("$", "end")):
            if self._take(sign):
                return self._edge(edge)
        for kind in (_CLASS, _ESCAPED):
            if match := kind.match(self._text, self._next):
                self._next = match.end()
                return self._character(re.compile(match[0]).fullmatch)
        character = self._text[self._next]
        if character == "\\":
            raise ValueError(f"may not have {self._text[self._next : self._next + 2]}")
        self._next += 1
        if character == ".":
            return self._character(lambda given: given != "\n")
        return self._character(lambda given: given == character)

    def _repeated(self, part: _Build) -> _Build:
        times = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        least: int
        most: int | None
        if match := _REPEAT.match(self._text, self._next):
            self._next = match.end()
            least = int(match[1])
            most = int(match[3]) if match[3] else None if match[2] else least
        elif self._text[self._next : self._next + 1] in times and self._next < len(self._text):
            least, most = times[self._text[self._next]]
            self._next += 1
        else:
            return part
        self._take("?")  # takes as little as possible: the same texts have it
        if self._text[self._next : self._next + 1] in ("+", "*"):
            raise ValueError("may not have ++ or *+")

        def build(after: int) -> int:
            if most is None:
                loop = self._add(_State([after]))
                self._states[loop].after.append(part(loop))
                after = loop
            for _ in range((most or least) - least):
                after = self._add(_State([after, part(after)]))
            for _ in range(least):
                before, after = after, part(after)
                if after == before:
                    break  # it is empty
            return after

        return build

    def _edge(self, edge: str) -> _Build:
        return lambda after: self._add(_State([after], at=edge))

    def _character(self, takes: Callable[[str], object]) -> _Build:
        return lambda after: self._add(_State([after], takes))

    def _add(self, state: _State) -> int:
        if len(self._states) == STATES_LIMIT:
            raise ValueError(f"is too large: it has more than {STATES_LIMIT} states")
        self._states.append(state)
        return len(self._states) - 1

    def _take(self, sign: str) -> bool:
        taken = self._text.startswith(sign, self._next)
        self._next += len(sign) * taken
        return taken

"""Mutations of messages: of their bytes, and, where they are JSON, of their values."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

LIMIT: Final = 60_000  # bytes of a message that has grown

_TEXTS: Final = (
    b"\n", b"\n\n", b"\r\n", b": ", b"%0A", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xe2\x80\xae",
    b"-1", b"0", b"1e999", b"NaN", b"-Infinity", b"9" * 400, b"18446744073709551616", b"null",
    b"{", b"}", b"[", b"]", b'"', b'"""', b"'''", b"#", b"=", b"\\u0000", b"\\ud800", b"../",
    b"[" * 3000, b"a." * 2000, b"{\"a\":" * 1500,
)  # fmt: skip
_VALUES: Final[tuple[Any, ...]] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**63), 2**64, 10**400, 0.1, -0.0, 1e308,
    float("nan"), float("inf"), "", " ", "x", "\n", "\x00", "\u202e", "\ud800", "é" * 5000,
    "9" * 400, [], {}, [[]], [{}], {"": ""}, [None] * 2000, {str(n): n for n in range(500)},
)  # fmt: skip


class Mutator:
    """Makes messages from a ``corpus`` of right ones; the same ``seed``, the same messages."""

    def __init__(self, corpus: Sequence[bytes], seed: int) -> None:
        self._corpus = corpus
        self._chance = random.Random(seed)
        self._bytes: tuple[Callable[[bytearray], None], ...] = (
            self._flip, self._cut, self._repeat, self._insert, self._splice, self._truncate,
        )  # fmt: skip

    def message(self) -> bytes:
        """One more message: as a rule mutated once or twice, seldom more often or not at all."""
        chosen = self._chance.choice(self._corpus)
        if self._chance.random() < 0.6 and (value := _json(chosen)) is not None:
            for _ in range(self._times()):
                value = self._value(value)
            # Lone surrogates and NaN go out as Python writes them: a sender may do the same.
            chosen = json.dumps(value, ensure_ascii=self._chance.random() < 0.8).encode(
                errors="surrogatepass"
            )
            if self._chance.random() < 0.8:
                return chosen[:LIMIT]
        made = bytearray(chosen)
        for _ in range(self._times()):
            self._chance.choice(self._bytes)(made)
        return bytes(made[:LIMIT])

    def _times(self) -> int:
        return self._chance.choice((0, 1, 1, 1, 2, 2, 5))

    def _span(self, made: bytearray, longest: int = 200) -> slice:
        start = self._chance.randint(0, len(made))
        return slice(start, start + self._chance.randint(1, longest))

    def _flip(self, made: bytearray) -> None:
        for _ in range(self._chance.randint(1, 8) if made else 0):
            made[self._chance.randrange(len(made))] = self._chance.randrange(256)

    def _cut(self, made: bytearray) -> None:
        del made[self._span(made)]

    def _truncate(self, made: bytearray) -> None:
        del made[self._chance.randint(0, len(made)) :]

    def _repeat(self, made: bytearray) -> None:
        span = self._span(made)
        made[span] = bytes(made[span]) * self._chance.choice((2, 3, 100, 3000))
        del made[LIMIT:]

    def _insert(self, made: bytearray) -> None:
        at = self._chance.randint(0, len(made))
        made[at:at] = self._chance.choice(_TEXTS)

    def _splice(self, made: bytearray) -> None:
        other = self._chance.choice(self._corpus)
        made[self._span(made)] = other[self._span(bytearray(other), 2000)]

    def _value(self, value: Any) -> Any:
        """``value`` with one thing in it changed, at any depth."""
        if isinstance(value, dict) and value and self._chance.random() < 0.85:
            key = self._chance.choice(list(value))
            kind = self._chance.random()
            if kind < 0.1:
                return {name: item for name, item in value.items() if name != key}
            if kind < 0.2:
                return {
                    **value,
                    self._chance.choice(("", "type", "id", "\n", "x" * 300)): value[key],
                }
            return {**value, key: self._value(value[key])}
        if isinstance(value, list) and value and self._chance.random() < 0.85:
            at = self._chance.randrange(len(value))
            if self._chance.random() < 0.1:
                return value * self._chance.choice((2, 50))
            return [*value[:at], self._value(value[at]), *value[at + 1 :]]
        return self._chance.choice(_VALUES)


def _json(message: bytes) -> Any:
    """What a JSON object or array holds, None of anything else."""
    try:
        value = json.loads(message)
    except ValueError:
        return None
    return value if isinstance(value, dict | list) else None

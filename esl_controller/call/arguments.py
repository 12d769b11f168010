"""The arguments of a model's function call: read, and checked against their schema. [core]

The model writes them, the tenant writes the schema, and both share the loop with all calls. So what
reading and checking may cost is bounded: the length before it is read, and then the work.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from itertools import islice
from typing import Any, Final

import jsonschema
from jsonschema.exceptions import best_match
from jsonschema.protocols import Validator

from esl_controller.secretaries.patterns import Pattern

ARGUMENTS_LIMIT = 20_000  # characters of JSON
WORK_LIMIT = 1000  # each is a keyword of the schema, which takes 8 microseconds
DIGITS_LIMIT = 20  # of a whole number; the largest of 64 bits has as many
_TOLD_LIMIT = 4  # of the mistakes, the most telling one is chosen
_CHARACTERS = 2000  # of arguments that a keyword may look at for one unit of work
_READ = 40  # characters that are read for one unit
_STEPS = 800  # of a pattern that are as much work


class ArgumentsError(Exception):
    """The arguments cannot be used; the text is for the model."""


class Work:
    """What the checks of one response may still cost, in units."""

    def __init__(self) -> None:
        self.left = WORK_LIMIT

    def renew(self) -> None:
        """Another response has come."""
        self.left = WORK_LIMIT

    def spend(self, units: int) -> None:
        """Have so much done. Raises ArgumentsError if it is too much."""
        self.left -= units
        if self.left < 0:
            raise ArgumentsError("the arguments are too much to be checked; write less")


class _Meter:
    """Counts the work of the check that runs."""

    def __init__(self) -> None:
        self._work = Work()
        self._each = 1

    def start(self, work: Work, characters: int) -> None:
        self._work, self._each = work, 1 + characters // _CHARACTERS

    def spend(self, times: int = 1) -> None:
        self._work.spend(times * self._each)


_METER: Final = _Meter()  # of the one check that runs: the schema's keywords are called without it


def read(text: str, work: Work) -> Mapping[str, Any]:
    """The arguments in a JSON text. Raises ArgumentsError."""
    if len(text) > ARGUMENTS_LIMIT:
        raise ArgumentsError(f"the arguments are longer than {ARGUMENTS_LIMIT} characters")
    work.spend(len(text) // _READ)
    try:
        given = json.loads(text or "{}", parse_int=_whole)
        # What Python reads and others do not: NaN, half a character, thousands of brackets.
        json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ArgumentsError("the arguments are not valid JSON") from None
    if not isinstance(given, dict):
        raise ArgumentsError("the arguments are not a JSON object")
    return given


def _whole(text: str) -> int:
    if len(text) > DIGITS_LIMIT:
        raise ArgumentsError(f"a number has more than {DIGITS_LIMIT} digits; write it as text")
    return int(text)


class Schema:
    """The JSON schema of a function's arguments."""

    def __init__(self, schema: Mapping[str, Any]) -> None:
        self._validator: Validator = _BoundedValidator(schema)

    def check(self, given: Mapping[str, Any], size: int, work: Work) -> None:
        """Check arguments of ``size`` characters. Raises ArgumentsError with the worst mistake."""
        _METER.start(work, size)
        try:
            mistakes = list(islice(self._validator.iter_errors(given), _TOLD_LIMIT))
            mistake = best_match(mistakes)
        except (ArithmeticError, RecursionError):
            raise ArgumentsError("the arguments cannot be checked; write less") from None
        if mistake is not None:
            place = mistake.json_path.removeprefix("$.").removeprefix("$") or "arguments"
            raise ArgumentsError(f"{place}: {mistake.message[:300]}")


_Keyword = Callable[[Validator, Any, Any, Any], Iterator[jsonschema.ValidationError] | None]


def _bounded(check: _Keyword) -> _Keyword:
    def keyword(
        validator: Validator, value: Any, instance: Any, schema: Any
    ) -> Iterator[jsonschema.ValidationError]:
        _METER.spend(1 + len(value) // 20 if isinstance(value, list | dict) else 1)
        yield from check(validator, value, instance, schema) or ()

    return keyword


@lru_cache(maxsize=1000)
def _pattern(text: str) -> Pattern:
    return Pattern(text)


def _matches(
    validator: Validator, value: str, instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    if not isinstance(instance, str):
        return
    pattern = _pattern(value)
    _METER.spend(1 + pattern.work(instance) // _STEPS)
    if not pattern.found_in(instance):
        yield jsonschema.ValidationError(f"{instance!r} does not match {value!r}")


def _unique(
    validator: Validator, value: bool, instance: Any, schema: Any
) -> Iterator[jsonschema.ValidationError]:
    # jsonschema compares each with each.
    if value and isinstance(instance, list):
        _METER.spend(len(instance) // 2)
        texts = {json.dumps(_comparable(each), sort_keys=True) for each in instance}
        if len(texts) < len(instance):
            yield jsonschema.ValidationError("the list has the same entry twice")


def _comparable(value: Any) -> Any:
    """``value`` with each number that is whole as an integer: JSON knows no difference."""
    if isinstance(value, dict):
        return {key: _comparable(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_comparable(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


_ORIGINAL: Final = jsonschema.Draft202012Validator
_BoundedValidator: Final[Any] = jsonschema.validators.extend(  # type: ignore[no-untyped-call]
    _ORIGINAL,
    {
        **{name: _bounded(check) for name, check in _ORIGINAL.VALIDATORS.items()},
        "pattern": _matches,
        "uniqueItems": _unique,
    },
)

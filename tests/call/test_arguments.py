"""The arguments of function calls: what is right passes, what would hold the loop does not."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import jsonschema
import pytest

from esl_controller.call.arguments import (
    ARGUMENTS_LIMIT,
    DIGITS_LIMIT,
    WORK_LIMIT,
    ArgumentsError,
    Schema,
    Work,
    read,
)
from tests.lateness import LoopWatch


def of(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, **more}


LIST = of({"a": {"type": "array", "uniqueItems": True}})
ORDER = of(
    {
        "day": {"type": "string", "pattern": r"^\d{4}-\d{2}-\d{2}$"},
        "items": {
            "type": "array",
            "items": of({"name": {"type": "string"}, "count": {"type": "integer", "minimum": 1}}),
        },
    },
    required=["day"],
)


def check(schema: dict[str, Any], text: str, work: Work | None = None) -> None:
    jsonschema.Draft202012Validator.check_schema(schema)
    check_only(schema, text, work or Work())


def test_what_is_right_passes() -> None:
    items = [{"name": "pizza", "count": number} for number in range(1, 60)]
    check(ORDER, json.dumps({"day": "2026-11-30", "items": items}))
    check(LIST, '{"a": [1, true, "1", [1], {"a": 1}, {"a": 2}]}')


@pytest.mark.parametrize(
    ("schema", "text", "why"),
    [
        (ORDER, '{"day": "2026-11-30\\n"}', "day: .* does not match"),
        (ORDER, "{}", "arguments: 'day' is a required property"),
        (LIST, '{"a": [1, 1.0]}', "a: the list has the same entry twice"),
        (LIST, '{"a": [{"x": [1]}, {"x": [1]}]}', "a: the list has the same entry twice"),
        (of({}), f'{{"a": {"9" * (DIGITS_LIMIT + 1)}}}', "more than 20 digits; write it as text"),
        (of({"a": {"multipleOf": 0.1}}), '{"a": 1e400}', "not valid JSON"),
    ],
)
def test_what_is_wrong_is_told(schema: dict[str, Any], text: str, why: str) -> None:
    with pytest.raises(ArgumentsError, match=why):
        check(schema, text)


def test_a_number_of_as_many_digits_as_64_bits_have_is_read() -> None:
    check(of({"a": {"type": "integer"}}), f'{{"a": {"9" * DIGITS_LIMIT}}}')


def test_arguments_are_read_up_to_their_limit() -> None:
    fits = '{"a": "' + "x" * (ARGUMENTS_LIMIT - 9) + '"}'
    assert len(fits) == ARGUMENTS_LIMIT
    assert read(fits, Work())
    with pytest.raises(ArgumentsError, match="longer than 20000"):
        read(fits + " ", Work())


def objects(count: int) -> str:
    return json.dumps({"a": [{}] * count}, separators=(",", ":"))


ANY_OF = {"anyOf": [{"type": "string", "enum": [str(each)]} for each in range(400)]}
HOSTILE = {
    "entries that are compared with each other": (LIST, objects(6000)),
    "a pattern that goes back": (of({"a": {"pattern": "(a+)+$"}}), f'{{"a": "{"a" * 19000}!"}}'),
    "one that goes back a little": (of({"a": {"pattern": "(a+)+$"}}), f'{{"a": "{"a" * 40}!"}}'),
    "a mistake in each entry": (of({"a": {"items": {"type": "string"}}}), objects(6000)),
    "many alternatives for each": (of({"a": {"items": ANY_OF}}), objects(6000)),
    "many alternatives for a long text": (of({"a": ANY_OF}), f'{{"a": "{"x" * 19000}"}}'),
    "many of them for all": (of({}, allOf=[{"maxProperties": 0}] * 700), objects(6000)),
    "brackets": (of({}), "[" * 20_000),
    "brackets that end": (of({}), '{"a":' * 900 + "1" + "}" * 900),
    "10 MB": (of({}), '{"a": "' + "x" * 10_000_000 + '"}'),
    "digits": (of({}), '{"a": ' + "9" * 19_000 + "}"),
    "many properties": (
        of({}, additionalProperties=False),
        json.dumps({str(number): 1 for number in range(1900)}),
    ),
}


@pytest.mark.parametrize(("schema", "text"), HOSTILE.values(), ids=HOSTILE)
async def test_nothing_holds_the_loop(
    schema: dict[str, Any], text: str, watched_loop: LoopWatch
) -> None:
    work = Work()
    async with watched_loop:
        for _ in range(4):  # calls of one response
            with contextlib.suppress(ArgumentsError):
                check_only(schema, text, work)


def check_only(schema: dict[str, Any], text: str, work: Work) -> None:
    Schema(schema).check(read(text, work), len(text), work)


def test_the_work_is_that_of_a_response_not_of_a_call() -> None:
    work = Work()
    one = json.dumps({"day": "2026-11-30", "items": [{"name": "a", "count": 1}] * 35})
    for _ in range(3):
        check(ORDER, one, work)
    assert 0 < work.left < WORK_LIMIT / 2
    work.left = 10
    with pytest.raises(ArgumentsError, match="too much to be checked"):
        check(ORDER, one, work)
    work.renew()
    check(ORDER, one, work)

"""What a secretary's file may hold beyond the types of its keys. [core]"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

import jsonschema

from esl_controller.config.setting_types import shown

if TYPE_CHECKING:
    from esl_controller.secretaries.schema import Secretary

BuiltIn = Literal[
    "end_call", "transfer_call", "hold", "unhold", "send_dtmf", "collect_digits", "take_message"
]
BUILT_INS: tuple[BuiltIn, ...] = get_args(BuiltIn)

Mistake = tuple[str, str]


def folded(name: str) -> str:
    """``name`` as it is compared: without case, accents and superfluous spaces."""
    plain = (c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return " ".join("".join(plain).casefold().split())


def function_name(value: str) -> str:
    """A name that every model API takes for a function, and for an argument."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", value):
        raise ValueError(f"{shown(value)} is not a name of a-z, 0-9 and _, a letter first")
    return value


def collection_name(value: str) -> str:
    """A name that collect_digits takes."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value):
        raise ValueError(
            f"{shown(value)} is not a name of a-z, 0-9 and _, a letter first, at most 32 of them"
        )
    return value


def json_schema(value: dict[str, Any]) -> dict[str, Any]:
    """A JSON schema that describes the arguments of a function."""
    try:
        json.dumps(value, allow_nan=False)
        jsonschema.Draft202012Validator.check_schema(value)
    except (TypeError, ValueError):
        raise ValueError("holds what JSON cannot: a date, a time, inf or nan") from None
    except jsonschema.SchemaError as error:
        place = error.json_path.removeprefix("$").removeprefix(".")
        raise ValueError(
            f"is no JSON schema: {place + ': ' if place else ''}{error.message[:200]}"
        ) from None
    if value.get("type") != "object":
        raise ValueError(
            'must be a JSON schema of type object: type = "object", properties = { ... }'
        )
    if any(key in ("$ref", "$dynamicRef") for key in _keys(value)):
        raise ValueError("holds a $ref; write out what it refers to")
    unknown = set(value.get("required", ())) - set(value.get("properties", {}))
    if unknown:
        raise ValueError(f"requires {shown(min(unknown))}, which is not in its properties")
    return value


def _keys(value: object) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield from value
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _keys(item)


def between_keys(secretary: Secretary) -> Iterator[Mistake]:
    """What is wrong between keys that are right by themselves: dotted key and text."""
    yield from _destinations(secretary)
    yield from _functions(secretary)


def _destinations(secretary: Secretary) -> Iterator[Mistake]:
    used: dict[str, str] = {}
    for index, destination in enumerate(secretary.destinations):
        names = [("name", destination.name), *(("aliases", a) for a in destination.aliases)]
        for key, name in names:
            if folded(name) in used:
                before = used[folded(name)]
                text = f"{shown(name)} is taken: {shown(before)} is its name or alias too"
                yield f"destinations.{index}.{key}", text
            else:
                used[folded(name)] = destination.name
    references = (
        ("fallback", secretary.fallback),
        ("hours.destination", secretary.hours.destination),
    )
    for key, name in references:
        if name and folded(name) not in used:
            yield key, f"{shown(name)} is not a destination; {_there_are(used.values())}"


def _functions(secretary: Secretary) -> Iterator[Mistake]:
    enabled = secretary.enabled_tools
    for name in sorted({name for name in enabled if enabled.count(name) > 1}):
        yield "tools.enabled", f'"{name}" stands in it twice'
    if "transfer_call" in enabled and not secretary.destinations:
        yield "tools.enabled", '"transfer_call" needs [[destinations]]'
    hours = secretary.hours
    if hours.do == "message" and not hours.always_open and "take_message" not in enabled:
        yield "hours.do", '"message" needs "take_message" in [tools] enabled'
    used: set[str] = set(BUILT_INS)
    for index, webhook in enumerate(secretary.tools.webhooks):
        key = f"tools.webhooks.{index}"
        if webhook.name in used:
            whose = "a built-in function's" if webhook.name in BUILT_INS else "another's"
            yield f"{key}.name", f"{shown(webhook.name)} is {whose} name"
        used.add(webhook.name)
        if webhook.secure and "collect_digits" not in enabled:
            yield f"{key}.secure", 'needs "collect_digits" in [tools] enabled'
        for argument in webhook.secure:
            if argument in webhook.parameters.get("properties", {}):
                yield (
                    f"{key}.secure.{argument}",
                    "is in parameters too: the model would be asked for it",
                )


def _there_are(names: Iterable[str]) -> str:
    unique = list(dict.fromkeys(names))
    return f"there are {', '.join(map(shown, unique))}" if unique else "there are none"

"""The built-in functions of the model: the one catalogue of their names. [core]

A secretary's ``[tools] enabled``, its help, what the model is offered, and the check of what the
model sends back all come from ``BUILT_INS``. ``call/tools.py`` has a request for each name.
Two modules know single functions: ``prompt.py`` withholds ``transfer_call`` while the company is
closed and takes messages (``hours.do``), ``secretary.py`` has rules for ``take_message`` and
``collect_digits``. CONTRIBUTING.md has the recipe for a new one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal, TypeAlias

from pydantic import PlainValidator

from esl_controller.config.setting_types import shown
from esl_controller.secretaries.persona import Tool

Name: TypeAlias = Literal[
    "end_call", "take_message", "transfer_call", "hold", "unhold", "send_dtmf", "collect_digits"
]

HOLD_S = 120  # the longest hold
COLLECT_S = 60  # the longest wait for a key
_DESTINATIONS = "{destinations}"  # stands for the names of the secretary's destinations

Arguments: TypeAlias = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class BuiltIn:
    """A function as the model is offered it.

    ``description`` and the descriptions of ``arguments`` may contain ``_DESTINATIONS``.
    ``arguments``: each one's JSON schema; all but the ``optional`` ones are required.
    ``usual``: offered by a secretary whose file does not say what is enabled.
    """

    name: Name
    description: str
    arguments: Arguments
    optional: tuple[str, ...] = ()
    usual: bool = False
    needs_destinations: bool = False

    def tool(self, destinations: Sequence[str]) -> Tool:
        """What the model is told, where callers can be transferred to ``destinations``."""
        names = ", ".join(destinations)

        def filled(value: Any) -> Any:
            return value.replace(_DESTINATIONS, names) if isinstance(value, str) else value

        properties = {
            argument: {key: filled(value) for key, value in schema.items()}
            for argument, schema in self.arguments.items()
        }
        parameters = {
            "type": "object",
            "properties": properties,
            "required": [name for name in properties if name not in self.optional],
            "additionalProperties": False,
        }
        return Tool(self.name, filled(self.description), parameters)


_CATALOGUE = (
    BuiltIn(
        "end_call",
        "End the call, when the caller has nothing more to ask or says goodbye.",
        {},
        usual=True,
    ),
    BuiltIn(
        "take_message",
        "Note a message for the company, once the caller has confirmed it.",
        {
            "name": {"type": "string", "maxLength": 200},
            "phone": {"type": "string", "maxLength": 50},
            "text": {"type": "string", "minLength": 1, "maxLength": 4000},
        },
        optional=("phone",),
        usual=True,
    ),
    BuiltIn(
        "transfer_call",
        "Transfer the caller to one of these destinations, and to nobody else. Say first whom you"
        f" connect the caller with. Destinations: {_DESTINATIONS}.",
        {"destination": {"type": "string", "description": _DESTINATIONS}},
        usual=True,
        needs_destinations=True,
    ),
    BuiltIn(
        "hold",
        "Put the caller on hold with music. It ends by itself, by a key that the caller presses,"
        " or when another function has its result.",
        {"seconds": {"type": "number", "minimum": 5, "maximum": HOLD_S}},
        optional=("seconds",),
    ),
    BuiltIn("unhold", "End the hold.", {}),
    BuiltIn(
        "send_dtmf",
        "Press telephone keys; w is a pause of half a second.",
        {"digits": {"type": "string", "pattern": "^[0-9*#A-Dw]{1,32}$"}},
    ),
    BuiltIn(
        "collect_digits",
        "Wait for the caller to type on the telephone's keys. Ask for it first. With secure, for"
        " PINs and card numbers, you are only told that they were typed.",
        {
            "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,31}$"},
            "count": {"type": "integer", "minimum": 0, "maximum": 32},
            "terminator": {"type": "string", "enum": ["", "#", "*"]},
            "timeout_s": {"type": "number", "minimum": 3, "maximum": COLLECT_S},
            "secure": {"type": "boolean"},
        },
        optional=("count", "terminator", "timeout_s", "secure"),
    ),
)
BUILT_INS: Final[dict[Name, BuiltIn]] = {function.name: function for function in _CATALOGUE}


def usual(*, destinations: bool) -> tuple[Name, ...]:
    """What is enabled where the file does not say; ``destinations``: whether there are any."""
    return tuple(
        function.name
        for function in BUILT_INS.values()
        if function.usual and (destinations or not function.needs_destinations)
    )


def enabled_help() -> str:
    """The help of ``[tools] enabled``."""
    always = usual(destinations=False)
    more = [name for name in usual(destinations=True) if name not in always]
    return (
        f"Any of {', '.join(BUILT_INS)}. Not set: {', '.join(always)}, and {', '.join(more)} if"
        " there are destinations."
    )


def _known(value: object) -> Name:
    if isinstance(value, str) and value in BUILT_INS:
        return value
    *before, last = map(shown, BUILT_INS)
    raise ValueError(f"{shown(value)} is not one of {', '.join(before)} or {last}")


EnabledName = Annotated[Name, PlainValidator(_known)]
"""A name in ``[tools] enabled``: any in the catalogue."""

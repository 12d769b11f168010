"""What a model may do to a call: the functions that it is told of, and its calls checked. [core]

``Toolbox.request`` turns a function call into a typed request, or raises ``ToolError``, whose text
goes back to the model: it says what to do instead. Nothing is done here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import jsonschema

from esl_controller.call.events import ToolCall
from esl_controller.secretaries.persona import Tool
from esl_controller.secretaries.schema import Destination, Secretary, WebhookTool

ARGUMENTS_LIMIT = 20_000  # characters of JSON
HOLD_S = 120
COLLECT_S = 60


class ToolError(Exception):
    """A function call that cannot be done; the text is for the model."""


@dataclass(frozen=True)
class EndCall:
    """Say goodbye and hang up."""


@dataclass(frozen=True)
class TransferCall:
    """Hand the caller over, blind."""

    destination: Destination


@dataclass(frozen=True)
class Hold:
    """Music for the caller, for at most ``seconds``; the model neither hears nor speaks."""

    seconds: float


@dataclass(frozen=True)
class Unhold:
    """End the music."""


@dataclass(frozen=True)
class PressKeys:
    """Press keys towards the caller's side."""

    digits: str


@dataclass(frozen=True)
class CollectDigits:
    """Wait for keys: ``count`` of them (0: any), or until ``terminator``; at most ``timeout_s``
    for each.

    ``secure``: neither the model nor a log gets them; webhook tools do, by ``name``.
    """

    name: str
    count: int
    terminator: str
    timeout_s: float
    secure: bool


@dataclass(frozen=True)
class TakeMessage:
    """Note a message for the company."""

    name: str
    phone: str
    text: str


@dataclass(frozen=True)
class AskServer:
    """Ask somebody else's server."""

    tool: WebhookTool
    arguments: Mapping[str, Any]


Request: TypeAlias = (
    EndCall | TransferCall | Hold | Unhold | PressKeys | CollectDigits | TakeMessage | AskServer
)

Fields = dict[str, dict[str, Any]]


def _schema(fields: Fields, *optional: str) -> Mapping[str, Any]:
    required = [name for name in fields if name not in optional]
    return {
        "type": "object",
        "properties": fields,
        "required": required,
        "additionalProperties": False,
    }


_HOLD: Fields = {"seconds": {"type": "number", "minimum": 5, "maximum": HOLD_S}}
_KEYS: Fields = {"digits": {"type": "string", "pattern": "^[0-9*#A-Dw]{1,32}$"}}
_COLLECT: Fields = {
    "name": {"type": "string", "pattern": "^[a-z][a-z0-9_]{0,31}$"},
    "count": {"type": "integer", "minimum": 0, "maximum": 32},
    "terminator": {"type": "string", "enum": ["", "#", "*"]},
    "timeout_s": {"type": "number", "minimum": 3, "maximum": COLLECT_S},
    "secure": {"type": "boolean"},
}
_MESSAGE: Fields = {
    "name": {"type": "string", "maxLength": 200},
    "phone": {"type": "string", "maxLength": 50},
    "text": {"type": "string", "minLength": 1, "maxLength": 4000},
}

_BUILT_IN: dict[str, tuple[str, Mapping[str, Any], Callable[[Mapping[str, Any]], Request]]] = {
    "end_call": (
        "End the call, when the caller has nothing more to ask or says goodbye.",
        _schema({}),
        lambda given: EndCall(),
    ),
    "hold": (
        "Put the caller on hold with music. It ends by itself, by a key that the caller presses,"
        " or when another function has its result.",
        _schema(_HOLD, "seconds"),
        lambda given: Hold(float(given.get("seconds", HOLD_S / 2))),
    ),
    "unhold": ("End the hold.", _schema({}), lambda given: Unhold()),
    "send_dtmf": (
        "Press telephone keys; w is a pause of half a second.",
        _schema(_KEYS),
        lambda given: PressKeys(given["digits"]),
    ),
    "collect_digits": (
        "Wait for the caller to type on the telephone's keys. Ask for it first. With secure, for"
        " PINs and card numbers, you are only told that they were typed.",
        _schema(_COLLECT, "count", "terminator", "timeout_s", "secure"),
        lambda given: CollectDigits(
            given["name"],
            given.get("count", 0),
            given.get("terminator", "#"),
            float(given.get("timeout_s", 20)),
            given.get("secure", False),
        ),
    ),
    "take_message": (
        "Note a message for the company, once the caller has confirmed it.",
        _schema(_MESSAGE, "phone"),
        lambda given: TakeMessage(given["name"], given.get("phone", ""), given["text"]),
    ),
}


class Toolbox:
    """The functions of one secretary."""

    def __init__(self, secretary: Secretary) -> None:
        self._secretary = secretary
        self._webhooks = {tool.name: tool for tool in secretary.tools.webhooks}
        self.tools: tuple[Tool, ...] = tuple(
            self._tool(name) for name in (*secretary.enabled_tools, *self._webhooks)
        )
        self._validators = {
            tool.name: jsonschema.Draft202012Validator(tool.parameters) for tool in self.tools
        }

    def _tool(self, name: str) -> Tool:
        if name in self._webhooks:
            webhook = self._webhooks[name]
            return Tool(name, webhook.description, webhook.parameters)
        if name == "transfer_call":
            names = [destination.name for destination in self._secretary.destinations]
            where: Fields = {"destination": {"type": "string", "description": ", ".join(names)}}
            return Tool(
                name,
                "Transfer the caller to one of these destinations, and to nobody else. Say first"
                f" whom you connect the caller with. Destinations: {', '.join(names)}.",
                _schema(where),
            )
        description, schema, _ = _BUILT_IN[name]
        return Tool(name, description, schema)

    def request(self, call: ToolCall) -> Request:
        """What ``call`` asks for. Raises ToolError."""
        validator = self._validators.get(call.name)
        if validator is None:
            raise ToolError(
                f"there is no function {call.name[:60]!r}; there are: {', '.join(self._validators)}"
            )
        given = _arguments(call.arguments)
        mistake = jsonschema.exceptions.best_match(validator.iter_errors(given))
        if mistake is not None:
            place = mistake.json_path.removeprefix("$.").removeprefix("$") or "arguments"
            raise ToolError(f"{place}: {mistake.message[:300]}")
        if call.name in self._webhooks:
            return AskServer(self._webhooks[call.name], given)
        if call.name == "transfer_call":
            return TransferCall(self._destination(given["destination"]))
        return _BUILT_IN[call.name][2](given)

    def _destination(self, name: str) -> Destination:
        found = self._secretary.destination(name)
        if found is None:
            names = ", ".join(destination.name for destination in self._secretary.destinations)
            raise ToolError(f"unknown destination {name[:60]!r}; the destinations are: {names}")
        return found


def _arguments(text: str) -> Mapping[str, Any]:
    if len(text) > ARGUMENTS_LIMIT:
        raise ToolError(f"the arguments are longer than {ARGUMENTS_LIMIT} characters")
    try:
        given = json.loads(text or "{}")
        # What Python reads and others do not: NaN, half a character, thousands of brackets.
        json.dumps(given, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        raise ToolError("the arguments are not valid JSON") from None
    if not isinstance(given, dict):
        raise ToolError("the arguments are not a JSON object")
    return given


def failure(why: str) -> str:
    """The output of a function call that came to nothing."""
    return json.dumps({"error": why}, ensure_ascii=False)

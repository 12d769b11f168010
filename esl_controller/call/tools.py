"""The model's function calls: checked, and turned into typed requests. [core]

``Toolbox.tools`` is what the model is offered. ``Toolbox.request`` turns one of its calls into a
request, or raises ``ToolError``, whose text tells the model what to do instead. Nothing is done
here. The built-in functions come from ``secretaries/functions.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

from esl_controller.call import arguments
from esl_controller.call.agent import ToolCall
from esl_controller.call.arguments import ArgumentsError
from esl_controller.secretaries import functions
from esl_controller.secretaries.persona import Tool
from esl_controller.secretaries.schema import Destination, WebhookTool
from esl_controller.secretaries.secretary import Secretary


class ToolError(Exception):
    """A function call that cannot be done; its text is for the model."""


@dataclass(frozen=True)
class EndCall:
    """Say goodbye and hang up."""


@dataclass(frozen=True)
class TransferCall:
    """Transfer the caller, blind."""

    destination: Destination


@dataclass(frozen=True)
class Hold:
    """Play music to the caller for at most ``seconds``, once the model has finished speaking; while
    it plays, the model neither hears nor speaks."""

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
    """Wait for ``count`` keys (0: any number) or for ``terminator``, ``timeout_s`` for each key.

    ``secure``: the digits go to webhook functions only, by ``name``; not to the model or a log.
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
    """Ask the operator's server: a webhook function."""

    tool: WebhookTool
    arguments: Mapping[str, Any]


Parting: TypeAlias = EndCall | TransferCall
"""A request that ends the conversation; ``ending.py`` carries it out."""
Staying: TypeAlias = Hold | Unhold | PressKeys | CollectDigits | TakeMessage | AskServer
"""Any other request; ``tool_calls.py`` carries it out."""
Request: TypeAlias = Parting | Staying

_Parser: TypeAlias = Callable[[Secretary, Mapping[str, Any]], Request]


def _parser(name: functions.Name) -> _Parser:
    """What makes a request of the arguments of the function ``name``, once they are checked."""
    match name:
        case "end_call":
            return lambda secretary, given: EndCall()
        case "transfer_call":
            return lambda secretary, given: TransferCall(_destination(secretary, given))
        case "hold":
            return lambda secretary, given: Hold(float(given.get("seconds", functions.HOLD_S / 2)))
        case "unhold":
            return lambda secretary, given: Unhold()
        case "send_dtmf":
            return lambda secretary, given: PressKeys(given["digits"])
        case "collect_digits":
            return lambda secretary, given: CollectDigits(
                given["name"],
                given.get("count", 0),
                given.get("terminator", "#"),
                float(given.get("timeout_s", 20)),
                given.get("secure", False),
            )
        case "take_message":
            return lambda secretary, given: TakeMessage(
                given["name"], given.get("phone", ""), given["text"]
            )
        case _:
            assert_never(name)


def _destination(secretary: Secretary, given: Mapping[str, Any]) -> Destination:
    name = given["destination"]
    found = secretary.destination(name)
    if found is None:
        names = ", ".join(destination.name for destination in secretary.destinations)
        raise ToolError(f"unknown destination {name[:60]!r}; the destinations are: {names}")
    return found


# A function in the catalogue that has no request ends the process at its start, not a call.
for _name in functions.BUILT_INS:
    _parser(_name)


class Toolbox:
    """The functions of one secretary: the built-in ones that are enabled, and its webhooks.

    ``work``: what the checks of the response that is read now may still cost.
    """

    def __init__(self, secretary: Secretary) -> None:
        self._secretary = secretary
        destinations = [destination.name for destination in secretary.destinations]
        offered: list[tuple[Tool, _Parser]] = [
            (functions.BUILT_INS[name].tool(destinations), _parser(name))
            for name in secretary.enabled_tools
        ]
        offered += [_webhook(webhook) for webhook in secretary.tools.webhooks]
        self.tools = tuple(tool for tool, _ in offered)
        self.work = arguments.Work()
        self._offered = {tool.name: (tool.parameters, parser) for tool, parser in offered}

    def request(self, call: ToolCall) -> Request:
        """What ``call`` asks for. Raises ToolError."""
        if call.name not in self._offered:
            raise ToolError(
                f"there is no function {call.name[:60]!r}; there are: {', '.join(self._offered)}"
            )
        parameters, parser = self._offered[call.name]
        try:
            given = arguments.read(call.arguments, self.work)
            # Made only now: a secretary may have five hundred functions, and a call uses a few.
            arguments.Schema(parameters).check(given, len(call.arguments), self.work)
        except ArgumentsError as error:
            raise ToolError(str(error)) from None
        return parser(self._secretary, given)


def _webhook(webhook: WebhookTool) -> tuple[Tool, _Parser]:
    tool = Tool(webhook.name, webhook.description, webhook.parameters)
    return tool, lambda secretary, given: AskServer(webhook, given)


def failure(why: str) -> str:
    """The output of a function call that failed, as a JSON text."""
    return json.dumps({"error": why}, ensure_ascii=False)

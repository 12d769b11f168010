"""What a model may call, and what comes of bad calls."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.call import tools
from esl_controller.call.agent import ToolCall
from esl_controller.call.tools import Toolbox, ToolError, failure
from esl_controller.secretaries.secretary import Secretary
from tests.call.world import ALL_TOOLS, SALES, secretary

BOX = Toolbox(secretary())


def refused(call: ToolCall) -> str:
    """What the model is told of a call that cannot be done."""
    with pytest.raises(ToolError) as error:
        BOX.request(call)
    return str(error.value)


def test_a_model_is_told_of_what_is_enabled_and_of_webhooks() -> None:
    assert [tool.name for tool in BOX.tools] == [*ALL_TOOLS, "find", "check_pin"]
    assert [tool.name for tool in Toolbox(Secretary()).tools] == ["end_call", "take_message"]
    (transfer,) = (tool for tool in BOX.tools if tool.name == "transfer_call")
    assert "Sales" in transfer.description
    (pin,) = (tool for tool in BOX.tools if tool.name == "check_pin")
    assert "code" not in json.dumps(pin.parameters), "what we fill in is not asked for"


GOOD_CALLS: list[tuple[str, dict[str, Any], tools.Request]] = [
    ("end_call", {}, tools.EndCall()),
    ("transfer_call", {"destination": " SALES"}, tools.TransferCall(SALES)),
    ("transfer_call", {"destination": "Shop"}, tools.TransferCall(SALES)),
    ("hold", {}, tools.Hold(60.0)),
    ("hold", {"seconds": 5}, tools.Hold(5.0)),
    ("unhold", {}, tools.Unhold()),
    ("send_dtmf", {"digits": "12w#"}, tools.PressKeys("12w#")),
    ("collect_digits", {"name": "pin"}, tools.CollectDigits("pin", 0, "#", 20.0, False)),
    ("take_message", {"name": "Ann", "text": "Hi."}, tools.TakeMessage("Ann", "", "Hi.")),
]


@pytest.mark.parametrize(("name", "arguments", "request_"), GOOD_CALLS)
def test_good_calls(name: str, arguments: dict[str, Any], request_: tools.Request) -> None:
    assert BOX.request(_call(name, arguments)) == request_


def _call(name: str, arguments: object) -> ToolCall:
    return ToolCall("c1", name, json.dumps(arguments))


def test_a_webhook_is_asked_with_the_arguments_of_the_model() -> None:
    request = BOX.request(_call("find", {"day": "Monday"}))
    assert isinstance(request, tools.AskServer)
    assert request.tool.url == "http://h/"
    assert request.arguments == {"day": "Monday"}


@pytest.mark.parametrize(
    ("name", "arguments", "says"),
    [
        ("transfer_call", {"destination": "the president"}, "the destinations are: Sales"),
        ("transfer_call", {}, "'destination' is a required property"),
        ("transfer_call", {"destination": 5}, "destination: 5 is not of type 'string'"),
        ("hold", {"seconds": 5000}, "seconds: 5000 is greater than the maximum of 120"),
        ("hold", {"seconds": True}, "seconds: True is not of type 'number'"),
        ("unhold", {"now": 1}, "'now' was unexpected"),
        ("send_dtmf", {"digits": "12; rm"}, "digits: "),
        ("collect_digits", {"name": "Pin Code"}, "name: "),
        ("collect_digits", {"name": "pin", "count": -1}, "count: "),
        ("take_message", {"name": "Ann", "text": ""}, "text: "),
        ("hang_up", {}, "there is no function 'hang_up'; there are: end_call"),
    ],
)
def test_bad_calls_say_what_is_wrong(name: str, arguments: dict[str, Any], says: str) -> None:
    assert says in refused(_call(name, arguments))


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("send_dtmf", {"digits": "1\n"}),
        ("collect_digits", {"name": "pin\n"}),
        ("book", {"day": "Monday\n"}),
    ],
)
def test_a_line_break_at_the_end_fits_no_pattern(name: str, arguments: dict[str, Any]) -> None:
    parameters = {
        "type": "object",
        "properties": {"day": {"type": "string", "pattern": r"^[A-Z][a-z$]+$"}},
        "additionalProperties": False,
    }
    webhook = {"name": "book", "description": "Book.", "url": "http://h/", "parameters": parameters}
    box = Toolbox(secretary(tools={"enabled": list(ALL_TOOLS), "webhooks": [webhook]}))
    with pytest.raises(ToolError):
        box.request(_call(name, arguments))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "not valid JSON"),
        ("[]", "not a JSON object"),
        ('{"seconds": NaN}', "not valid JSON"),
        ('{"seconds": Infinity}', "not valid JSON"),
        ('{"seconds": 1e999}', "not valid JSON"),
        ('{"seconds": "\\ud800"}', "not valid JSON"),
        ('{"a":' * 3000 + "1" + "}" * 3000, "not valid JSON"),
        ('{"seconds": ' + "1" * 10_000 + "}", "more than 20 digits"),
        ('{"a": "' + "x" * 30_000 + '"}', "longer than"),
    ],
)
def test_arguments_that_are_none(text: str, says: str) -> None:
    assert says in refused(ToolCall("c1", "hold", text))


def test_no_arguments_are_an_empty_object() -> None:
    assert BOX.request(ToolCall("c1", "end_call", "")) == tools.EndCall()


@given(st.sampled_from([tool.name for tool in BOX.tools]), st.text() | st.binary().map(repr))
def test_nothing_that_a_model_sends_is_more_than_an_error(name: str, text: str) -> None:
    try:
        BOX.request(ToolCall("c1", name, text))
    except ToolError as error:
        failure(str(error)).encode()


@given(
    st.sampled_from([tool.name for tool in BOX.tools]),
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    ),
)
def test_nor_is_any_json(name: str, value: object) -> None:
    try:
        BOX.request(_call(name, {"name": value, "destination": value, "digits": value}))
    except ToolError as error:
        failure(str(error)).encode()


def test_a_failure_is_json() -> None:
    assert json.loads(failure('no "such" place: ação')) == {"error": 'no "such" place: ação'}

"""The catalogue of built-in functions, and everything that is derived from it."""

from __future__ import annotations

import re
from typing import get_args

import jsonschema
import pytest

from esl_controller.call.tools import Toolbox
from esl_controller.secretaries import functions
from esl_controller.secretaries.functions import BUILT_INS, BuiltIn
from esl_controller.secretaries.schema import Tools
from tests.paths import ROOT
from tests.secretaries.rig import secretary

DESTINATIONS = [{"name": "Sales", "number": "1001"}, {"name": "Help", "number": "1002"}]
NAMES = list(BUILT_INS)


def test_the_type_of_a_name_and_the_catalogue_agree() -> None:
    assert list(get_args(functions.Name)) == NAMES == [each.name for each in BUILT_INS.values()]


@pytest.mark.parametrize("function", BUILT_INS.values(), ids=lambda function: function.name)
def test_a_function_is_accepted_in_a_file_and_offered_as_the_catalogue_has_it(
    function: BuiltIn,
) -> None:
    own = secretary(destinations=DESTINATIONS, tools={"enabled": [function.name]})
    assert own.enabled_tools == (function.name,)
    assert Toolbox(own).tools == (function.tool(["Sales", "Help"]),)


@pytest.mark.parametrize("function", BUILT_INS.values(), ids=lambda function: function.name)
def test_what_the_model_is_told_is_a_strict_schema(function: BuiltIn) -> None:
    tool = function.tool(["Sales"])
    jsonschema.Draft202012Validator.check_schema(tool.parameters)
    assert tool.parameters["additionalProperties"] is False
    assert set(tool.parameters["properties"]) == set(function.arguments)
    assert set(function.optional) <= set(function.arguments)
    required = set(function.arguments) - set(function.optional)
    assert set(tool.parameters["required"]) == required
    assert "{" not in tool.description


def test_the_destinations_are_named_where_they_are_needed() -> None:
    tool = BUILT_INS["transfer_call"].tool(["Sales", "Help"])
    assert tool.description.endswith("Destinations: Sales, Help.")
    assert tool.parameters["properties"]["destination"]["description"] == "Sales, Help"


@pytest.mark.parametrize("function", BUILT_INS.values(), ids=lambda function: function.name)
def test_what_needs_destinations_is_refused_without_any(function: BuiltIn) -> None:
    if function.needs_destinations:
        with pytest.raises(ValueError, match=rf'"{function.name}" needs \[\[destinations\]\]'):
            secretary(tools={"enabled": [function.name]})
    else:
        assert secretary(tools={"enabled": [function.name]}).enabled_tools == (function.name,)


def test_the_usual_ones() -> None:
    assert functions.usual(destinations=False) == ("end_call", "take_message")
    assert functions.usual(destinations=True) == ("end_call", "take_message", "transfer_call")


def test_the_help_names_them_all() -> None:
    text = str(Tools.model_fields["enabled"].description)
    assert text == (
        "Any of end_call, take_message, transfer_call, hold, unhold, send_dtmf, collect_digits."
        " Not set: end_call, take_message, and transfer_call if there are destinations."
    )


@pytest.mark.parametrize("value", ["dance", "", 3, ["hold"], {"hold": 1}])
def test_any_other_name_is_refused_with_those_that_exist(value: object) -> None:
    with pytest.raises(ValueError, match=r'is not one of "end_call", .* or "collect_digits"'):
        Tools.model_validate({"enabled": [value]})


def test_the_pages_for_operators_name_them_all() -> None:
    english = [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]
    text = "\n".join(page.read_text(encoding="utf-8") for page in english)
    assert set(NAMES) <= set(re.findall(r"`(\w+)`", text))
    for page in (ROOT / "docs" / "pt").glob("*.md"):
        named = set(re.findall(r"`(\w+)`", page.read_text(encoding="utf-8"))) & set(NAMES)
        assert len(named) < 4 or named == set(NAMES), f"{page.name} lists some of them only"

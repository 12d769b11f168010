"""How a conversation ends."""

from __future__ import annotations

from typing import Any

import pytest

from esl_controller.actions import Hangup, Transfer
from esl_controller.departure import CLEARING, Departure, Way, outside_hours
from tests.world import SALES, secretary, tool_call


def test_goes_once_and_only_if_decided() -> None:
    departure = Departure()
    assert departure.go() == []
    departure.decide(Hangup(CLEARING))
    assert departure.decided
    assert departure.go() == [Hangup(CLEARING)]
    assert departure.gone
    assert departure.go() == []


def test_comes_back_and_tells_the_function_that_wanted_it_once() -> None:
    departure, call = Departure(), tool_call("transfer_call")
    departure.decide(Transfer(SALES), call)
    departure.go()
    assert departure.back() == call
    assert not departure.decided
    assert departure.go() == []
    assert departure.back() is None


@pytest.mark.parametrize(
    ("do", "way"),
    [
        ("talk", None),
        ("message", None),
        ("hangup", Hangup(CLEARING)),
        ("transfer", Transfer(SALES)),
    ],
)
def test_outside_the_opening_hours(do: str, way: Way | None) -> None:
    hours: dict[str, Any] = {"zone": "UTC", "monday": ["08:00-12:00"], "do": do}
    if do == "transfer":
        hours["destination"] = "shop"
    assert outside_hours(secretary(hours=hours)) == way

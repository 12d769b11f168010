"""How a conversation ends."""

from __future__ import annotations

from typing import Any

import pytest

from esl_controller.call.actions import Hangup, Transfer
from esl_controller.call.ending import CLEARING, RETURNS, Ending, Exit, outside_hours
from esl_controller.call.snapshot import Resumption, Snapshot
from esl_controller.secretaries.schema import Destination
from tests.call.world import SALES, secretary, tool_call

DESK = Destination(name="Desk", number="1002", come_back=True)


def test_goes_once_and_only_if_decided() -> None:
    ending = Ending()
    assert ending.leave() == []
    ending.decide(Hangup(CLEARING))
    assert ending.decided
    assert ending.leave() == [Hangup(CLEARING)]
    assert ending.left
    assert ending.leave() == []


def test_comes_back_and_tells_the_function_that_wanted_it_once() -> None:
    ending, call = Ending(), tool_call("transfer_call")
    ending.decide(Transfer(SALES), call)
    ending.leave()
    assert ending.transfer_failed() == call
    assert not ending.decided
    assert ending.leave() == []
    assert ending.transfer_failed() is None


def test_a_caller_may_come_back_so_often_and_then_a_transfer_is_for_good() -> None:
    exits = []
    for returns in range(RETURNS + 1):
        ending = Ending()
        ending.returns = returns
        ending.decide(Transfer(DESK))
        exits += ending.leave()
    assert exits == [*(Transfer(DESK, n + 1) for n in range(RETURNS)), Transfer(DESK)]


def test_in_another_process_the_way_out_and_the_count_are_known() -> None:
    call = tool_call("transfer_call")
    snapshot = Snapshot(leaving="Desk", leaving_call="c1", pending=(call,), returns=1)
    ending = Ending()
    assert ending.resume(Resumption(snapshot), secretary(destinations=[DESK])) == []
    assert ending.tool_call == call
    assert ending.leave() == [Transfer(DESK, 2)]


@pytest.mark.parametrize(
    ("do", "exit_"),
    [
        ("talk", None),
        ("message", None),
        ("hangup", Hangup(CLEARING)),
        ("transfer", Transfer(SALES)),
    ],
)
def test_outside_the_opening_hours(do: str, exit_: Exit | None) -> None:
    hours: dict[str, Any] = {"zone": "UTC", "monday": ["08:00-12:00"], "do": do}
    if do == "transfer":
        hours["destination"] = "shop"
    assert outside_hours(secretary(hours=hours)) == exit_

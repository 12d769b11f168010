"""Delegations: their calls, when they go on, what they cost."""

from __future__ import annotations

from typing import Any

import pytest

from esl_controller.agents.messages import COUNT_LIMIT
from esl_controller.agents.openai.delegation import LIMIT, Delegations
from esl_controller.call.agent import ToolCall, Usage
from esl_controller.call.agent_events import ResponseDone


def created(delegation: str = "d") -> dict[str, Any]:
    return {"delegation_id": delegation, "event": {"type": "response.created"}}


def called(call_id: str, delegation: str = "d") -> dict[str, Any]:
    item = {"type": "function_call", "call_id": call_id, "name": "look_up", "arguments": "{}"}
    event = {"type": "response.output_item.done", "item": item}
    return {"delegation_id": delegation, "event": event}


def ended(status: str = "completed", delegation: str = "d", **fields: Any) -> dict[str, Any]:
    event = {"type": f"response.{status}", "response": {"id": "r", **fields}}
    return {"delegation_id": delegation, "event": event}


def calls_of(delegations: Delegations, *call_ids: str, delegation: str = "d") -> ResponseDone:
    delegations.read(created(delegation))
    for call_id in call_ids:
        delegations.read(called(call_id, delegation))
    done = delegations.read(ended(delegation=delegation))
    assert done is not None
    return done


def test_calls_are_told_when_their_response_is_complete() -> None:
    delegations = Delegations()
    delegations.read(created())
    assert delegations.read(called("a")) is None
    assert delegations.read(called("b")) is None
    assert delegations.read(called("a")) is None
    assert delegations.read(ended()) == ResponseDone(
        "r", "completed", calls=(ToolCall("a", "look_up", "{}"), ToolCall("b", "look_up", "{}"))
    )


def test_it_goes_on_once_when_every_call_has_its_result() -> None:
    delegations = Delegations()
    calls_of(delegations, "a", "b")
    assert delegations.answer("a")
    assert not delegations.can_go_on()
    assert delegations.answer("b")
    assert delegations.can_go_on()
    assert not delegations.can_go_on()


def test_it_does_not_go_on_while_another_response_runs() -> None:
    delegations = Delegations()
    calls_of(delegations, "a")
    delegations.read(created("other"))
    delegations.answer("a")
    assert not delegations.can_go_on()
    assert delegations.read(ended(delegation="other")) is None
    assert delegations.can_go_on()


def test_a_result_of_no_known_call_is_none_of_ours() -> None:
    delegations = Delegations()
    assert not delegations.answer("a")
    calls_of(delegations, "a")
    assert delegations.answer("a")
    assert not delegations.answer("a")


@pytest.mark.parametrize(
    ("status", "fields", "reason"),
    [
        ("failed", {"error": {"code": "server_error", "message": "It broke."}}, "It broke."),
        ("incomplete", {"incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ("failed", {"error": None}, ""),
    ],
)
def test_calls_of_a_response_that_failed_are_not_told(
    status: str, fields: dict[str, Any], reason: str
) -> None:
    delegations = Delegations()
    delegations.read(created())
    delegations.read(called("a"))
    assert delegations.read(ended(status, **fields)) == ResponseDone("r", status, reason)
    assert not delegations.answer("a")


def test_tokens_of_a_response_without_calls_are_told_with_the_next() -> None:
    usage = {"input_tokens": 40, "input_tokens_details": {"cached_tokens": 8}, "output_tokens": 5}
    delegations = Delegations()
    delegations.read(created())
    assert delegations.read(ended(usage=usage)) is None
    delegations.read(created())
    delegations.read(called("a"))
    done = delegations.read(ended(usage=usage))
    assert done is not None
    assert done.usage == Usage(input_text=80, cached=16, output_text=10)
    assert delegations.take_usage() == Usage()


@pytest.mark.parametrize(
    ("usage", "counted"),
    [
        (None, Usage()),
        (7, Usage()),
        ([{"input_tokens": 7}], Usage()),
        ({}, Usage()),
        ({"input_tokens": -1, "output_tokens": 5}, Usage(output_text=5)),
        ({"input_tokens": "x", "output_tokens": None}, Usage()),
        ({"input_tokens": 2**80, "output_tokens": 5}, Usage(input_text=COUNT_LIMIT, output_text=5)),
        ({"input_tokens": 40, "output_tokens": 1e300}, Usage(40, output_text=COUNT_LIMIT)),
        ({"input_tokens": 40, "output_tokens": [5]}, Usage(40)),
        ({"input_tokens": 40, "input_tokens_details": 7}, Usage(40)),
        ({"input_tokens": 40, "input_tokens_details": {"cached_tokens": {}}}, Usage(40)),
        ({"input_tokens": 40, "input_tokens_details": {"cached_tokens": -8}}, Usage(40)),
        ({"input_tokens": {}, "input_tokens_details": {"cached_tokens": 8}}, Usage(cached=8)),
        (
            {"input_tokens": 40, "input_tokens_details": {"cached_tokens": 1e99}},
            Usage(40, cached=COUNT_LIMIT),
        ),
    ],
)
@pytest.mark.parametrize("status", ["completed", "failed", "incomplete"])
def test_one_bad_count_costs_itself_only(status: str, usage: Any, counted: Usage) -> None:
    delegations = Delegations()
    delegations.read(created())
    delegations.read(called("a"))
    done = delegations.read(ended(status, usage=usage))
    assert done is not None
    assert done.usage == counted
    assert [call.call_id for call in done.calls] == (["a"] if status == "completed" else [])
    assert delegations.usage == Usage()


def test_a_model_in_a_loop_is_not_followed_for_ever() -> None:
    delegations = Delegations()
    delegations.read(created())
    for number in range(LIMIT):
        delegations.read(called(str(number)))
    with pytest.raises(ValueError, match="too many calls"):
        delegations.read(called("more"))
    for number in range(LIMIT - 1):
        delegations.read(created(str(number)))
    with pytest.raises(ValueError, match="too many delegations"):
        delegations.read(created("more"))


def test_it_does_not_go_on_after_last_results_alone() -> None:
    delegations = Delegations()
    calls_of(delegations, "a", "b")
    assert delegations.answer("a", last=True)
    assert delegations.answer("b", last=True)
    assert not delegations.can_go_on()
    calls_of(delegations, "c", "d")
    assert delegations.answer("c", last=True)
    assert delegations.answer("d")  # the end was called off
    assert delegations.can_go_on()

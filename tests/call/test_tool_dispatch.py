"""A response's function calls reach whoever carries them out."""

from __future__ import annotations

import json

import pytest

from esl_controller.call.actions import (
    Actions,
    AskWebhook,
    Note,
    RequestReply,
    SendDtmf,
    StoreMessage,
    ToolResult,
)
from esl_controller.call.agent import ToolCall
from esl_controller.call.conversation_state import ConversationState
from esl_controller.call.tool_budget import CALLS, IN_RESPONSE, ROUNDS
from esl_controller.call.tool_dispatch import INTERRUPTED, ToolDispatcher
from tests.call.parts import parts
from tests.call.world import FAREWELL, kinds, tool_call

FIND, PRESS = tool_call("find", "f1"), tool_call("send_dtmf", "k1", digits="12")
END = tool_call("end_call", "e1")
TO_SALES = tool_call("transfer_call", "t1", destination="Sales")
MESSAGE = tool_call("take_message", "m1", name="Ann", text="Call me.")


def run(state: ConversationState, *calls: ToolCall) -> Actions:
    """What a response with these calls leads to."""
    return ToolDispatcher(state).run(calls, 0.0, cancelled=False)


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (PRESS, ["SendDtmf", "ToolResult"]),
        (FIND, ["AskWebhook"]),
        (MESSAGE, ["StoreMessage", "ToolResult"]),
        (END, ["ToolResult"]),
        (TO_SALES, []),
        (tool_call("nothing"), ["ToolResult"]),
    ],
)
def test_each_call_is_carried_out_or_refused(call: ToolCall, expected: list[str]) -> None:
    state = parts()
    assert kinds(run(state, call)) == expected
    assert state.ending.decided is (call in (END, TO_SALES))


def test_they_are_carried_out_in_their_order() -> None:
    actions = run(parts(), PRESS, MESSAGE, FIND)
    done = [type(a) for a in actions if not isinstance(a, ToolResult)]
    assert done == [SendDtmf, StoreMessage, AskWebhook]


def test_once_the_end_is_decided_nothing_more_is_done() -> None:
    actions = run(parts(), END, PRESS, FIND)
    assert [a.call for a in actions if isinstance(a, ToolResult)] == [END]
    assert len(actions) == 1


def test_of_a_response_that_the_caller_interrupted_nothing_is_done() -> None:
    state = parts()
    actions = ToolDispatcher(state).run((PRESS, END), 0.0, cancelled=True)
    assert actions == [ToolResult(PRESS, INTERRUPTED), ToolResult(END, INTERRUPTED)]
    assert json.loads(INTERRUPTED) == {"error": "not done: the caller interrupted"}
    assert not state.ending.decided
    assert not state.tools.reply_due


def test_one_reply_to_all_once_the_last_webhook_is_done() -> None:
    state = parts()
    run(state, FIND, PRESS)
    assert not state.tools.reply_due
    state.tools.webhook_done("f1", "{}")
    assert state.tools.reply_due
    other = parts()
    run(other, PRESS)
    assert other.tools.reply_due


@pytest.mark.parametrize("spoke", [False, True])
def test_a_wait_is_announced_by_a_model_that_has_said_nothing(spoke: bool) -> None:
    state = parts()
    state.turns.replies.response_started("r1")
    if spoke:
        state.turns.item_queued("i1")
        state.turns.item_finished("i1")
    run(state, FIND)
    state.turns.replies.response_done("r1")
    words = state.turns.request_next(state.may_request, 0.0)
    wait = RequestReply(FAREWELL.instructions.replace("Bye now.", "Wait."))
    assert words == ([] if spoke else [wait])


def test_a_round_costs_its_budget_and_has_checks_of_its_own() -> None:
    state = parts()
    work = state.tools.toolbox.work
    work.left = 0
    run(state, *(tool_call("find", f"c{n}", number=n) for n in range(IN_RESPONSE + 10)))
    assert work.left > 0
    assert len(state.tools.webhooks) == CALLS
    for _ in range(ROUNDS):
        run(state)
    assert not state.tools.budget.take(), "all its calls were made"
    assert state.tools.budget.spent
    state.tools.new_turn()
    run(state)
    assert not state.tools.budget.spent, "a response without calls is no round"


def test_beyond_its_limit_calls_get_no_answer() -> None:
    calls = [tool_call("nothing", f"c{n}", number=n) for n in range(IN_RESPONSE + 10)]
    actions = [a for a in run(parts(), *calls) if not isinstance(a, Note)]
    assert len(actions) == IN_RESPONSE

"""How many functions the model may call before it speaks."""

from __future__ import annotations

import pytest

from esl_controller.call import actions as do
from esl_controller.call.instructions import SPEAK_NOW
from esl_controller.call.tool_budget import CALLS, IN_RESPONSE, INSIST, ROUNDS, ToolBudget
from esl_controller.call.tool_calls import TOO_MANY
from tests.call.world import World, output, tool_call


def test_rounds_and_calls_are_counted_in_each_turn() -> None:
    budget = ToolBudget()
    for _ in range(2):
        for _ in range(ROUNDS):
            assert budget.next_words() == ""
            budget.new_round()
            assert budget.take()
        assert [budget.next_words() for _ in range(INSIST + 1)] == [SPEAK_NOW] * INSIST + [None]
        budget.new_round()
        assert not budget.take()
        budget.new_turn()
    assert [budget.take() for _ in range(CALLS + 1)] == [True] * CALLS + [False]
    assert budget.spent


@pytest.mark.parametrize("takes_turns", [False, True])
def test_a_model_that_calls_functions_without_end_speaks_at_last(takes_turns: bool) -> None:
    world = World(takes_turns=takes_turns).greeted()
    world.turn()
    asked: list[do.RequestReply] = []
    for number in range(100):
        if not (world.asked or takes_turns):
            break
        # Each with other arguments, so that none is a repetition.
        world.reply(tool_call("send_dtmf", f"c{number}", digits=f"{number}"), speak=False)
        asked += [a for a in world.actions if isinstance(a, do.RequestReply)][len(asked) :]
    pressed = [a for a in world.actions if isinstance(a, do.SendDtmf)]
    assert len(pressed) == ROUNDS
    assert [a.instructions for a in asked[-INSIST:]] == [SPEAK_NOW] * INSIST
    assert world.call.conversation.idle, "now it is the caller's turn"
    assert "SendDtmf" in [type(a).__name__ for a in world.asks(tool_call("send_dtmf", digits="1"))]


def test_the_same_call_again_and_again_ends_as_well() -> None:
    world = World().greeted()
    world.turn()
    for number in range(100):
        if world.asked:
            world.reply(tool_call("unhold", f"c{number}"), speak=False)
    assert not world.asked
    assert len([a for a in world.actions if isinstance(a, do.ToolResult)]) == ROUNDS + INSIST


def test_too_many_calls_in_one_response_are_refused() -> None:
    world = World().greeted()
    calls = [tool_call("find", f"c{n}", number=n) for n in range(1000)]
    actions = world.asks(*calls)
    assert len([a for a in actions if isinstance(a, do.AskWebhook)]) == CALLS
    refused = [a for a in actions if isinstance(a, do.ToolResult)]
    assert len(refused) == IN_RESPONSE - CALLS
    assert output(actions) == {"error": TOO_MANY}


def test_webhooks_that_never_answer_do_not_pile_up_over_the_turns() -> None:
    world = World().greeted()
    for turn in range(5):
        calls = [tool_call("find", f"c{turn}-{n}", number=100 * turn + n) for n in range(10)]
        world.asks(*calls, speak=True)
        world.hear_all()
    assert len(world.running) == CALLS


def test_who_wants_to_end_may_end() -> None:
    world = World().greeted()
    calls = [tool_call("find", f"c{n}", number=n) for n in range(CALLS + 1)]
    world.asks(*calls, tool_call("end_call", "bye"), speak=True)
    assert world.call.conversation.leaving

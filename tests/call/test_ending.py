"""How a conversation ends."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from esl_controller.call.actions import (
    Actions,
    Hangup,
    Note,
    PlayMusic,
    RequestReply,
    ToolResult,
    Transfer,
    Unpause,
)
from esl_controller.call.conversation_state import ConversationState
from esl_controller.call.ending import CLEARING, RETURNS, UNKNOWN, Exit, outside_hours
from esl_controller.call.hops import LED_BACK, TRANSFERS, Hops
from esl_controller.call.replies import ReplyKind
from esl_controller.call.snapshot import Resumption, Snapshot
from esl_controller.call.timers import LAST_WORDS_S
from esl_controller.call.tool_calls import DONE
from esl_controller.call.tools import EndCall, Hold, TransferCall, failure
from esl_controller.secretaries.schema import Destination
from tests.call.parts import parts
from tests.call.world import FAREWELL, SALES, secretary, tool_call

DESK = Destination(name="Desk", number="1002", come_back=True)
END, TO_SALES = tool_call("end_call"), tool_call("transfer_call", destination="Sales")
ANNOUNCEMENT = RequestReply("Say that you now connect the caller to Sales.")


def last_words(state: ConversationState) -> Actions:
    """What the model is asked to say now."""
    return state.turns.request_next(state.may_request, 0.0)


# --- the exit -------------------------------------------------------------------------------------


def test_goes_once_and_only_if_decided() -> None:
    ending = parts().ending
    assert ending.leave() == []
    ending.decide(Hangup(CLEARING), 0.0)
    assert ending.decided
    assert ending.leave() == [Hangup(CLEARING)]
    assert ending.left
    assert ending.leave() == []


def test_a_caller_may_come_back_so_often_and_then_a_transfer_is_for_good() -> None:
    exits = []
    for returns in range(RETURNS + 1):
        ending = parts().ending
        ending.returns = returns
        ending.decide(Transfer(DESK), 0.0)
        exits += ending.leave()
    assert exits == [*(Transfer(DESK, n + 1) for n in range(RETURNS)), Transfer(DESK)]


def test_in_another_process_the_way_out_and_the_count_are_known() -> None:
    call = tool_call("transfer_call")
    snapshot = Snapshot(leaving="Desk", leaving_call="c1", pending=(call,), returns=1)
    ending = parts(secretary(destinations=[DESK])).ending
    assert ending.resume(Resumption(snapshot)) == []
    assert ending.tool_call == call
    assert ending.leave() == [Transfer(DESK, 2)]


@pytest.mark.parametrize("kind", get_args(Exit))
def test_another_process_knows_each_way_out(kind: type[Exit]) -> None:
    exits: dict[type[Exit], Exit] = {Hangup: Hangup(CLEARING), Transfer: Transfer(DESK)}
    who = secretary(destinations=[DESK])
    decided, resumed = parts(who).ending, parts(who).ending
    decided.decide(exits[kind], 0.0)
    resumed.resume(Resumption(Snapshot(leaving=decided.exit_name)))
    assert resumed.leave() == decided.leave() != []


def test_a_destination_that_is_not_known_any_more_is_noted_and_the_call_ends() -> None:
    ending = parts(secretary(destinations=[DESK])).ending
    (note,) = ending.resume(Resumption(Snapshot(leaving="Sales")))
    assert note == Note("no transfer to Sales", UNKNOWN)
    assert ending.leave() == [Hangup(CLEARING)]


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
    closed = secretary(hours=hours)
    assert outside_hours(closed) == exit_
    ending = parts(closed).ending
    assert ending.decide_closed(0.0) is (exit_ is not None)
    assert ending.leave() == ([exit_] if exit_ else [])


# --- what is decided with it ----------------------------------------------------------------------


def test_from_the_decision_on_nothing_else_is_said_or_waited_for() -> None:
    state = parts()
    state.timers.begin(0.0)
    state.turns.schedule(ReplyKind.ANSWER)
    state.turns.item_queued("i1")
    state.turns.sound_started()
    state.tools.run(tool_call("hold"), Hold(20.0), 0.0)
    state.tools.start_music()
    actions = state.ending.decide(Hangup(CLEARING), 5.0)
    assert actions[-2:] == [Unpause(), PlayMusic(False)]
    assert not state.turns.caller_has_floor
    assert not state.tools.busy
    assert state.turns.replies.quiet
    assert state.timers.deadline() == 5.0 + LAST_WORDS_S, "for the last words, and nothing else"


def test_once_it_has_left_no_time_is_kept() -> None:
    state = parts()
    state.ending.decide(Hangup(CLEARING), 0.0)
    state.ending.leave()
    assert state.timers.deadline() is None


def test_a_goodbye_is_the_farewell_and_the_hangup() -> None:
    state = parts()
    assert state.ending.say_goodbye(0.0) == []
    assert last_words(state) == [FAREWELL]
    assert state.ending.leave() == [Hangup(CLEARING)]


# --- what the model asks for ----------------------------------------------------------------------


def test_the_model_ends_the_call() -> None:
    state = parts()
    assert state.ending.run(END, EndCall(), 0.0) == [ToolResult(END, DONE)]
    assert last_words(state) == [FAREWELL]


def test_the_model_transfers_the_caller_and_has_its_result_only_if_that_fails() -> None:
    state = parts()
    assert state.ending.run(TO_SALES, TransferCall(SALES), 0.0) == []
    assert last_words(state) == [ANNOUNCEMENT]
    assert state.ending.tool_call == TO_SALES
    assert state.ending.leave() == [Transfer(SALES)]


@pytest.mark.parametrize(("takes_turns", "words"), [(False, []), (True, [FAREWELL])])
def test_what_was_just_said_is_the_goodbye_of_a_model_that_is_asked_to_speak(
    takes_turns: bool, words: Actions
) -> None:
    state = parts(takes_turns=takes_turns)
    state.turns.replies.response_started("r1")
    state.turns.item_queued("i1")
    state.ending.run(END, EndCall(), 0.0)
    state.turns.replies.response_done("r1")
    assert last_words(state) == words


def test_a_caller_who_was_transferred_too_often_stays() -> None:
    state = parts(hops=Hops(transfers=TRANSFERS))
    note, result = state.ending.run(TO_SALES, TransferCall(SALES), 0.0)
    assert note == Note("no transfer to Sales", LED_BACK)
    assert result == ToolResult(TO_SALES, failure(LED_BACK))
    assert not state.ending.decided


# --- what becomes of it ---------------------------------------------------------------------------


def test_a_transfer_that_fails_is_told_to_the_function_that_wanted_it_once() -> None:
    state = parts()
    state.ending.run(TO_SALES, TransferCall(SALES), 0.0)
    state.turns.replies.discard()
    state.ending.leave()
    failed = ToolResult(TO_SALES, failure("the transfer failed: busy"))
    assert state.ending.transfer_failed("busy", 1.0) == [failed]
    assert not state.ending.decided
    assert state.ending.leave() == []
    assert last_words(state) == [RequestReply()]
    assert state.timers.deadline() == state.timers.limit_at, "it stands"
    assert state.ending.tool_call is None


def test_after_a_transfer_that_the_model_did_not_ask_for_comes_the_goodbye() -> None:
    state = parts()
    state.ending.decide(Transfer(SALES), 0.0)
    state.ending.leave()
    assert state.ending.transfer_failed("busy", 1.0) == []
    assert last_words(state) == [FAREWELL]
    assert state.ending.leave() == [Hangup(CLEARING)]


def test_a_conversation_that_is_abandoned_is_over() -> None:
    state = parts()
    state.timers.begin(0.0)
    state.tools.run(tool_call("hold"), Hold(20.0), 0.0)
    state.tools.start_music()
    assert state.ending.fall_back(DESK) == [
        PlayMusic(False),
        Transfer(DESK, 1, fallback=True),
    ]
    assert state.ending.left
    assert state.timers.deadline() is None

"""Function calls, from the request to the result."""

from __future__ import annotations

import json
import re
from typing import Any

from esl_controller.call import tools
from esl_controller.call.actions import (
    Actions,
    AskWebhook,
    PlayMusic,
    SendDtmf,
    StoreMessage,
    TellModel,
    ToolResult,
)
from esl_controller.call.agent import ToolCall
from esl_controller.call.tool_calls import DONE, KEYS_S, MAX_KEYS, PRIVATE_S, ToolExecutor
from esl_controller.call.tools import Toolbox
from tests.call.world import secretary, tool_call


def executor() -> ToolExecutor:
    """One that nothing was asked of yet."""
    return ToolExecutor(Toolbox(secretary()))


def hand(of: ToolExecutor, call: ToolCall, now: float = 0.0) -> Actions:
    """Do what the model wants."""
    request = of.request(call)
    if isinstance(request, list):
        return request
    assert not isinstance(request, tools.EndCall | tools.TransferCall)
    return of.run(call, request, now)


def type_(of: ToolExecutor, keys: str, now: float = 0.0) -> Actions:
    """The caller presses keys."""
    return [action for key in keys for action in of.key_pressed(key, now)]


def output(actions: Actions) -> dict[str, Any]:
    """What the model is told."""
    (result,) = (a for a in actions if isinstance(a, ToolResult))
    return json.loads(result.output)  # type: ignore[no-any-return]


def test_what_is_done_at_once() -> None:
    of, keys = executor(), tool_call("send_dtmf", digits="1#")
    assert hand(of, keys) == [SendDtmf("1#"), ToolResult(keys, DONE)]
    assert of.reply_due
    note = tool_call("take_message", name="Ann", text="Hi.")
    keep, result = hand(of, note)
    assert isinstance(keep, StoreMessage)
    assert keep.request.name == "Ann"
    assert result == ToolResult(note, DONE)
    assert not of.busy


def test_a_bad_call_goes_back() -> None:
    of = executor()
    assert "error" in output(hand(of, tool_call("transfer_call", destination="nobody")))
    assert of.reply_due


# --- webhooks -------------------------------------------------------------------------------------


def test_a_webhook_keeps_the_caller_waiting_until_it_answers() -> None:
    of, call = executor(), tool_call("find", day="Monday")
    (asked,) = hand(of, call)
    assert isinstance(asked, AskWebhook)
    assert of.busy
    assert not of.reply_due
    assert of.webhook_done("other", "{}") == []
    assert of.webhook_done("c1", '{"free": 1}') == [ToolResult(call, '{"free": 1}')]
    assert of.reply_due
    assert not of.busy


def test_one_reply_for_several_webhooks() -> None:
    of = executor()
    hand(of, tool_call("find", "c1", a=1))
    hand(of, tool_call("find", "c2", a=2))
    of.webhook_done("c1", "{}")
    assert not of.reply_due
    of.webhook_done("c2", "{}")
    assert of.reply_due


def test_the_same_call_runs_once_in_a_turn() -> None:
    of = executor()
    first, second, third = (
        ToolCall(i, "find", a) for i, a in (("1", ""), ("2", "{}"), ("3", "{ }"))
    )
    assert len(hand(of, first)) == 1
    assert hand(of, second) == [], "it waits for the first"
    assert of.webhook_done("1", "{}") == [ToolResult(first, "{}"), ToolResult(second, "{}")]
    assert hand(of, third) == [ToolResult(third, "{}")]
    of.new_turn()
    assert isinstance(hand(of, third)[0], AskWebhook)


# --- hold -----------------------------------------------------------------------------------------


def test_music_plays_once_all_was_said_and_stops_once() -> None:
    of = executor()
    assert of.start_music() == []
    assert hand(of, tool_call("hold", seconds=10), now=5.0) == []
    assert not of.music_playing
    assert of.start_music() == [PlayMusic(True)]
    assert of.start_music() == []
    assert of.deadline(model_ready=True) == 15.0
    assert of.time_up(14.9, model_ready=True) == []
    music, result = of.time_up(15.0, model_ready=True)
    assert music == PlayMusic(False)
    assert output([result]) == {"hold": "over", "reason": "the time is over"}
    assert of.end_hold("again") == []


def test_a_hold_that_ends_before_the_music() -> None:
    of = executor()
    hand(of, tool_call("hold"))
    assert output(of.end_hold("no")) == {"hold": "over", "reason": "no"}
    assert PlayMusic(False) not in of.end_hold("no")


def test_one_hold_at_a_time() -> None:
    of = executor()
    assert "not on hold" in output(hand(of, tool_call("unhold")))["error"]
    hand(of, tool_call("hold", seconds=10))
    assert "already" in output(hand(of, tool_call("hold", seconds=11)))["error"]
    of.start_music()
    of.new_turn()
    music, *results = hand(of, tool_call("unhold"))
    assert music == PlayMusic(False)
    assert len(results) == 2


def test_an_answer_ends_a_hold() -> None:
    of = executor()
    hand(of, tool_call("find", "c1"))
    hand(of, tool_call("hold", "c2"))
    of.start_music()
    kinds = [type(action) for action in of.webhook_done("c1", "{}")]
    assert kinds == [PlayMusic, ToolResult, ToolResult]


def test_leaving_drops_what_waits_for_the_caller() -> None:
    of = executor()
    hand(of, tool_call("hold"))
    hand(of, tool_call("collect_digits", name="number"))
    of.start_music()
    of.key_pressed("1", 0.0)
    assert of.stop() == [PlayMusic(False)]
    assert of.stop() == []
    of.key_pressed("2", 0.0)
    of.stop()
    assert not of.busy
    assert of.deadline(model_ready=True) is None


# --- keys -----------------------------------------------------------------------------------------


def test_digits_by_count_by_terminator_and_by_time() -> None:
    of, collect = executor(), {"timeout_s": 5}
    hand(of, tool_call("collect_digits", name="number", count=2, **collect))
    assert output(type_(of, "42")) == {"status": "complete", "digits": "42"}
    hand(of, tool_call("collect_digits", name="number", **collect))
    assert output(type_(of, "123#")) == {"status": "complete", "digits": "123"}
    hand(of, tool_call("collect_digits", name="number", terminator="*", **collect))
    assert output(type_(of, "1#*"))["digits"] == "1#"
    hand(of, tool_call("collect_digits", name="number", terminator="", **collect))
    type_(of, "7#", now=3.0)
    assert of.deadline(model_ready=True) == 8.0, "each key has its time"
    assert of.time_up(7.9, model_ready=True) == []
    assert output(of.time_up(8.0, model_ready=True)) == {"status": "complete", "digits": "7#"}


def test_too_few_digits() -> None:
    of = executor()
    hand(of, tool_call("collect_digits", name="number", count=4))
    told = output(type_(of, "12#"))
    assert (told["status"], told["digits"]) == ("incomplete", "12")
    hand(of, tool_call("collect_digits", "c2", name="number", count=4, timeout_s=5), now=10.0)
    told = output(of.time_up(15.0, model_ready=True))
    assert told["status"] == "incomplete"
    assert "in time" in told["reason"]


def test_digits_without_a_count_have_a_limit() -> None:
    of = executor()
    hand(of, tool_call("collect_digits", name="number"))
    assert len(output(type_(of, "1" * MAX_KEYS))["digits"]) == MAX_KEYS


def test_one_collection_at_a_time() -> None:
    of = executor()
    hand(of, tool_call("collect_digits", name="number"))
    assert "already" in output(hand(of, tool_call("collect_digits", name="other")))["error"]


def shown(*objects: object) -> str:
    """What their repr tells, without their addresses, which may have any digits in them."""
    return re.sub("0x[0-9a-f]+", "", repr(objects))


def test_secret_digits_go_to_the_webhook_that_names_them() -> None:
    of = executor()
    hand(of, tool_call("collect_digits", name="pin", count=4, secure=True))
    actions = type_(of, "4711")
    assert output(actions) == {"status": "complete"}
    (asked,) = hand(of, tool_call("check_pin"))
    assert isinstance(asked, AskWebhook)
    assert asked.secure == {"code": "4711"}
    assert "4711" not in shown(of, actions, asked)
    (asked,) = hand(of, tool_call("find"))
    assert isinstance(asked, AskWebhook)
    assert asked.secure == {}


def test_half_of_them_are_in_no_repr_and_of_no_use() -> None:
    of = executor()
    hand(of, tool_call("collect_digits", name="pin", count=4, secure=True, timeout_s=5))
    type_(of, "4711")
    hand(of, tool_call("collect_digits", "c2", name="pin", count=4, secure=True, timeout_s=5))
    type_(of, "98")
    assert "98" not in shown(of)
    told = of.time_up(5.0, model_ready=True)
    assert output(told)["status"] == "incomplete"
    assert "98" not in shown(told)
    (asked,) = hand(of, tool_call("check_pin"))
    assert isinstance(asked, AskWebhook)
    assert asked.secure == {"code": ""}, "neither half of the new one nor the old one"


def test_keys_after_secret_digits_are_secret_for_a_while() -> None:
    of = executor()
    hand(of, tool_call("collect_digits", name="pin", count=1, secure=True))
    assert not of.is_private(0.0), "they are asked for"
    type_(of, "1", now=10.0)
    assert of.is_private(10.0 + PRIVATE_S - 0.1)
    assert not of.is_private(10.0 + PRIVATE_S)


def test_keys_that_nobody_asked_for_are_told_when_they_end() -> None:
    of = executor()
    type_(of, "1", now=0.0)
    type_(of, "2", now=1.0)
    assert of.busy
    assert of.deadline(model_ready=False) is None, "there is nobody to tell"
    assert of.time_up(9.0, model_ready=False) == []
    assert of.deadline(model_ready=True) == 1.0 + KEYS_S
    assert of.time_up(1.0 + KEYS_S - 0.1, model_ready=True) == []
    (told,) = of.time_up(1.0 + KEYS_S, model_ready=True)
    assert isinstance(told, TellModel)
    assert "12" in told.text
    assert of.reply_due
    assert not of.busy


def test_keys_typed_ahead_are_collected() -> None:
    of = executor()
    type_(of, "47")
    assert hand(of, tool_call("collect_digits", name="pin", count=4, secure=True)) == []
    assert output(type_(of, "11")) == {"status": "complete"}
    assert of.time_up(60.0, model_ready=True) == []

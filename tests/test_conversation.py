"""Who speaks when, without a loop: each test is a conversation."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esl_controller import actions as do
from esl_controller import events as ev
from esl_controller.call import State
from esl_controller.desk import KEYS_S
from esl_controller.replies import CONTINUE
from esl_controller.timetable import LAST_WORDS_S
from tests.world import SALES, World, kinds, secretary, tool_call

FAREWELL = do.Respond("Say exactly this to the caller, and nothing else: Bye now.")
HANGUP = do.Hangup("NORMAL_CLEARING")


def output(actions: list[do.Action], number: int = 0) -> dict[str, Any]:
    """What the model gets for a function call."""
    results = [a for a in actions if isinstance(a, do.ToolResult)]
    return json.loads(results[number].output)  # type: ignore[no-any-return]


# --- turns and replies ----------------------------------------------------------------------------


def test_greets_and_then_answers_each_turn_once() -> None:
    world = World().talking()
    (greeting,) = (a for a in world.actions if isinstance(a, do.Respond))
    assert "Clinic, hello." in greeting.instructions
    world.reply()
    world.hear_all()
    assert world.turn() == [do.Respond()]
    assert world.reply() == []
    world.hear_all()
    assert world.call.talk.at_rest


def test_a_turn_while_the_model_thinks_is_answered_when_that_is_over() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started())
    assert world.feed(ev.SpeechStarted(0), ev.SpeechConfirmed()) == [
        do.Pause(),
        do.CheckSpeech(),
        do.Interrupt(),
        do.Cancel(),
    ]
    assert world.feed(ev.SpeechStopped(0, "u2")) == [do.StopCheck()]
    assert world.feed(world.done(status="cancelled")) == [do.Respond()]


def test_a_reply_that_was_only_asked_for_is_cancelled_as_soon_as_it_has_a_name() -> None:
    world = World().greeted()
    world.turn()
    actions = world.feed(ev.SpeechStarted(0), ev.SpeechConfirmed())
    assert do.Cancel() not in actions
    assert world.feed(world.started()) == [do.Cancel()]


def test_a_reply_that_fails_is_asked_for_again_as_it_was() -> None:
    world = World().talking()
    greeting = world.actions[-1]
    world.feed(world.started())
    assert world.feed(world.done(status="failed")) == [greeting]
    world.feed(world.started(), world.queued())
    world.hear_all()
    world.feed(world.done())
    assert world.turn() == [do.Respond()]  # the failures are forgotten


def test_a_model_that_cannot_reply_counts_as_lost() -> None:
    world = World(fallback="Sales").greeted()
    world.turn()
    world.feed(world.started(), world.done(status="failed"))
    world.feed(world.started())
    assert world.feed(world.done(status="failed")) == [do.Transfer(SALES)]
    assert world.call.outcome == "model lost"


# --- interruptions --------------------------------------------------------------------------------


def test_speech_over_a_reply_pauses_it_and_then_ends_it() -> None:
    world = World().greeted()
    world.turn()
    world.reply()
    assert world.feed(ev.SpeechStarted(0, "u2")) == [do.Pause(), do.CheckSpeech()]
    assert world.feed(ev.SpeechConfirmed()) == [do.Interrupt()]
    assert world.feed(ev.SpeechConfirmed()) == []
    assert world.feed(ev.SpeechStopped(0, "u2")) == [do.StopCheck(), do.Respond()]


def test_a_cough_pauses_once_in_a_reply_and_is_forgotten() -> None:
    world = World().greeted()
    world.turn()
    world.reply()
    world.feed(ev.SpeechStarted(0, "u2"))
    assert world.feed(ev.SpeechDoubted()) == [do.Resume()]
    assert world.feed(ev.SpeechStopped(0, "u2")) == [do.StopCheck(), do.Forget("u2")]
    # What fooled us once gets no second pause, but is heard if it is speech.
    assert world.feed(ev.SpeechStarted(0, "u3")) == [do.CheckSpeech()]
    assert world.feed(ev.SpeechDoubted()) == []
    assert world.feed(ev.SpeechConfirmed()) == [do.Interrupt()]
    world.feed(ev.SpeechStopped(0, "u3"))
    world.reply()
    assert do.Pause() in world.feed(ev.SpeechStarted(0, "u4")), "another reply, another chance"


def test_a_short_sound_without_a_verdict_resumes_and_is_forgotten() -> None:
    world = World().greeted()
    world.turn()
    world.reply()
    world.feed(ev.SpeechStarted(0, "u2"))
    assert world.feed(ev.SpeechStopped(0, "u2")) == [
        do.StopCheck(),
        do.Resume(),
        do.Forget("u2"),
    ]
    world.hear_all()
    assert world.call.talk.at_rest


def test_nothing_is_checked_while_nobody_else_speaks() -> None:
    world = World().greeted()
    assert world.feed(ev.SpeechStarted(0, "u1")) == []
    assert world.feed(ev.SpeechConfirmed(), ev.SpeechDoubted()) == []
    assert world.feed(ev.SpeechStopped(0, "u1")) == [do.Respond()]


def test_a_greeting_that_cannot_be_interrupted() -> None:
    world = World(secretary(barge_in={"during_greeting": False})).talking()
    world.reply()
    assert world.feed(ev.SpeechStarted(0, "u1")) == [do.CheckSpeech()]
    assert world.feed(ev.SpeechStopped(0, "u1")) == [do.StopCheck(), do.Forget("u1")]
    assert world.feed(ev.Dtmf("5")) == []
    # Speech is answered, once the greeting was heard or is said.
    world.feed(ev.SpeechStarted(0, "u2"))
    assert world.feed(ev.SpeechConfirmed()) == []
    assert world.feed(ev.SpeechStopped(0, "u2")) == [do.StopCheck(), do.Respond()]
    world.reply()
    world.hear_all()
    world.turn()
    world.reply()
    assert world.feed(ev.SpeechStarted(0, "u3")) == [do.Pause(), do.CheckSpeech()]


def test_a_sentence_of_ours_is_no_greeting() -> None:
    world = World(secretary(barge_in={"during_greeting": False})).talking()
    world.feed(world.started(), world.queued())
    world.feed(ev.ItemFinished("moment", 900))
    assert world.feed(ev.SpeechStarted(0, "u1")) == [do.CheckSpeech()]


def test_a_key_interrupts_and_is_told() -> None:
    world = World().greeted()
    world.turn()
    world.reply()
    assert world.feed(ev.Dtmf("4")) == [do.Interrupt()]
    assert world.feed(ev.Dtmf("2")) == []
    actions = world.later(KEYS_S + 0.1)
    assert actions == [do.Tell("(The caller pressed 42 on the telephone's keypad.)"), do.Respond()]


def test_a_model_that_takes_turns_itself_is_asked_for_nothing_it_does_itself() -> None:
    world = World(secretary(limits={"max_turns": 1}), takes_turns=True).greeted()
    assert world.turn() == []
    world.feed(world.started(), world.queued())
    assert world.feed(ev.SpeechStarted(0, "u2")) == []
    world.feed(world.done())
    world.hear_all()
    # But its turns are counted, and the end is ours.
    assert world.feed(ev.SpeechStopped(0, "u2")) == [FAREWELL]


def test_a_model_that_calls_functions_while_it_speaks() -> None:
    world = World(takes_turns=True).greeted()
    world.feed(world.started(), world.queued())
    call = tool_call("find")
    actions = world.feed(
        ev.ResponseStarted("d1"), ev.ResponseDone("d1", "completed", calls=(call,))
    )
    assert kinds(actions) == ["AskWebhook"]
    assert world.call.talk.next_deadline() is not None
    assert not world.call.talk.at_rest
    world.feed(world.done())
    world.hear_all()
    assert world.feed(ev.ToolDone("c1", "{}")) == [do.ToolResult(call, "{}")]


# --- functions ------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", ["cancelled", "incomplete", "failed"])
def test_calls_of_a_response_that_was_not_completed_never_run(status: str) -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started())
    actions = world.feed(world.done(tool_call("find"), status=status))
    assert not any(isinstance(a, do.AskWebhook | do.ToolResult) for a in actions)


def test_calls_of_a_response_that_ended_before_it_could_be_cancelled_are_refused() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued(), ev.SpeechStarted(0, "u2"), ev.SpeechConfirmed())
    actions = world.feed(world.done(tool_call("end_call")))
    assert output(actions) == {"error": "not done: the caller interrupted"}
    assert kinds(world.feed(ev.SpeechStopped(0, "u2"))) == ["StopCheck", "Respond"]


def test_a_result_that_comes_during_a_response_brings_one_reply_after_it() -> None:
    world = World().greeted()
    world.asks(tool_call("find", "c1", a=1), tool_call("find", "c2", a=2))
    assert world.asked, "the words for the wait"
    world.feed(world.started(), world.queued())
    assert kinds(world.feed(ev.ToolDone("c1", "{}"))) == ["ToolResult"]
    assert kinds(world.feed(ev.ToolDone("c2", "{}"))) == ["ToolResult"]
    assert world.feed(world.done()) == [do.Respond()]
    assert world.reply() == []


def test_results_of_one_response_are_answered_together() -> None:
    world = World(secretary()).greeted()
    note = tool_call("take_message", "c2", name="Ann", text="Call me.")
    actions = world.asks(tool_call("find"), note, speak=True)
    assert "KeepMessage" in kinds(actions)
    assert "Respond" not in kinds(actions)
    assert kinds(world.feed(ev.ToolDone("c1", "{}"))) == ["ToolResult", "Respond"]


def test_a_wait_is_announced_unless_the_model_did() -> None:
    world = World().greeted()
    actions = world.asks(tool_call("find"))
    assert actions[-1] == do.Respond("Say exactly this to the caller, and nothing else: Wait.")
    world = World().greeted()
    assert kinds(world.asks(tool_call("find"), speak=True)) == ["AskWebhook"]


def test_what_cannot_be_done_goes_back_to_the_model() -> None:
    world = World().greeted()
    actions = world.asks(tool_call("transfer_call", destination="the president"))
    assert "unknown destination" in output(actions)["error"]
    assert world.asked, "the model can act on it"


def test_the_farewell_is_heard_before_the_hangup() -> None:
    world = World().greeted()
    actions = world.asks(tool_call("end_call"))
    assert actions[-1] == FAREWELL
    world.reply()
    assert world.turn() == [], "thanks and goodbyes do not interrupt it"
    assert world.feed(ev.Dtmf("1")) == []
    assert world.hear() == [HANGUP]
    assert world.call.state is State.HANGING_UP


def test_a_farewell_that_the_model_spoke_is_not_said_twice() -> None:
    world = World().greeted()
    assert kinds(world.asks(tool_call("end_call"), speak=True)) == ["ToolResult"]
    assert world.hear() == [HANGUP]


def test_a_farewell_has_a_hard_cap() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call"))
    world.feed(world.started(), world.queued())
    assert world.later(LAST_WORDS_S - 0.1) == []
    assert world.later(0.2)[-1] == HANGUP


def test_a_pause_ends_when_the_end_is_decided() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued(), ev.SpeechStarted(0, "u2"))
    actions = world.feed(world.done(tool_call("end_call")))
    assert actions[1:] == [do.StopCheck(), do.Resume()]
    assert world.hear() == [HANGUP]


def test_no_function_runs_after_the_end() -> None:
    world = World().greeted()
    actions = world.asks(tool_call("end_call", "c1"), tool_call("find", "c2"))
    assert "AskWebhook" not in kinds(actions)


def test_a_transfer_is_announced_and_comes_back_when_it_fails() -> None:
    world = World().greeted()
    call = tool_call("transfer_call", destination="SHOP")
    assert "Sales" in str(world.asks(call)[-1])
    world.reply()
    assert world.hear() == [do.Transfer(SALES)]
    actions = world.feed(ev.TransferFailed("busy"))
    assert output(actions) == {"error": "the transfer failed: busy"}
    assert actions[-1] == do.Respond()
    assert world.call.state is State.TALKING
    limit = world.call.talk.next_deadline()
    assert limit is not None, "the call's limit is forgotten"


def test_a_transfer_that_the_switch_does_not_answer_is_told_too() -> None:
    world = World().greeted()
    world.asks(tool_call("transfer_call", destination="Sales"), speak=True)
    world.hear()
    actions = world.later(6.0)
    assert "no reply from the switch" in output(actions)["error"]
    assert actions[-1] == do.Respond()


def test_a_caller_who_spoke_while_a_transfer_failed_is_not_waited_for() -> None:
    world = World().greeted()
    world.asks(tool_call("transfer_call", destination="Sales"))
    world.feed(world.started(), world.queued(), ev.SpeechStarted(0), world.done())
    world.hear()
    assert world.call.state is State.TRANSFERRING
    assert world.feed(ev.TransferFailed("busy"))[-1] == do.Respond()


# --- hold -----------------------------------------------------------------------------------------


def test_hold_begins_when_all_was_said_and_ends_by_time() -> None:
    world = World().greeted()
    assert world.asks(tool_call("hold", seconds=30), speak=True) == []
    assert not world.call.talk.held, "the caller still hears the announcement"
    assert world.hear() == [do.Music(True)]
    assert world.call.talk.held
    assert world.later(29.0) == []
    actions = world.later(1.1)
    assert kinds(actions) == ["Music", "ToolResult", "Respond"]
    assert output(actions)["reason"] == "the time is over"


def test_a_key_a_result_or_the_model_ends_a_hold() -> None:
    world = World().greeted()
    world.asks(tool_call("hold"))
    assert kinds(world.feed(ev.Dtmf("1"))) == ["Music", "ToolResult", "Respond"]

    world = World().greeted()
    world.asks(tool_call("find", "c1"), tool_call("hold", "c2"), speak=True)
    world.hear()
    actions = world.feed(ev.ToolDone("c1", '{"ok": 1}'))
    assert kinds(actions) == ["Music", "ToolResult", "ToolResult", "Respond"]

    world = World(takes_turns=True).greeted()
    world.reply(tool_call("hold"), speak=False)
    world.feed(world.started())
    assert world.feed(ev.ItemQueued("i9"))[0] == do.Music(False)


def test_who_interrupts_the_announcement_of_a_hold_is_not_put_on_hold() -> None:
    world = World().greeted()
    world.asks(tool_call("hold"), speak=True)
    actions = world.feed(ev.SpeechStarted(0, "u2"), ev.SpeechConfirmed())
    assert output(actions) == {"hold": "over", "reason": "the caller interrupted"}
    assert world.feed(ev.SpeechStopped(0, "u2"))[-1] == do.Respond()
    assert not world.music


def test_the_same_hold_may_be_wanted_again() -> None:
    world = World().greeted()
    world.asks(tool_call("hold", seconds=5))
    world.later(5.1)
    assert world.reply(tool_call("hold", "c2", seconds=5), speak=False) == [do.Music(True)]


# --- keys -----------------------------------------------------------------------------------------


def test_typing_silences_the_question() -> None:
    world = World().greeted()
    world.asks(tool_call("collect_digits", name="number", count=2), speak=True)
    assert world.feed(ev.Dtmf("4")) == [do.Interrupt()]
    actions = world.feed(ev.Dtmf("2"))
    assert output(actions) == {"status": "complete", "digits": "42"}
    assert actions[-1] == do.Respond()


def test_keys_typed_ahead_belong_to_the_collection() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), ev.Dtmf("7"))
    world.feed(world.done(status="cancelled"))
    assert world.later(KEYS_S + 0.1) != []
    world.feed(world.started(), world.queued())
    world.hear_all()
    world.feed(ev.Dtmf("4"), world.done(status="cancelled"))
    collect = tool_call("collect_digits", name="pin", count=4, secure=True)
    world.feed(ev.ResponseStarted("x"), ev.ResponseDone("x", "completed", calls=(collect,)))
    assert world.call.talk.secure
    actions = world.feed(*map(ev.Dtmf, "321"))
    assert output(actions) == {"status": "complete"}


def test_secret_digits_are_seen_by_the_webhook_only() -> None:
    world = World().greeted()
    world.asks(tool_call("collect_digits", name="pin", count=4, secure=True))
    assert world.call.talk.secure
    events = [ev.Dtmf(key) for key in "4711"]
    actions = world.feed(*events)
    actions += world.feed(*map(ev.Dtmf, "47#"))  # more than were asked for
    actions += world.later(5.0)
    assert not world.call.talk.secure
    asked = world.reply(tool_call("check_pin", "c2"), speak=False)
    (webhook,) = (a for a in asked if isinstance(a, do.AskWebhook))
    assert webhook.secure == {"code": "4711"}
    shown = repr([events, actions, asked, vars(world.call.talk)])
    assert "4711" not in shown
    assert "47" not in shown
    assert not any(isinstance(a, do.Tell) for a in actions)


def test_a_second_pin_is_checked_though_the_call_is_the_same() -> None:
    world = World().greeted()
    found = []
    for number, pin in enumerate(("1111", "2222")):
        world.asks(tool_call("collect_digits", "a", name="pin", count=4, secure=True))
        world.feed(*map(ev.Dtmf, pin))
        asked = world.reply(tool_call("check_pin", f"c{number}"), speak=False)
        found += [dict(a.secure) for a in asked if isinstance(a, do.AskWebhook)]
        world.feed(ev.ToolDone(f"c{number}", '{"ok": false}'))
        world.reply()
        world.hear_all()
    assert found == [{"code": "1111"}, {"code": "2222"}]


def test_keys_that_come_while_the_model_is_away_are_told_when_it_is_back() -> None:
    world = World().greeted()
    world.feed(ev.Dtmf("9"))
    world.lose()
    assert not any(isinstance(a, do.Tell) for a in world.later(2.0))
    world.feed(ev.AgentReady())
    assert kinds(world.later(0.1)) == ["Tell", "Respond"]


# --- time -----------------------------------------------------------------------------------------


def test_idle_is_asked_about_and_then_goodbye() -> None:
    world = World(secretary(limits={"idle_s": 8.0, "idle_prompts": 2})).talking()
    world.reply()
    world.later(60.0)
    assert world.items, "time counts from when all was heard"
    world.hear_all()
    for _ in range(2):
        assert world.later(7.9) == []
        (prompt,) = world.later(0.2)
        assert "still there" in str(prompt)
        world.reply()
        world.hear_all()
    assert world.later(8.1) == [FAREWELL]
    world.reply()
    assert world.hear() == [HANGUP]


def test_who_answers_or_types_is_there() -> None:
    world = World(secretary(limits={"idle_s": 5.0, "idle_prompts": 1})).greeted()
    for act in (world.turn, lambda: world.feed(ev.Dtmf("1")) + world.later(KEYS_S + 0.1)):
        assert "still there" in str(world.later(5.1))
        world.reply()
        world.hear_all()
        act()
        world.reply()
        world.hear_all()
    assert "still there" in str(world.later(5.1))


@pytest.mark.parametrize("what", ["speaks", "hold", "collect_digits", "find"])
def test_nobody_is_idle_while_something_goes_on(what: str) -> None:
    world = World(secretary(limits={"idle_s": 2.0})).greeted()
    arguments = {"collect_digits": {"name": "number"}}.get(what, {})
    if what == "speaks":
        world.feed(ev.SpeechStarted(0))
    else:
        world.asks(tool_call(what, **arguments), speak=True)
        world.hear_all()
    assert not any(isinstance(a, do.Respond) for a in world.later(10.0))


def test_the_limit_is_announced_and_kept() -> None:
    limits = {"max_call_s": 60, "warn_s": 20, "idle_s": 0.0}
    world = World(secretary(limits=limits)).greeted()
    (warning,) = world.later(40.1)
    assert "20 seconds" in str(warning)
    world.reply()
    world.hear_all()
    world.feed(ev.SpeechStarted(0))
    # Also in the middle of the caller's words.
    assert world.later(20.0) == [do.Interrupt(), FAREWELL]
    world.reply()
    assert world.hear() == [HANGUP]


def test_the_warning_outlives_an_interruption_and_other_notices() -> None:
    limits = {"max_call_s": 60, "warn_s": 20, "idle_s": 0.0}
    world = World(secretary(limits=limits)).greeted()
    world.later(39.0)
    world.turn()
    world.feed(world.started(), world.queued())
    world.later(2.0)
    world.feed(ev.SpeechStarted(0), ev.SpeechConfirmed(), ev.SpeechStopped(0, "u2"))
    world.feed(world.done(status="cancelled"))
    world.reply(tool_call("find"))
    assert "20 seconds" in str(world.hear())


def test_the_last_turn() -> None:
    world = World(secretary(limits={"max_turns": 2})).greeted()
    for _ in range(2):
        assert world.turn() == [do.Respond()]
        world.reply()
        world.hear_all()
    assert world.turn() == [FAREWELL]


@pytest.mark.parametrize("what", ["talk", "message", "hangup", "transfer"])
def test_outside_the_opening_hours(what: str) -> None:
    hours: dict[str, Any] = {"zone": "UTC", "monday": ["08:00-12:00"], "say": "Closed.", "do": what}
    if what == "transfer":
        hours["destination"] = "Sales"
    world = World(secretary(hours=hours), closed=True).talking()
    assert "Closed." in str(world.actions[-1])
    world.feed(world.started(), world.queued())
    if what in ("talk", "message"):
        assert do.Pause() in world.feed(ev.SpeechStarted(0))
        return
    assert world.feed(ev.SpeechStarted(0)) == []
    assert world.feed(world.done()) == []
    assert world.hear() == [HANGUP if what == "hangup" else do.Transfer(SALES)]
    if what == "transfer":
        assert world.feed(ev.TransferFailed("busy")) == [FAREWELL]
        world.reply()
        assert world.hear() == [HANGUP]


# --- the model's connection -----------------------------------------------------------------------


def test_a_model_lost_in_the_middle_of_a_word_goes_on_from_there() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued())
    assert world.lose() == [do.ConnectAgent()]
    world.hear_all()
    assert world.feed(ev.AgentReady()) == [do.Respond(CONTINUE)]


def test_a_reply_that_never_began_is_asked_for_again() -> None:
    world = World().greeted()
    world.turn()
    world.lose()
    assert world.feed(ev.AgentReady()) == [do.Respond()]


def test_a_reply_that_the_caller_cut_off_is_not_continued() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued(), ev.SpeechStarted(0), ev.SpeechConfirmed())
    world.lose()
    assert world.feed(ev.AgentReady()) == []
    assert world.turn() == [do.Respond()]


def test_a_pause_ends_with_the_connection() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued(), ev.SpeechStarted(0))
    assert do.Resume() in world.lose()


def test_the_farewell_survives_the_connection() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call"))
    world.lose()
    assert world.feed(ev.AgentReady()) == [FAREWELL]
    world.reply()
    assert world.hear() == [HANGUP]


def test_without_a_model_there_is_no_farewell_to_wait_for() -> None:
    world = World(fallback="Sales").greeted()
    world.asks(tool_call("end_call"))
    assert world.lose(permanent=True) == [HANGUP]


def test_a_model_that_takes_turns_itself_is_not_asked_for_its_own_reply() -> None:
    world = World(takes_turns=True).greeted()
    world.feed(world.started())
    world.lose()
    assert world.feed(ev.AgentReady()) == []
    assert world.call.talk.at_rest


def test_what_waited_in_a_lost_lane_is_said_again() -> None:
    world = World().greeted()
    world.turn()
    world.reply()
    world.feed(ev.LaneFailed("closed"))
    world.later(1.0)
    assert world.feed(ev.FilesReady()) == [do.Interrupt(), do.Respond(CONTINUE)]


# --- any order ------------------------------------------------------------------------------------

CALLS = (
    tool_call("end_call"),
    tool_call("transfer_call", destination="Sales"),
    tool_call("transfer_call", destination="nobody"),
    tool_call("hold", seconds=20),
    tool_call("unhold"),
    tool_call("collect_digits", name="pin", count=2, secure=True),
    tool_call("collect_digits", name="number"),
    tool_call("take_message", name="Ann", text="Call me."),
    tool_call("find"),
    tool_call("find", a=1),
    tool_call("check_pin"),
    tool_call("no_such_function"),
)
STEPS = (
    *("answers", "answers", "starts", "speaks", "speaks", "ends", "ends", "ends"),
    *("heard", "heard", "heard", "began", "began", "stopped", "stopped", "confirmed", "doubted"),
    *("key", "webhook", "lost", "back", "back", "transfer", "lane", "files", "wait"),
)
LIMITS = {"idle_s": 6.0, "idle_prompts": 1, "max_call_s": 200, "warn_s": 30}


def step(world: World, kind: str, pick: int) -> None:
    """Let something happen, if it can in this world."""
    may_start = not world.response and (world.asked or world.takes_turns)
    present = world.model == "ready"
    match kind:
        case "answers" if present and may_start:
            world.reply(*_calls(world, pick, 1), speak=pick % 2 == 0)
        case "starts" if present and may_start:
            world.feed(world.started())
        case "speaks" if present and world.response and not world.cancelled:
            if world.call.state is State.TALKING and not world.music:
                world.feed(world.queued())
        case "ends" if present and world.response:
            status = ("completed", "completed", "completed", "failed", "incomplete")[pick % 5]
            if world.cancelled and pick % 3:
                status = "cancelled"
            world.feed(world.done(*_calls(world, pick, pick % 3), status=status))
        case "heard" if world.items and not world.paused:
            world.hear()
        case "began":
            world.feed(ev.SpeechStarted(0, f"u{pick}"))
        case "stopped":
            world.feed(ev.SpeechStopped(0, f"u{pick}"))
        case "confirmed":
            world.feed(ev.SpeechConfirmed())
        case "doubted":
            world.feed(ev.SpeechDoubted())
        case "key":
            world.feed(ev.Dtmf("0123456789*#"[pick % 12]))
        case "webhook" if world.running:
            world.feed(ev.ToolDone(world.running.pop(), '{"found": 1}'))
        case "lost" if world.model != "none":
            world.lose(permanent=pick == 7)
        case "back" if world.model == "connecting":
            world.feed(ev.AgentReady())
        case "transfer" if world.transferring:
            world.feed(ev.TransferFailed("busy") if pick % 4 else ev.Transferred())
        case "lane" if world.call.speaking_by == "lane" and pick == 3:
            world.feed(ev.LaneFailed("closed"))
        case "files" if world.files_due:
            world.files_due, world.items, world.paused = False, [], False
            world.feed(ev.FilesReady())
        case "wait":
            world.later(pick / 2)


def _calls(world: World, pick: int, count: int) -> list[ev.ToolCall]:
    chosen = [CALLS[(pick + i) % len(CALLS)] for i in range(count)]
    names = [f"{len(world.actions)}-{i}" for i in range(count)]
    return [
        ev.ToolCall(name, call.name, call.arguments)
        for name, call in zip(names, chosen, strict=True)
    ]


def let_it_end(world: World) -> None:
    """A caller who is silent, and a model that does its duty: the call comes to its end."""
    world.feed(ev.SpeechStopped(0, "u99"))
    for _ in range(300):
        if world.call.state is State.ENDED:
            return
        if world.files_due:
            step(world, "files", 0)
        elif world.call.state is State.HANGING_UP:
            world.feed(ev.HungUp("NORMAL_CLEARING"))
        elif world.transferring:
            world.feed(ev.TransferFailed("busy"))
        elif world.model == "connecting":
            world.feed(ev.AgentReady())
        elif world.asked:
            world.reply()
        elif world.response:
            world.feed(world.done())
        elif world.items:
            world.hear()
        elif world.running:
            step(world, "webhook", 0)
        else:
            deadline = world.call.next_deadline()
            assert deadline is not None, "stuck"
            world.later(max(0.0, deadline - world.now) + 0.001)
    raise AssertionError(f"no end: {world.call.state}")


@settings(max_examples=400, deadline=None)
@given(
    st.booleans(),
    st.sampled_from(["", "Sales"]),
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11), st.floats(0, 3)), max_size=50),
)
def test_no_order_of_events_breaks_a_conversation(
    takes_turns: bool, fallback: str, interruptible: bool, script: list[tuple[str, int, float]]
) -> None:
    who = secretary(limits=LIMITS, barge_in={"during_greeting": interruptible})
    world = World(who, takes_turns=takes_turns, fallback=fallback).talking()
    for kind, pick, seconds in script:
        step(world, kind, pick)
        world.later(seconds)
    let_it_end(world)
    ends = [a for a in world.actions if isinstance(a, do.Hangup)]
    assert len(ends) <= 1
    pins = [a.secure.get("code", "") for a in world.actions if isinstance(a, do.AskWebhook)]
    assert all(len(pin) in (0, 2) for pin in pins)

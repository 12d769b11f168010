"""Conversations in which somebody waits: on hold, for keys, for words, for the model."""

from __future__ import annotations

import re
from typing import Any

import pytest

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import (
    AgentReady,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
)
from esl_controller.call.instructions import CONTINUE
from esl_controller.call.timers import LIMIT_PATIENCE_S
from esl_controller.call.tool_calls import KEYS_S
from tests.call.world import FAREWELL, HANGUP, SALES, World, kinds, output, secretary, tool_call

# --- hold -----------------------------------------------------------------------------------------


def test_hold_begins_when_all_was_said_and_ends_by_time() -> None:
    world = World().greeted()
    assert world.asks(tool_call("hold", seconds=30), speak=True) == []
    assert not world.call.conversation.music_playing, "the caller still hears the announcement"
    assert world.hear() == [do.PlayMusic(True)]
    assert world.call.conversation.music_playing
    assert world.later(29.0) == []
    actions = world.later(1.1)
    assert kinds(actions) == ["PlayMusic", "ToolResult", "RequestReply"]
    assert output(actions)["reason"] == "the time is over"


def test_a_key_a_result_or_the_model_ends_a_hold() -> None:
    world = World().greeted()
    world.asks(tool_call("hold"))
    assert kinds(world.feed(ev.Dtmf("1"))) == ["PlayMusic", "ToolResult", "RequestReply"]

    world = World().greeted()
    world.asks(tool_call("find", "c1"), tool_call("hold", "c2"), speak=True)
    world.hear()
    actions = world.feed(ev.WebhookDone("c1", '{"ok": 1}'))
    assert kinds(actions) == ["PlayMusic", "ToolResult", "ToolResult", "RequestReply"]

    world = World(takes_turns=True).greeted()
    world.reply(tool_call("hold"), speak=False)
    world.feed(world.started())
    assert world.feed(ev.ItemQueued("i9"))[0] == do.PlayMusic(False)


def test_who_interrupts_the_announcement_of_a_hold_is_not_put_on_hold() -> None:
    world = World().greeted()
    world.asks(tool_call("hold"), speak=True)
    actions = world.feed(SpeechStarted(0, "u2"), ev.SpeechConfirmed())
    assert output(actions) == {"hold": "over", "reason": "the caller interrupted"}
    assert world.feed(SpeechStopped(0, "u2"))[-1] == do.RequestReply()
    assert not world.music


def test_a_hold_goes_on_with_music_where_files_replace_the_lane() -> None:
    world = World().greeted()
    world.asks(tool_call("hold", seconds=30))
    assert world.music
    world.feed(ev.LaneFailed("closed"))
    world.later(1)
    world.feed(ev.ParkFailed("refused"))
    assert world.feed(ev.FilesReady()) == [do.PlayMusic(True)]
    actions = world.later(30)
    assert kinds(actions) == ["PlayMusic", "ToolResult", "RequestReply"]
    assert output(actions)["reason"] == "the time is over"
    assert not world.music


def test_the_same_hold_may_be_wanted_again() -> None:
    world = World().greeted()
    world.asks(tool_call("hold", seconds=5))
    world.later(5.1)
    assert world.reply(tool_call("hold", "c2", seconds=5), speak=False) == [do.PlayMusic(True)]


# --- keys -----------------------------------------------------------------------------------------


def test_typing_silences_the_question() -> None:
    world = World().greeted()
    world.asks(tool_call("collect_digits", name="number", count=2), speak=True)
    assert world.feed(ev.Dtmf("4")) == [do.Interrupt()]
    actions = world.feed(ev.Dtmf("2"))
    assert output(actions) == {"status": "complete", "digits": "42"}
    assert actions[-1] == do.RequestReply()


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
    world.feed(ResponseStarted("x"), ResponseDone("x", "completed", calls=(collect,)))
    assert world.call.conversation.secret_digits
    actions = world.feed(*map(ev.Dtmf, "321"))
    assert output(actions) == {"status": "complete"}


def test_secret_digits_are_seen_by_the_webhook_only() -> None:
    world = World().greeted()
    world.asks(tool_call("collect_digits", name="pin", count=4, secure=True))
    assert world.call.conversation.secret_digits
    events = [ev.Dtmf(key) for key in "4711"]
    actions = world.feed(*events)
    actions += world.feed(*map(ev.Dtmf, "47#"))  # more than were asked for
    actions += world.later(5.0)
    assert not world.call.conversation.secret_digits
    asked = world.reply(tool_call("check_pin", "c2"), speak=False)
    (webhook,) = (a for a in asked if isinstance(a, do.AskWebhook))
    assert webhook.secure == {"code": "4711"}
    shown = repr([events, actions, asked, vars(world.call.conversation)])
    shown = re.sub("0x[0-9a-f]+", "", shown)  # addresses of objects
    assert "4711" not in shown
    assert "47" not in shown
    assert not any(isinstance(a, do.TellModel) for a in actions)


def test_a_second_pin_is_checked_though_the_call_is_the_same() -> None:
    world = World().greeted()
    found = []
    for number, pin in enumerate(("1111", "2222")):
        world.asks(tool_call("collect_digits", "a", name="pin", count=4, secure=True))
        world.feed(*map(ev.Dtmf, pin))
        asked = world.reply(tool_call("check_pin", f"c{number}"), speak=False)
        found += [dict(a.secure) for a in asked if isinstance(a, do.AskWebhook)]
        world.feed(ev.WebhookDone(f"c{number}", '{"ok": false}'))
        world.reply()
        world.hear_all()
    assert found == [{"code": "1111"}, {"code": "2222"}]


def test_keys_that_come_while_the_model_is_away_are_told_when_it_is_back() -> None:
    world = World().greeted()
    world.feed(ev.Dtmf("9"))
    world.lose()
    assert not any(isinstance(a, do.TellModel) for a in world.later(2.0))
    world.feed(AgentReady())
    assert kinds(world.later(0.1)) == ["TellModel", "RequestReply"]


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
        world.feed(SpeechStarted(0))
    else:
        world.asks(tool_call(what, **arguments), speak=True)
        world.hear_all()
    assert not any(isinstance(a, do.RequestReply) for a in world.later(10.0))


def test_the_limit_is_announced_and_kept() -> None:
    limits = {"max_call_s": 60, "warn_s": 20, "idle_s": 0.0}
    world = World(secretary(limits=limits)).greeted()
    (warning,) = world.later(40.1)
    assert "20 seconds" in str(warning)
    world.reply()
    world.hear_all()
    world.feed(SpeechStarted(0))
    # Also in the middle of the caller's words, if they do not come to an end.
    assert world.later(20.0) == []
    assert world.later(LIMIT_PATIENCE_S) == [do.Interrupt(), FAREWELL]
    world.reply()
    assert world.hear() == [HANGUP]


def test_the_warning_outlives_an_interruption_and_other_notices() -> None:
    limits = {"max_call_s": 60, "warn_s": 20, "idle_s": 0.0}
    world = World(secretary(limits=limits)).greeted()
    world.later(39.0)
    world.turn()
    world.feed(world.started(), world.queued())
    world.later(2.0)
    world.feed(SpeechStarted(0), ev.SpeechConfirmed(), SpeechStopped(0, "u2"))
    world.feed(world.done(status="cancelled"))
    world.reply(tool_call("find"))
    assert "20 seconds" in str(world.hear())


def test_the_last_turn() -> None:
    world = World(secretary(limits={"max_turns": 2})).greeted()
    for _ in range(2):
        assert world.turn() == [do.RequestReply()]
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
        assert do.Pause() in world.feed(SpeechStarted(0))
        return
    assert world.feed(SpeechStarted(0)) == []
    assert world.feed(world.done()) == []
    assert world.hear() == [HANGUP if what == "hangup" else do.Transfer(SALES)]
    if what == "transfer":
        assert world.feed(ev.TransferFailed("busy")) == [FAREWELL]
        world.reply()
        assert world.hear() == [HANGUP]


def test_a_caller_who_is_told_that_it_is_closed_meets_no_other_limit() -> None:
    hours = {"zone": "UTC", "do": "transfer", "destination": "Sales"}
    limits = {"max_call_s": 30, "warn_s": 0}
    world = World(secretary(hours=hours, limits=limits), closed=True).talking()
    world.feed(world.started(), world.queued())
    assert world.later(31) == []
    world.feed(world.done())
    assert world.hear() == [do.Transfer(SALES)]


# --- the model's connection -----------------------------------------------------------------------


def test_a_model_lost_in_the_middle_of_a_word_goes_on_from_there() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued())
    assert world.lose() == [do.ConnectAgent()]
    world.hear_all()
    assert world.feed(AgentReady()) == [do.RequestReply(CONTINUE)]


def test_a_reply_that_never_began_is_asked_for_again() -> None:
    world = World().greeted()
    world.turn()
    world.lose()
    assert world.feed(AgentReady()) == [do.RequestReply()]


def test_a_reply_that_the_caller_cut_off_is_not_continued() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued(), SpeechStarted(0), ev.SpeechConfirmed())
    world.lose()
    assert world.feed(AgentReady()) == []
    assert world.turn() == [do.RequestReply()]


def test_a_pause_ends_with_the_connection() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), world.queued(), SpeechStarted(0))
    assert do.Unpause() in world.lose()


def test_the_farewell_survives_the_connection() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call"))
    world.lose()
    assert world.feed(AgentReady()) == [FAREWELL]
    world.reply()
    assert world.hear() == [HANGUP]


def test_without_a_model_there_is_no_farewell_to_wait_for() -> None:
    world = World(fallback="Sales").greeted()
    world.asks(tool_call("end_call"))
    assert world.lose(Recovery.NEXT_MODEL) == [HANGUP]


def test_a_model_that_takes_turns_itself_is_not_asked_for_its_own_reply() -> None:
    world = World(takes_turns=True).greeted()
    world.feed(world.started())
    world.lose()
    assert world.feed(AgentReady()) == []
    assert world.call.conversation.idle


def test_a_pause_of_the_lost_lane_is_over() -> None:
    world = World().greeted()
    world.turn()
    world.feed(world.started(), SpeechStarted(0, "u2"), ev.LaneFailed("closed"))
    world.later(1.0)
    world.paused = False  # files know no pause
    assert world.feed(ev.FilesReady()) == []
    assert do.Unpause() not in world.feed(SpeechStopped(0, "u2"))


def test_what_waited_in_a_lost_lane_is_said_again() -> None:
    world = World().greeted()
    world.turn()
    world.reply()
    world.feed(ev.LaneFailed("closed"))
    world.later(1.0)
    assert world.feed(ev.FilesReady()) == [do.Interrupt(), do.RequestReply(CONTINUE)]


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("in_flight", [False, True])
def test_last_words_that_waited_in_a_lost_lane_are_said_before_the_hangup(
    begun: bool, in_flight: bool
) -> None:
    world = World().greeted()
    assert world.asks(tool_call("end_call"))[-1] == FAREWELL
    world.feed(world.started(), world.queued())
    if not in_flight:
        world.feed(world.done())
    if begun:
        world.feed(ev.ItemStarted(world.items[0]))
    world.feed(ev.LaneFailed("closed"))
    world.later(1.0)
    actions = world.feed(ev.FilesReady())
    if in_flight:
        assert actions == [do.Interrupt(), do.CancelReply()]
        actions += world.feed(world.done(status="cancelled"))
    assert actions[-1] == (do.RequestReply(CONTINUE) if begun else FAREWELL)
    world.reply()
    assert world.hear() == [HANGUP]


def test_a_farewell_that_was_asked_for_behind_other_words_is_not_lost_with_them() -> None:
    world = World().greeted()
    world.asks(tool_call("find"), speak=True)
    world.feed(ev.WebhookDone("c1", "{}"))
    assert world.reply(tool_call("end_call", "c2"), speak=False)[-1] == FAREWELL
    world.feed(ev.LaneFailed("closed"))
    world.later(1.0)
    assert world.feed(ev.FilesReady()) == [do.Interrupt()], "what has no name cannot be cancelled"
    world.feed(world.started())
    assert world.feed(world.done(status="cancelled")) == [FAREWELL]


def test_the_rest_of_what_was_said_with_the_end_is_said() -> None:
    """A model that says goodbye by itself is not asked for another farewell."""
    world = World().greeted()
    world.asks(tool_call("end_call"), speak=True)
    world.feed(ev.ItemStarted(world.items[0]), ev.LaneFailed("closed"))
    world.later(1.0)
    assert world.feed(ev.FilesReady()) == [do.Interrupt(), do.RequestReply(CONTINUE)]
    world.reply()
    assert world.hear() == [HANGUP]

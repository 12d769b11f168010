"""Idle prompts, the warning, the limit: alone, and in conversations that reach it."""

from __future__ import annotations

import pytest

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent_events import SpeechStarted, SpeechStopped
from esl_controller.call.conversation_state import ConversationState
from esl_controller.call.instructions import STILL_THERE
from esl_controller.call.time_limits import TimeLimits
from esl_controller.call.timers import (
    LAST_WORDS_S,
    LIMIT_PATIENCE_S,
    UNSAID_S,
    WARNING_PATIENCE_S,
)
from tests.call.parts import parts
from tests.call.world import FAREWELL, HANGUP, World, kinds, secretary, tool_call

LIMITED = {"max_call_s": 60, "warn_s": 20, "idle_s": 0.0}
WARNING = do.RequestReply("Tell the caller kindly that this call has to end in 20 seconds.")


# --- alone ----------------------------------------------------------------------------------------


def limits_of(**limits: float) -> tuple[TimeLimits, ConversationState]:
    """Those of a conversation of a minute that begins at 0."""
    who = secretary(limits={**LIMITED, **limits})
    state = parts(who)
    state.timers.begin(0.0)
    return TimeLimits(who.limits, state), state


def asked(state: ConversationState) -> do.Actions:
    """What the model is asked to say now."""
    return state.turns.request_next(state.may_request, 0.0)


def test_before_its_time_nothing_is_done() -> None:
    limits, state = limits_of()
    assert limits.time_up(39.9) == []
    assert asked(state) == []


def test_a_silent_caller_is_asked_so_often_and_then_told_goodbye() -> None:
    limits, state = limits_of(idle_s=5.0, idle_prompts=1)
    state.timers.set_idle(True, 0.0)
    assert limits.time_up(5.0) == []
    assert asked(state) == [do.RequestReply(STILL_THERE)]
    state.turns.replies.end()
    state.timers.set_idle(True, 5.0)
    assert limits.time_up(10.0) == []
    assert asked(state) == [FAREWELL]
    assert state.ending.decided


def test_the_warning_is_left_out_where_the_end_is_decided_already() -> None:
    limits, state = limits_of()
    limits.time_up(40.0)
    assert asked(state) == [WARNING]
    limits, state = limits_of()
    assert state.ending.decide_closed(0.0) is False
    state.ending.decide(HANGUP, 0.0)
    state.timers.begin(0.0)
    limits.time_up(40.0)
    assert asked(state) == []


def test_the_warning_waits_for_the_caller_and_not_for_ever() -> None:
    limits, state = limits_of()
    limits.time_up(40.0)
    assert not state.turns.must_warn
    limits.time_up(40.0 + WARNING_PATIENCE_S)
    assert state.turns.must_warn


def test_at_the_limit_speech_is_cut_for_the_goodbye() -> None:
    limits, state = limits_of(warn_s=0)
    state.turns.item_queued("i1")
    assert limits.time_up(60.0) == [do.Interrupt()]
    assert asked(state) == [FAREWELL]


def test_the_limit_lets_a_caller_finish_once() -> None:
    limits, state = limits_of(warn_s=0)
    assert limits.caller_finished(10.0) == []
    state.turns.sound_started()
    assert limits.time_up(60.0) == []
    assert limits.caller_finished(61.0) == [], "they still speak"
    assert not state.ending.decided
    state.turns.interruption.sound_stopped("")
    assert limits.caller_finished(62.0) == [do.Interrupt()]
    assert state.ending.decided


@pytest.mark.parametrize("after_s", [UNSAID_S, LAST_WORDS_S])
def test_last_words_that_do_not_come_or_do_not_end_are_not_waited_for(after_s: float) -> None:
    limits, state = limits_of()
    state.ending.say_goodbye(0.0)
    state.timers.set_silent_end(after_s == UNSAID_S, 0.0)
    assert limits.time_up(after_s - 0.1) == []
    assert limits.time_up(after_s) == [do.Interrupt(), HANGUP]


# --- in a conversation ----------------------------------------------------------------------------


def limited(**limits: float) -> World:
    """A call of a minute, of which a caller is told 20 s before."""
    return World(secretary(limits={**LIMITED, **limits})).greeted()


def test_a_warning_is_not_cut_by_the_goodbye() -> None:
    world = limited(warn_s=2)
    assert kinds(world.later(58.5)) == ["RequestReply"]
    world.reply()
    assert world.later(2.0) == [FAREWELL], "after the warning, in the same queue"
    world.reply()
    assert world.hear() == []
    assert world.hear() == [HANGUP]


def test_a_warning_that_was_asked_for_is_not_cancelled_by_the_goodbye() -> None:
    world = limited(warn_s=2)
    world.later(58.5)
    world.feed(world.started())
    assert world.later(2.0) == []
    assert world.feed(world.queued(), world.done()) == [FAREWELL]


def test_a_caller_who_speaks_all_the_time_is_warned_all_the_same() -> None:
    world = limited()
    world.later(30.0)
    world.feed(SpeechStarted(0, "u1"))
    assert world.later(10.5) == [], "they may come to an end"
    assert world.later(WARNING_PATIENCE_S) == [WARNING]
    world.reply()
    assert world.feed(SpeechStopped(0, "u1"), SpeechStarted(0, "u2")) == [
        do.RequestReply(),
        do.CheckSpeech(),
    ]
    assert world.feed(ev.SpeechConfirmed()) == [], "and cannot interrupt that"
    world.hear()


def test_a_warning_goes_ahead_of_an_answer_that_has_to_wait() -> None:
    world = limited()
    world.asks(tool_call("find"), speak=True)
    world.hear_all()
    world.feed(SpeechStarted(0, "u2"))
    assert kinds(world.feed(ev.WebhookDone("c1", "{}"))) == ["ToolResult"]
    assert world.later(41.0 + WARNING_PATIENCE_S) == [WARNING]


def test_a_goodbye_waits_for_a_caller_who_speaks() -> None:
    world = limited(warn_s=0)
    world.later(58.0)
    world.feed(SpeechStarted(0, "u1"))
    assert world.later(5.0) == []
    assert world.feed(SpeechStopped(0, "u1")) == [do.Interrupt(), FAREWELL]


def test_a_goodbye_waits_for_the_verdict_on_a_sound() -> None:
    world = limited(warn_s=0)
    world.later(58.0)
    world.turn()
    world.reply()
    world.feed(SpeechStarted(0, "u2"))
    assert world.later(3.0) == []
    actions = world.feed(ev.SpeechDoubted())
    assert kinds(actions) == ["Unpause", "StopCheck", "Interrupt", "RequestReply"]


def test_a_goodbye_does_not_wait_for_ever() -> None:
    world = limited(warn_s=0)
    world.later(58.0)
    world.feed(SpeechStarted(0, "u1"))
    assert world.later(2.0 + LIMIT_PATIENCE_S - 0.1) == []
    assert world.later(0.2)[-1] == FAREWELL

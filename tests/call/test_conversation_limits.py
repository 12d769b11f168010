"""Conversations that reach their limit: the warning before it, and the goodbye."""

from __future__ import annotations

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent_events import SpeechStarted, SpeechStopped
from esl_controller.call.timers import LIMIT_PATIENCE_S, WARNING_PATIENCE_S
from tests.call.world import FAREWELL, HANGUP, World, kinds, secretary, tool_call

LIMITED = {"max_call_s": 60, "warn_s": 20, "idle_s": 0.0}
WARNING = do.RequestReply("Tell the caller kindly that this call has to end in 20 seconds.")


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

"""A machine's tone on the line: no turn, and a line of nothing else ends."""

from __future__ import annotations

import pytest

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent_events import SpeechStarted, SpeechStopped
from esl_controller.call.instructions import STILL_THERE
from esl_controller.call.timers import TONES_S
from tests.call.world import FAREWELL, HANGUP, World, secretary, tool_call


def beep(world: World, number: int) -> list[do.Action]:
    """A fax calls: half a second of tone, and three of silence. The model hears the end late."""
    actions = world.feed(SpeechStarted(0, f"u{number}"))
    actions += world.later(0.4) + world.feed(ev.ToneHeard(alone=True))
    actions += world.later(0.6) + world.feed(SpeechStopped(0, f"u{number}"))
    return actions + world.later(2.5)


def test_a_tone_is_no_turn() -> None:
    world = World(secretary(limits={"max_turns": 1})).greeted()
    assert beep(world, 1) == [do.ForgetItem("u1")]
    assert beep(world, 2) == [do.ForgetItem("u2")], "nor counted"
    assert world.turn() == [do.RequestReply()]


def test_a_fax_is_asked_whether_it_is_there_and_wished_goodbye() -> None:
    world = World(secretary(limits={"idle_s": 10.0, "idle_prompts": 1})).greeted()
    asked = [a for number in range(4) for a in beep(world, number)]
    assert do.RequestReply(STILL_THERE) in asked
    world.reply()
    world.hear_all()
    asked = [a for number in range(4) for a in beep(world, number)]
    assert FAREWELL in asked


@pytest.mark.parametrize(("idle_s", "limit_s"), [(15.0, 15.0), (0.0, TONES_S)])
def test_a_dial_tone_that_never_stops_ends_the_call(idle_s: float, limit_s: float) -> None:
    limits = {"idle_s": idle_s, "idle_prompts": 0}
    world = World(secretary(limits=limits)).greeted()
    world.feed(SpeechStarted(0, "u1"), ev.ToneHeard(alone=True))
    assert world.later(limit_s - 1) == []
    assert world.later(1.5) == [FAREWELL]
    world.reply()
    assert world.hear() == [HANGUP]


def test_without_tones_a_silent_caller_is_left_alone_where_that_is_wanted() -> None:
    world = World(secretary(limits={"idle_s": 0.0})).greeted()
    world.turn()
    world.reply()
    world.hear_all()
    assert world.later(10 * TONES_S) == []
    beep(world, 1)
    world.turn()
    world.reply()
    world.hear_all()
    assert world.later(10 * TONES_S) == [], "the caller spoke after the tone"


def test_who_speaks_after_a_tone_has_the_floor() -> None:
    world = World().greeted()
    world.feed(SpeechStarted(0, "u1"), ev.ToneHeard(alone=True))
    world.feed(ev.SpeechConfirmed())
    assert world.feed(SpeechStopped(0, "u1")) == [do.RequestReply()]


def test_words_before_a_tone_are_answered() -> None:
    world = World().greeted()
    world.feed(SpeechStarted(0, "u1"), ev.ToneHeard(alone=False))
    assert world.call.conversation.idle
    assert world.feed(SpeechStopped(0, "u1")) == [do.RequestReply()]


def test_a_tone_while_we_speak_is_what_the_check_says_of_it() -> None:
    world = World().greeted()
    world.turn()
    world.reply()
    world.feed(SpeechStarted(0, "u2"))
    assert world.feed(ev.ToneHeard(alone=True)) == []
    assert world.feed(ev.SpeechDoubted()) == [do.Unpause()]
    assert world.feed(SpeechStopped(0, "u2")) == [do.StopCheck(), do.ForgetItem("u2")]


def test_a_tone_during_the_farewell_is_forgotten_too() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call"))
    world.reply()
    assert beep(world, 1) == [do.ForgetItem("u1")]
    assert world.hear() == [HANGUP]


def test_the_tone_during_which_a_call_is_ended_is_forgotten_too() -> None:
    world = World(secretary(limits={"idle_s": 5.0, "idle_prompts": 0})).greeted()
    world.later(4.8)
    world.feed(SpeechStarted(0, "u1"))
    world.later(0.4)
    assert world.feed(ev.ToneHeard(alone=True)) + world.later(0.1) == [FAREWELL]
    assert world.feed(SpeechStopped(0, "u1")) == [do.ForgetItem("u1")]
    assert world.feed(SpeechStarted(0, "u2"), SpeechStopped(0, "u2")) == []

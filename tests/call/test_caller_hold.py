"""The caller's phone puts us on hold."""

from __future__ import annotations

import pytest

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import AgentReady, SpeechStarted, SpeechStopped
from esl_controller.call.call_setup import BACKSTOP_S
from esl_controller.call.caller_hold import HELD_S, CallerHold
from esl_controller.call.states import APOLOGY_S, State
from esl_controller.call.tools import Hold
from tests.call.parts import parts
from tests.call.world import World, kinds, secretary, tool_call

PATIENT = {"limits": {"idle_s": 5, "max_call_s": 120, "warn_s": 20}}


def test_alone_it_begins_and_ends_once_and_puts_off_what_waits() -> None:
    state = parts()
    state.timers.begin(0.0)
    state.tools.run(tool_call("hold"), Hold(20.0), 0.0)
    limit_at, hold = state.timers.limit_at, CallerHold(state)
    assert (hold.active, hold.deadline, hold.end(1.0)) == (False, None, [])
    assert hold.begin(2.0) == [do.HoldSpeech()]
    assert (hold.active, hold.deadline, hold.begin(3.0)) == (True, 2.0 + HELD_S, [])
    assert hold.time_up(1.9 + HELD_S) == []
    assert hold.end(12.0) == [do.ReleaseSpeech()]
    assert not hold.active
    assert state.timers.limit_at == limit_at + 10.0
    assert state.tools.deadline(model_ready=True) == 30.0


def test_alone_it_has_a_limit_at_which_the_conversation_ends() -> None:
    state = parts()
    hold = CallerHold(state)
    hold.begin(0.0)
    note, hangup = hold.time_up(HELD_S)
    assert note == do.Note("the call is ended", f"the caller had us on hold for {HELD_S:g} s")
    assert hangup == do.Hangup("NORMAL_CLEARING")
    assert not hold.active
    assert state.ending.left


def test_a_held_caller_is_not_asked_and_not_hung_up_on() -> None:
    world = World(secretary(**PATIENT)).greeted()
    held = world.feed(ev.Held())
    assert held == [do.HoldSpeech(), do.LimitCall(120 + HELD_S + BACKSTOP_S)]
    assert world.later(HELD_S - 1) == []
    assert world.gates == do.SetGates("silent", agent=True)
    back = world.feed(ev.Unheld())
    assert back == [do.ReleaseSpeech()]
    assert world.gates == do.SetGates("open", agent=True)
    # The timers go on where they were.
    assert kinds(world.later(4.9)) == []
    assert kinds(world.later(0.2)) == ["RequestReply"]
    world.reply()
    world.hear_all()
    assert world.call.conversation.limit_at == pytest.approx(120 + HELD_S - 1)


def test_a_hold_has_a_limit_of_its_own() -> None:
    world = World().greeted()
    world.feed(ev.Held())
    assert kinds(world.later(HELD_S + 1))[0] == "Hangup"
    assert world.call.state is State.HANGING_UP


def test_what_is_being_said_waits_for_the_caller() -> None:
    world = World().talking()
    world.reply()
    world.feed(ev.Held())
    assert world.later(60) == []
    assert world.items, "nothing was heard"
    assert world.feed(ev.Unheld()) == [do.ReleaseSpeech()]
    world.hear_all()
    assert world.call.conversation.idle


def test_a_goodbye_waits_for_the_caller() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call"), speak=True)
    world.feed(ev.Held())
    assert world.later(60) == []
    world.feed(ev.Unheld())
    assert kinds(world.hear()) == ["Hangup"]


def test_an_answer_is_asked_for_when_the_caller_is_back() -> None:
    world = World().greeted()
    world.feed(SpeechStarted(0, "u1"), ev.Held())
    assert world.feed(SpeechStopped(0, "u1")) == []
    assert kinds(world.feed(ev.Unheld())) == ["ReleaseSpeech", "RequestReply"]


def test_a_sound_that_was_being_checked_is_dropped() -> None:
    world = World().talking()
    world.reply()
    world.feed(SpeechStarted(0, "u1"))
    assert world.paused
    assert kinds(world.feed(ev.Held())) == ["StopCheck", "Unpause", "HoldSpeech", "LimitCall"]


def test_functions_that_wait_for_the_caller_wait_longer() -> None:
    world = World().greeted()
    world.asks(tool_call("hold", seconds=20))
    assert world.music
    world.later(5)
    world.feed(ev.Held())
    assert world.later(100) == []
    world.feed(ev.Unheld())
    assert world.later(14) == []
    assert kinds(world.later(2)) == ["PlayMusic", "ToolResult", "RequestReply"]


def test_the_model_is_given_up_meanwhile() -> None:
    world = World().greeted()
    world.feed(ev.Held())
    assert kinds(world.lose(Recovery.GIVE_UP)) == []
    assert world.later(30) == [], "an apology would reach nobody"
    assert kinds(world.feed(ev.Unheld())) == ["ReleaseSpeech", "PlaySentence"]
    assert world.call.state is State.CLOSING


def test_no_sentence_of_ours_is_played_into_a_hold() -> None:
    world = World().greeted()
    world.feed(ev.Held())
    world.lose()
    assert "PlaySentence" not in kinds(world.later(9))


def test_a_call_that_arrives_held() -> None:
    world = World()
    world.feed(ev.Arrived(answered=True, held=True))
    wanted = world.feed(ev.StreamOpened(), ev.LaneOpened(8000), AgentReady())
    assert "RequestReply" not in kinds(wanted)
    assert kinds(world.feed(ev.Unheld())) == ["ReleaseSpeech", "RequestReply"]


def test_a_model_that_does_not_come_while_the_caller_holds_us_is_apologised_for_afterwards() -> (
    None
):
    world = World()
    world.feed(ev.Arrived(answered=True, held=True), ev.StreamOpened(), ev.LaneOpened(8000))
    assert world.later(60) == [], "an apology would reach nobody"
    assert kinds(world.feed(ev.Unheld())) == ["ReleaseSpeech", "PlaySentence"]
    assert world.call.state is State.CLOSING


@pytest.mark.parametrize("given_up", [False, True])
def test_a_hold_without_a_model_has_the_same_limit(given_up: bool) -> None:
    world = World()
    world.feed(ev.Arrived(answered=True, held=True), ev.StreamOpened(), ev.LaneOpened(8000))
    if given_up:
        world.lose(Recovery.GIVE_UP)
    assert world.later(HELD_S - 1) == []
    assert kinds(world.later(2)) == ["Hangup"]
    assert world.call.outcome == "model lost"


def test_twice_is_once() -> None:
    world = World().greeted()
    assert world.feed(ev.Unheld()) == []
    world.feed(ev.Held())
    assert world.feed(ev.Held()) == []


def transferring() -> World:
    """The caller has heard that they are connected to Sales."""
    world = World(secretary(destinations=[{"name": "Sales", "number": "1001"}])).greeted()
    world.asks(tool_call("transfer_call", destination="Sales"), speak=True)
    assert kinds(world.hear()) == ["Transfer"]
    return world


def test_a_hold_that_begins_during_a_transfer_that_fails_is_known_after_it() -> None:
    world = transferring()
    assert world.feed(ev.Held()) == [do.HoldSpeech()], "a limit would end the destination's call"
    assert kinds(world.feed(ev.TransferFailed("busy"))) == ["ToolResult", "LimitCall"]
    assert world.call.conversation.held
    assert world.later(60) == [], "nobody would hear it"
    assert kinds(world.feed(ev.Unheld())) == ["ReleaseSpeech", "RequestReply"]


def test_a_hold_that_ends_during_a_transfer_is_over_after_it() -> None:
    world = transferring()
    world.feed(ev.Held())
    assert world.feed(ev.Unheld()) == [do.ReleaseSpeech()]
    assert kinds(world.feed(ev.TransferFailed("busy"))) == ["ToolResult", "RequestReply"]


def test_the_limit_of_a_hold_that_begins_during_a_transfer_counts_from_there() -> None:
    world = transferring()
    world.feed(ev.Held(), ev.TransferFailed("busy"))
    assert world.later(HELD_S - 1) == []
    assert kinds(world.later(2)) == ["Hangup"]


def apologising(*, held_before: bool) -> World:
    """The caller holds us, and is to hear an apology: a transfer has failed, and so has the model;
    or one that they hear already."""
    if not held_before:
        world = World().greeted()
        assert kinds(world.lose(Recovery.GIVE_UP)) == ["PlaySentence"]
        assert kinds(world.feed(ev.Held())) == ["HoldSpeech", "LimitCall"]
        return world
    world = transferring()
    world.feed(ev.Held())
    world.lose(Recovery.GIVE_UP)
    assert kinds(world.feed(ev.TransferFailed("busy"))) == ["PlaySentence"]
    return world


@pytest.mark.parametrize("held_before", [False, True])
def test_an_apology_waits_for_the_caller(held_before: bool) -> None:
    world = apologising(held_before=held_before)
    assert world.call.state is State.CLOSING
    assert world.later(60) == []
    assert world.feed(ev.Unheld()) == [do.ReleaseSpeech()]
    assert world.later(APOLOGY_S - 1) == []
    assert kinds(world.hear()) == ["Hangup"]


@pytest.mark.parametrize("held_before", [False, True])
def test_an_apology_does_not_wait_for_ever(held_before: bool) -> None:
    world = apologising(held_before=held_before)
    assert world.later(HELD_S - 1) == []
    assert kinds(world.later(2)) == ["Hangup"]
    world = apologising(held_before=held_before)
    world.feed(ev.Unheld())
    assert world.feed(ev.Unheld()) == []
    assert kinds(world.later(APOLOGY_S + 1)) == ["Hangup"]

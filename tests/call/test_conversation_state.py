"""A call goes on in another process: what it says and does first there, and what it does not."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent_events import AgentReady, SpeechStarted, SpeechStopped
from esl_controller.call.call_setup import BACKSTOP_S
from esl_controller.call.instructions import ANSWER_NOW, ASK_AGAIN, CONTINUE
from esl_controller.call.replies import ReplyKind, Waiting
from esl_controller.call.snapshot import Snapshot, StoredSnapshot, dump
from esl_controller.call.states import State
from esl_controller.call.tools import Hold
from tests.call.parts import parts
from tests.call.test_conversation_order import LIMITS, STEPS, let_it_end, step
from tests.call.world import FAREWELL, HANGUP, SALES, World, output, secretary, tool_call

HOLD = tool_call("hold", "h1", seconds=20)
FIND = tool_call("find", "f1")


def responses(world: World) -> list[str]:
    """What the model was asked to say, so far."""
    return [action.instructions for action in world.actions if isinstance(action, do.RequestReply)]


def returned(world: World, snapshot: Snapshot, **resumption: Any) -> World:
    """The same call in another process, once the caller is back."""
    return world.crashed(snapshot=snapshot, **resumption).resumed()


def test_at_rest_nothing_is_said() -> None:
    world = World().greeted().crashed().resumed()
    assert responses(world) == []
    assert world.call.conversation.idle
    assert world.turn() == [do.RequestReply()]


def test_who_waited_long_is_told_so() -> None:
    assert do.PlaySentence("back") not in World().greeted().crashed(away_s=0.9).resumed().actions
    assert do.PlaySentence("back") in World().greeted().crashed(away_s=1.1).resumed().actions


def test_who_waited_long_is_told_so_once_and_does_not_wait_for_the_model() -> None:
    world = World().greeted().crashed(away_s=1.1)
    assert do.PlaySentence("back") not in world.feed(ev.StreamOpened())
    assert do.PlaySentence("back") in world.feed(ev.LaneOpened(8000))
    assert do.PlaySentence("back") not in world.feed(AgentReady())


def test_a_call_that_was_not_greeted_begins_anew() -> None:
    (words,) = responses(World().crashed().resumed())
    assert "Clinic, hello." in words


def test_a_sentence_that_was_cut_goes_on() -> None:
    world = World().talking()
    world.reply()
    assert responses(world.crashed().resumed()) == [CONTINUE]


def test_a_turn_that_was_not_answered_is_answered() -> None:
    world = World().greeted()
    world.turn()
    assert responses(world.crashed().resumed()) == [ANSWER_NOW]
    assert responses(world.crashed(words_unknown=True).resumed()) == [ASK_AGAIN]


def test_a_caller_whose_words_nobody_has_is_asked_for_them() -> None:
    """Killed before the model said that they had stopped."""
    world = World().greeted()
    world.feed(SpeechStarted(0, "u1"))
    assert responses(world.crashed().resumed()) == [ASK_AGAIN]
    over_us = World().greeted()
    over_us.turn()
    over_us.reply()
    over_us.feed(ev.ItemStarted(over_us.items[0]), SpeechStarted(0, "u2"), ev.SpeechConfirmed())
    assert not over_us.call.conversation.snapshot().owes
    assert responses(over_us.crashed().resumed()) == [ASK_AGAIN]


def test_the_first_reply_is_not_overwritten_by_a_function_that_nobody_knows_the_end_of() -> None:
    world = World().greeted()
    world.asks(FIND)
    world.feed(SpeechStarted(0, "u2"), ev.SpeechConfirmed(), SpeechStopped(0, "u2"))
    other = world.crashed(words_unknown=True).resumed()
    assert "whether it was done is not known" in output(other.actions)["error"]
    assert responses(other) == [ASK_AGAIN]


def test_what_waits_to_be_heard_is_said_again() -> None:
    """Behind a sentence of ours, for instance."""
    world = World().greeted()
    world.turn()
    world.reply()
    assert world.call.conversation.snapshot().owes
    world.feed(ev.ItemStarted(world.items[0]))
    assert not world.call.conversation.snapshot().owes
    world.hear_all()
    world.asks(tool_call("end_call"))
    world.reply()
    assert world.call.conversation.snapshot().goodbye == FAREWELL.instructions
    world.feed(ev.ItemStarted(world.items[0]))
    assert not world.call.conversation.snapshot().goodbye


def test_turns_prompts_and_the_limit_are_counted_on() -> None:
    world = World(secretary(limits={"max_turns": 2, "max_call_s": 100, "warn_s": 0})).greeted()
    world.turn()
    world.reply()
    world.hear_all().later(60)
    other = world.crashed().resumed()
    other.turn()
    assert responses(other) == [""]
    other.reply()
    other.hear_all().turn()
    assert FAREWELL in other.actions
    late = world.crashed().resumed()
    late.later(41)
    assert late.call.conversation.leaving


def test_a_farewell_is_said_once() -> None:
    world = World().greeted()
    world.asks(tool_call("end_call"))
    asked = world.crashed().resumed()
    assert responses(asked) == [FAREWELL.instructions]
    world.reply()
    cut = world.crashed().resumed()
    assert responses(cut) == [CONTINUE]
    cut.reply()
    cut.hear_all()
    assert HANGUP in cut.actions
    world.hear_all()
    heard = world.crashed().resumed()
    assert responses(heard) == []
    assert HANGUP in heard.actions


def test_a_transfer_is_made_and_announced_once() -> None:
    world = World().greeted()
    world.asks(tool_call("transfer_call", destination="Sales"))
    asked = world.crashed().resumed()
    assert ["Sales" in words for words in responses(asked)] == [True]
    world.reply()
    world.hear_all()
    assert do.Transfer(SALES) in world.actions
    heard = world.crashed().resumed()
    assert responses(heard) == []
    assert do.Transfer(SALES) in heard.actions
    (result,) = (a for a in heard.feed(ev.TransferFailed("busy")) if isinstance(a, do.ToolResult))
    assert "busy" in result.output


def test_who_comes_back_from_a_transfer_is_asked_whether_there_is_more() -> None:
    world = World().greeted()
    world.asks(tool_call("transfer_call", destination="Sales"), speak=True)
    world.hear_all()
    snapshot = world.call.conversation.snapshot().after_transfer
    assert (snapshot.back_from, snapshot.leaving, snapshot.returns) == ("Sales", "", 1)
    other = returned(world, snapshot)
    (words,) = responses(other)
    assert "connected to Sales" in words
    assert "anything else" in words
    assert output(other.actions) == {"status": "done; the caller has come back"}
    assert do.Transfer(SALES) not in other.actions
    assert do.LimitCall(3600 + BACKSTOP_S) in other.actions, (
        "the switch was told to forget the limit"
    )
    later = other.crashed().resumed()
    assert later.call.conversation.snapshot().returns == 1


@pytest.mark.parametrize(
    ("cause", "why"), [("USER_BUSY", "busy"), ("NO_ANSWER", "nobody"), ("X", "not be connected")]
)
def test_who_comes_back_without_having_reached_anybody_is_told_why(cause: str, why: str) -> None:
    world = World().greeted()
    world.asks(tool_call("transfer_call", destination="Sales"), speak=True)
    world.hear_all()
    other = returned(world, world.call.conversation.snapshot().after_transfer, unreached=cause)
    (words,) = responses(other)
    assert why in words
    assert "anything else" not in words
    assert cause in output(other.actions)["error"]


def test_who_was_transferred_without_being_asked_comes_back_without_a_result() -> None:
    away = {"zone": "UTC", "do": "transfer", "destination": "Sales"}
    world = World(secretary(hours=away), closed=True).talking()
    world.reply()
    world.hear_all()
    other = returned(world, world.call.conversation.snapshot().after_transfer)
    (words,) = responses(other)
    assert "connected to Sales" in words
    assert not [action for action in other.actions if isinstance(action, do.ToolResult)]


def test_a_hold_goes_on() -> None:
    world = World().greeted()
    world.asks(HOLD)
    assert world.music
    other = world.crashed().resumed()
    assert other.music
    assert responses(other) == []
    assert output(other.later(25)) == {"hold": "over", "reason": "the time is over"}


def test_what_was_asked_for_is_not_asked_for_again() -> None:
    world = World().greeted()
    world.asks(FIND)
    assert world.running
    other = world.crashed().resumed()
    assert other.running == []
    assert "whether it was done is not known" in output(other.actions)["error"]
    assert "" in responses(other)


def test_digits_that_were_being_typed_are_asked_for_again() -> None:
    world = World().greeted()
    world.asks(tool_call("collect_digits", name="pin", count=4, secure=True))
    world.feed(ev.Dtmf("1"), ev.Dtmf("2"))
    assert "12" not in dump(StoredSnapshot(world.call.conversation.snapshot())).replace("0.12", "")
    other = world.crashed().resumed()
    assert not other.call.conversation.secret_digits
    assert "asked for again" in output(other.actions)["error"]


@settings(max_examples=300, deadline=None)
@given(
    st.booleans(),
    st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11), st.floats(0, 3)), max_size=30),
    st.lists(
        st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 11)), max_size=8), max_size=3
    ),
)
def test_a_call_that_is_lost_at_any_moment_comes_to_its_end(
    takes_turns: bool,
    script: list[tuple[str, int, float]],
    lives: list[list[tuple[str, int]]],
) -> None:
    world = World(secretary(limits=LIMITS), takes_turns=takes_turns).talking()
    for kind, pick, seconds in script:
        step(world, kind, pick)
        world.later(seconds)
    asked = [a.call_id for a in world.actions if isinstance(a, do.AskWebhook)]
    for life in lives:
        if world.call.state not in (State.TALKING, State.TRANSFERRING):
            break
        world = world.crashed().resumed()
        for kind, pick in life:
            step(world, kind, pick)
        again = [a.call_id for a in world.actions if isinstance(a, do.AskWebhook)]
        assert not set(asked) & set(again), "asked for twice"
        asked += again
    let_it_end(world)
    assert len([a for a in world.actions if isinstance(a, do.Hangup)]) <= 1


# --- what concerns several parts ------------------------------------------------------------------


def test_an_interruption_silences_the_model_and_ends_its_hold() -> None:
    state = parts()
    state.turns.item_queued("i1")
    state.tools.run(HOLD, Hold(20.0), 0.0)
    interrupt, result = state.interrupt()
    assert interrupt == do.Interrupt()
    assert output([result]) == {"hold": "over", "reason": "the caller interrupted"}
    assert not state.turns.agent_audible
    assert state.interrupt() == [do.Interrupt()]


def test_on_hold_the_model_may_say_its_last_words_only() -> None:
    state = parts()
    assert state.may_request(ReplyKind.ANSWER)
    state.tools.run(HOLD, Hold(20.0), 0.0)
    assert [kind for kind in ReplyKind if state.may_request(kind)] == [ReplyKind.LAST_WORDS]


def test_idle_is_who_neither_speaks_nor_waits_nor_leaves() -> None:
    state = parts()
    assert state.idle
    state.turns.item_queued("i1")
    assert not state.idle
    state.turns.item_finished("i1")
    state.tools.run(HOLD, Hold(20.0), 0.0)
    assert not state.idle
    state.tools.end_hold("over")
    assert state.idle
    state.ending.decide(HANGUP, 0.0)
    assert not state.idle


def test_who_speaks_or_hears_music_waits_for_nothing() -> None:
    state = parts()
    state.turns.schedule(ReplyKind.ANSWER)
    state.turns.request_next(state.may_request, 0.0)
    waits = [state.waiting]
    state.tools.run(HOLD, Hold(20.0), 0.0)
    state.tools.start_music()
    waits.append(state.waiting)
    state.tools.end_hold("over")
    state.turns.interruption.caller_speaks = True
    waits.append(state.waiting)
    assert waits == [Waiting.A_BEGINNING, Waiting.NOTHING, Waiting.NOTHING]

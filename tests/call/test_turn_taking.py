"""Who has the floor."""

from __future__ import annotations

import pytest

from esl_controller.call.actions import CancelReply, CheckSpeech, Interrupt, Pause, RequestReply
from esl_controller.call.instructions import ANSWER_NOW
from esl_controller.call.replies import ReplyKind
from esl_controller.call.turn_taking import TurnTaking


@pytest.fixture
def turns() -> TurnTaking:
    return TurnTaking(during_greeting=False)


def speaking(turns: TurnTaking, item: str) -> None:
    turns.schedule(ReplyKind.ANSWER)
    assert turns.replies.request_next(turns.may_request) == [RequestReply("")]
    turns.replies.response_started("response")
    turns.item_queued(item)


def test_a_caller_who_is_not_spoken_to_has_it_at_once(turns: TurnTaking) -> None:
    assert turns.nobody_speaks
    assert turns.sound_started() == []
    assert turns.caller_has_floor
    assert not turns.nobody_speaks
    assert turns.may_request(ReplyKind.LAST_WORDS)
    assert not turns.may_request(ReplyKind.ANSWER)


def test_the_greeting_is_heard_first_where_it_must_be(turns: TurnTaking) -> None:
    speaking(turns, "greeting")
    assert not turns.interruptible
    assert turns.sound_started() == [CheckSpeech()]
    turns.item_finished("greeting")
    assert turns.interruptible


def test_only_items_of_the_model_make_a_greeting(turns: TurnTaking) -> None:
    turns.item_finished("music")
    assert not turns.greeted


def test_a_reply_is_interrupted(turns: TurnTaking) -> None:
    turns.greeted = True
    speaking(turns, "item")
    turns.schedule(ReplyKind.PROMPT)
    assert turns.agent_audible
    assert turns.sound_started() == [Pause(), CheckSpeech()]
    assert turns.interrupt() == [Interrupt(), CancelReply()]
    assert not turns.agent_audible
    turns.replies.response_done("response")
    assert turns.agent_finished, "the prompt is not wanted any more"


def test_what_can_wait_waits_until_all_was_heard(turns: TurnTaking) -> None:
    speaking(turns, "item")
    assert turns.may_request(ReplyKind.ANSWER)
    assert not turns.may_request(ReplyKind.NOTICE)
    turns.item_finished("item")
    assert turns.may_request(ReplyKind.NOTICE)


def test_a_model_that_takes_turns_is_told_only_what_it_cannot_know() -> None:
    turns = TurnTaking(during_greeting=True)
    turns.model_connected(takes_turns=True)
    turns.schedule(ReplyKind.ANSWER)
    assert turns.replies.request_next(turns.may_request) == []
    assert turns.replies.answer_due
    turns.schedule(ReplyKind.ANSWER, "the fact")
    assert turns.replies.request_next(turns.may_request) == [RequestReply("the fact")]
    turns.item_queued("item")
    assert turns.sound_started() == [], "it falls silent by itself"


@pytest.mark.parametrize("before", [False, True])
@pytest.mark.parametrize("after", [False, True])
def test_what_falls_due_without_a_model_is_said_by_the_next_one(before: bool, after: bool) -> None:
    turns = TurnTaking(during_greeting=True)
    turns.model_connected(takes_turns=before)
    turns.model_gone(leaving=False, for_good=False)
    turns.schedule(ReplyKind.ANSWER)
    turns.model_connected(takes_turns=after)
    words = "" if not (before or after) else ANSWER_NOW
    assert turns.replies.request_next(turns.may_request) == [RequestReply(words)]
    turns.item_queued("item")
    assert (turns.sound_started() == []) is after, "one that takes turns falls silent by itself"


def test_the_next_model_need_not_say_what_one_before_began_by_itself() -> None:
    turns = TurnTaking(during_greeting=True)
    turns.model_connected(takes_turns=True)
    turns.replies.response_started("response")
    turns.model_gone(leaving=False, for_good=False)
    turns.model_connected(takes_turns=False)
    assert turns.replies.quiet

"""Who has the floor."""

from __future__ import annotations

import pytest

from esl_controller.call.actions import CancelReply, CheckSpeech, Interrupt, Pause, RequestReply
from esl_controller.call.replies import ReplyKind
from esl_controller.call.turn_taking import TurnTaking


@pytest.fixture
def floor() -> TurnTaking:
    return TurnTaking(own_turns=True, during_greeting=False)


def speaking(floor: TurnTaking, item: str) -> None:
    floor.want(ReplyKind.ANSWER)
    assert floor.replies.next(floor.may) == [RequestReply("")]
    floor.replies.started("response")
    floor.queued(item)


def test_a_caller_who_is_not_spoken_to_has_it_at_once(floor: TurnTaking) -> None:
    assert floor.free
    assert floor.sound() == []
    assert floor.caller_has_it
    assert not floor.free
    assert [floor.may(want) for want in (ReplyKind.LAST_WORDS, ReplyKind.ANSWER)] == [True, False]


def test_the_greeting_is_heard_first_where_it_must_be(floor: TurnTaking) -> None:
    speaking(floor, "greeting")
    assert not floor.interruptible
    assert floor.sound() == [CheckSpeech()]
    floor.finished("greeting")
    assert floor.interruptible


def test_only_items_of_the_model_make_a_greeting(floor: TurnTaking) -> None:
    floor.finished("music")
    assert not floor.greeted


def test_a_reply_is_interrupted(floor: TurnTaking) -> None:
    floor.greeted = True
    speaking(floor, "item")
    floor.want(ReplyKind.PROMPT)
    assert floor.heard
    assert floor.sound() == [Pause(), CheckSpeech()]
    assert floor.interrupt() == [Interrupt(), CancelReply()]
    assert not floor.heard
    floor.replies.done("response")
    assert floor.all_said, "the prompt is not wanted any more"


def test_what_can_wait_waits_until_all_was_heard(floor: TurnTaking) -> None:
    speaking(floor, "item")
    assert [floor.may(want) for want in (ReplyKind.ANSWER, ReplyKind.NOTICE)] == [True, False]
    floor.finished("item")
    assert floor.may(ReplyKind.NOTICE)


def test_a_model_that_takes_turns_is_told_only_what_it_cannot_know() -> None:
    floor = TurnTaking(own_turns=False, during_greeting=True)
    floor.want(ReplyKind.ANSWER)
    assert floor.replies.next(floor.may) == []
    assert floor.replies.owes
    floor.want(ReplyKind.ANSWER, "the fact")
    assert floor.replies.next(floor.may) == [RequestReply("the fact")]
    floor.queued("item")
    assert floor.sound() == [], "it falls silent by itself"

"""Who has the floor."""

from __future__ import annotations

import pytest

from esl_controller.call.actions import Cancel, CheckSpeech, Interrupt, Pause, Respond
from esl_controller.call.replies import Want
from esl_controller.call.turn_taking import Floor


@pytest.fixture
def floor() -> Floor:
    return Floor(own_turns=True, during_greeting=False)


def speaking(floor: Floor, item: str) -> None:
    floor.want(Want.ANSWER)
    assert floor.replies.next(floor.may) == [Respond("")]
    floor.replies.started("response")
    floor.queued(item)


def test_a_caller_who_is_not_spoken_to_has_it_at_once(floor: Floor) -> None:
    assert floor.free
    assert floor.sound() == []
    assert floor.caller_has_it
    assert not floor.free
    assert [floor.may(want) for want in (Want.LAST_WORDS, Want.ANSWER)] == [True, False]


def test_the_greeting_is_heard_first_where_it_must_be(floor: Floor) -> None:
    speaking(floor, "greeting")
    assert not floor.interruptible
    assert floor.sound() == [CheckSpeech()]
    floor.finished("greeting")
    assert floor.interruptible


def test_only_items_of_the_model_make_a_greeting(floor: Floor) -> None:
    floor.finished("music")
    assert not floor.greeted


def test_a_reply_is_interrupted(floor: Floor) -> None:
    floor.greeted = True
    speaking(floor, "item")
    floor.want(Want.PROMPT)
    assert floor.heard
    assert floor.sound() == [Pause(), CheckSpeech()]
    assert floor.interrupt() == [Interrupt(), Cancel()]
    assert not floor.heard
    floor.replies.done("response")
    assert floor.all_said, "the prompt is not wanted any more"


def test_what_can_wait_waits_until_all_was_heard(floor: Floor) -> None:
    speaking(floor, "item")
    assert [floor.may(want) for want in (Want.ANSWER, Want.NOTICE)] == [True, False]
    floor.finished("item")
    assert floor.may(Want.NOTICE)


def test_a_model_that_takes_turns_is_told_only_what_it_cannot_know() -> None:
    floor = Floor(own_turns=False, during_greeting=True)
    floor.want(Want.ANSWER)
    assert floor.replies.next(floor.may) == []
    assert floor.replies.owes
    floor.want(Want.ANSWER, "the fact")
    assert floor.replies.next(floor.may) == [Respond("the fact")]
    floor.queued("item")
    assert floor.sound() == [], "it falls silent by itself"

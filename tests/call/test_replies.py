"""One reply at a time."""

from __future__ import annotations

from esl_controller.call.actions import CancelReply, RequestReply
from esl_controller.call.replies import CONTINUE, Replies, ReplyKind


def always(want: ReplyKind) -> bool:
    return True


def asked(want: ReplyKind = ReplyKind.ANSWER, words: str = "") -> Replies:
    """A sequencer with one reply in flight."""
    replies = Replies()
    replies.want(want, words)
    assert replies.next(always) == [RequestReply(words)]
    return replies


def test_the_most_urgent_comes_first_and_two_of_a_kind_are_one() -> None:
    replies = Replies()
    for want in reversed(ReplyKind):
        replies.want(want, want.name)
        replies.want(want, want.name)
    order = []
    while not replies.quiet:
        (respond,) = replies.next(always)
        assert isinstance(respond, RequestReply)
        order.append(respond.instructions)
        assert replies.next(always) == [], "two at once"
        replies.done("")
    assert order == ["LAST_WORDS", "GREETING", "ANSWER", "NOTICE", "WARNING", "PROMPT"]


def test_what_may_not_be_said_now_waits() -> None:
    replies = Replies()
    replies.want(ReplyKind.PROMPT, "Hello?")
    assert replies.next(lambda want: False) == []
    assert not replies.quiet
    assert replies.next(always) == [RequestReply("Hello?")]


def test_what_is_dropped_is_not_said() -> None:
    replies = Replies()
    replies.want(ReplyKind.PROMPT)
    replies.want(ReplyKind.NOTICE)
    replies.drop(ReplyKind.NOTICE)
    assert not replies.quiet
    replies.drop()
    assert replies.quiet


def test_a_reply_is_cancelled_once_and_by_its_name() -> None:
    replies = asked()
    assert replies.cancel() == []
    assert not replies.cancelled("r1")
    assert replies.started("r1") == [CancelReply()]
    assert replies.cancel() == []
    assert replies.cancelled("r1")
    assert not replies.cancelled("r2")
    replies.done("r1")
    assert Replies().cancel() == [], "nothing to cancel"


def test_a_reply_that_nobody_asked_for_is_in_flight_too() -> None:
    replies = Replies()
    replies.spoke = True
    replies.started("r1")
    assert replies.in_flight
    assert not replies.spoke, "that was the one before"
    # A function call of a model that speaks meanwhile is none of it.
    assert replies.started("d1") == []
    assert replies.done("d1") is None
    assert replies.in_flight
    replies.done("r1")
    assert replies.quiet


def test_what_is_to_be_said_instead_of_a_lost_reply() -> None:
    assert Replies().lost() is None
    assert asked(ReplyKind.GREETING, "Hello.").lost() == (ReplyKind.GREETING, "Hello.")
    spoke = asked()
    spoke.spoke = True
    assert spoke.lost() == (ReplyKind.ANSWER, CONTINUE)
    assert spoke.quiet
    last = asked(ReplyKind.LAST_WORDS, "Bye.")
    last.spoke = True
    assert last.lost() is None
    cut_off = asked()
    cut_off.cancel()
    assert cut_off.lost() is None

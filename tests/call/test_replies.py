"""One reply at a time."""

from __future__ import annotations

from esl_controller.call.actions import CancelReply, RequestReply
from esl_controller.call.instructions import CONTINUE
from esl_controller.call.replies import Replies, Reply, ReplyKind


def always(kind: ReplyKind) -> bool:
    return True


def asked(kind: ReplyKind = ReplyKind.ANSWER, words: str = "") -> Replies:
    """A sequencer with one reply in flight."""
    replies = Replies()
    replies.schedule(kind, words)
    assert replies.request_next(always) == [RequestReply(words)]
    return replies


def test_the_most_urgent_comes_first_and_two_of_a_kind_are_one() -> None:
    replies = Replies()
    for kind in reversed(ReplyKind):
        replies.schedule(kind, kind.name)
        replies.schedule(kind, kind.name)
    order = []
    while not replies.quiet:
        (respond,) = replies.request_next(always)
        assert isinstance(respond, RequestReply)
        order.append(respond.instructions)
        assert replies.request_next(always) == [], "two at once"
        replies.response_done("")
    assert order == ["LAST_WORDS", "GREETING", "ANSWER", "NOTICE", "WARNING", "PROMPT"]


def test_what_may_not_be_said_now_waits() -> None:
    replies = Replies()
    replies.schedule(ReplyKind.PROMPT, "Hello?")
    assert replies.request_next(lambda kind: False) == []
    assert not replies.quiet
    assert replies.request_next(always) == [RequestReply("Hello?")]


def test_what_is_dropped_is_not_said() -> None:
    replies = Replies()
    replies.schedule(ReplyKind.PROMPT)
    replies.schedule(ReplyKind.NOTICE)
    replies.discard(ReplyKind.NOTICE)
    assert not replies.quiet
    replies.discard()
    assert replies.quiet


def test_a_reply_is_cancelled_once_and_by_its_name() -> None:
    replies = asked()
    assert replies.cancel() == []
    assert not replies.is_cancelled("r1")
    assert replies.response_started("r1") == [CancelReply()]
    assert replies.cancel() == []
    assert replies.is_cancelled("r1")
    assert not replies.is_cancelled("r2")
    replies.response_done("r1")
    assert Replies().cancel() == [], "nothing to cancel"


def test_a_reply_that_nobody_asked_for_is_in_flight_too() -> None:
    replies = Replies()
    replies.has_audio = True
    replies.response_started("r1")
    assert replies.in_flight
    assert not replies.has_audio, "that was the one before"
    # A function call of a model that speaks meanwhile is none of it.
    assert replies.response_started("d1") == []
    assert replies.response_done("d1") is None
    assert replies.in_flight
    replies.response_done("r1")
    assert replies.quiet


def test_what_is_to_be_said_instead_of_a_lost_reply() -> None:
    assert Replies().end() is None
    assert asked(ReplyKind.GREETING, "Hello.").end() == Reply(ReplyKind.GREETING, "Hello.")
    spoke = asked()
    spoke.has_audio = True
    assert spoke.end() == Reply(ReplyKind.ANSWER, CONTINUE)
    assert spoke.quiet
    last = asked(ReplyKind.LAST_WORDS, "Bye.")
    last.has_audio = True
    assert last.end() is None
    cut_off = asked()
    cut_off.cancel()
    assert cut_off.end() is None

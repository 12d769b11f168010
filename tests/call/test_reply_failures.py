"""A reply that the model fails to give."""

from __future__ import annotations

import pytest

from esl_controller.call.agent import PATIENCE_S, Recovery
from esl_controller.call.reply_failures import AGAIN_S, TRIES, ReplyFailures

ASK, RECONNECT, NEXT = Recovery.ASK_AGAIN, Recovery.RECONNECT, Recovery.NEXT_MODEL


def test_it_is_asked_for_again_soon() -> None:
    failures = ReplyFailures()
    assert failures.may_ask(0.0)
    failures.failed(ASK, 0.0, 5.0)
    assert AGAIN_S[0] <= 0.3
    assert not failures.may_ask(5.0)
    assert failures.may_ask(5.0 + AGAIN_S[0])
    assert failures.any


def test_the_service_says_when() -> None:
    failures = ReplyFailures()
    failures.failed(ASK, 1.5, 5.0)
    assert failures.not_before == 6.5


def test_what_fails_again_and_again_needs_another_connection_and_then_nothing_helps() -> None:
    failures = ReplyFailures()
    now = 0.0
    for _ in range(TRIES):
        assert failures.needs is ASK
        failures.failed(ASK, 0.0, now)
        now += 1.0
    assert failures.needs is RECONNECT
    failures.reconnected()
    assert failures.may_ask(now)
    failures.failed(ASK, 0.0, PATIENCE_S + 0.1)
    assert failures.needs is NEXT


@pytest.mark.parametrize("status_recovery", [RECONNECT, NEXT])
def test_what_asking_again_cannot_help(status_recovery: Recovery) -> None:
    failures = ReplyFailures()
    failures.failed(status_recovery, 0.0, 0.0)
    assert failures.needs is status_recovery
    assert not failures.may_ask(100.0)


def test_a_service_that_wants_us_to_wait_longer_than_a_caller_does() -> None:
    failures = ReplyFailures()
    failures.failed(ASK, 86.4, 0.0)
    assert failures.needs is NEXT


def test_a_limit_is_no_reason_for_another_connection() -> None:
    failures = ReplyFailures()
    for now in range(TRIES):
        failures.failed(ASK, 1.0, now)
    assert failures.needs is ASK


def test_a_reply_that_does_not_fail_makes_up_for_all() -> None:
    failures = ReplyFailures()
    failures.failed(ASK, 0.0, 0.0)
    failures.succeeded()
    assert not failures.any
    failures.failed(ASK, 0.0, 2 * PATIENCE_S)
    assert failures.needs is ASK

"""How a call's record ends after a transfer, as the lingering connection saw it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from esl_controller.call.events import HungUp
from esl_controller.call.outcome import NOT_REACHED
from esl_controller.freeswitch.away import Away
from esl_controller.session.closing import Closing
from esl_controller.store.records import CallEnded, Change, Noted
from tests.session.test_webhooks import CHANNEL

BUSY = HungUp("USER_BUSY", "USER_BUSY")
GONE = HungUp("NORMAL_CLEARING")


def closed(away: Away) -> tuple[list[Change], list[str]]:
    """What is written down, and what became of the function call and the delivery."""
    put: list[Change] = []
    told: list[str] = []
    agent: Any = SimpleNamespace(
        end_tools=told.append, call_ended=lambda: told.append("call_ended"), usage=None
    )
    keeper: Any = SimpleNamespace(recording="/a.wav", epoch=2)
    record: Any = SimpleNamespace(put=put.append)
    nothing: Any = None
    clock: Any = SimpleNamespace(now=lambda: 5.0)
    Closing(CHANNEL, nothing, keeper, agent, record, clock).transferred(away)
    return put, told


@pytest.mark.parametrize("away", [Away(), Away(back=True, ended=BUSY)])
def test_nothing_is_told_of_a_call_that_somebody_else_has(away: Away) -> None:
    assert closed(away) == ([], [])


def test_who_was_reached_leaves_the_result_of_the_function_only() -> None:
    assert closed(Away(ended=GONE)) == ([], ['{"status": "done"}'])


def test_a_mailbox_that_answered_is_noted() -> None:
    (note,), told = closed(Away(mailbox=True, ended=GONE))
    assert isinstance(note, Noted)
    assert note.text == "the caller was transferred, and a mailbox answered"
    assert told == ['{"status": "done; a mailbox answered"}']


def test_who_reached_nobody_is_not_called_transferred() -> None:
    (note, ended), told = closed(Away(ended=BUSY))
    assert isinstance(note, Noted)
    assert isinstance(ended, CallEnded)
    assert (ended.cause, ended.outcome, ended.epoch) == ("USER_BUSY", NOT_REACHED, 2)
    assert told == ['{"error": "not reached (USER_BUSY)"}', "call_ended"]

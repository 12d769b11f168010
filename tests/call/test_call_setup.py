"""A call before its conversation, new or taken over from another process."""

from __future__ import annotations

from esl_controller.call.actions import (
    ConfirmTaken,
    LimitCall,
    PlaySentence,
    RequestReply,
    StartRecording,
)
from esl_controller.call.call_setup import AWAY_S, BACKSTOP_S, CallSetup
from esl_controller.call.conversation import Conversation
from esl_controller.call.instructions import CONTINUE
from esl_controller.call.snapshot import Resumption, Snapshot
from esl_controller.call.tools import Toolbox
from tests.call.parts import GREET, WHO


def setup(resumption: Resumption | None = None, *, record: bool = False) -> CallSetup:
    """That of a call of at most 100 s."""
    made = CallSetup(max_call_s=100.0, record=record)
    made.resumption = resumption
    return made


def talk() -> Conversation:
    """One that has not begun."""
    return Conversation(WHO, Toolbox(WHO), closed=False)


def test_the_switch_has_a_limit_of_its_own_from_the_first_controller_on() -> None:
    limit = [LimitCall(100.0 + BACKSTOP_S)]
    assert setup().limit() == limit
    assert setup(Resumption(Snapshot())).limit() == []
    assert setup(Resumption(Snapshot(back_from="Sales"))).limit() == limit, "a transfer lifted it"


def test_a_call_is_recorded_where_that_is_wanted_and_not_yet_done() -> None:
    assert setup().recording() == []
    assert setup(record=True).recording() == [StartRecording()]
    assert setup(Resumption(Snapshot()), record=True).recording() == [StartRecording()]
    assert setup(Resumption(Snapshot(), recorded=True), record=True).recording() == []


def test_who_waited_long_is_told_once_that_we_are_back() -> None:
    assert setup().announcement() == []
    assert setup(Resumption(Snapshot(), away_s=AWAY_S)).announcement() == []
    waited = setup(Resumption(Snapshot(greeted=True), away_s=AWAY_S + 0.1))
    assert waited.announcement() == [PlaySentence("back")]
    assert waited.announcement() == []
    assert waited.begin(talk(), 0.0) == [ConfirmTaken()]


def test_a_call_begins_with_the_greeting_or_goes_on() -> None:
    assert not setup().talked
    assert setup().begin(talk(), 0.0) == [ConfirmTaken(), GREET]
    gone_on = setup(Resumption(Snapshot(greeted=True), cut=True, away_s=AWAY_S + 0.1))
    assert gone_on.talked
    assert gone_on.begin(talk(), 0.0) == [
        ConfirmTaken(),
        PlaySentence("back"),
        RequestReply(CONTINUE),
    ]

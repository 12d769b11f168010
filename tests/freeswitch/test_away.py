"""What the lingering connection of a transferred call sees of it."""

from __future__ import annotations

import pytest

from esl_controller.call.events import HungUp
from esl_controller.freeswitch.away import Away
from esl_controller.freeswitch.events import Running, SwitchEvent

BUSY = HungUp("USER_BUSY", "USER_BUSY")
GONE = HungUp("NORMAL_CLEARING")
MACHINE = HungUp("NORMAL_CLEARING", instead="USER_NOT_REGISTERED")


@pytest.mark.parametrize(
    ("events", "seen"),
    [
        ([Running("set", "a=b"), Running("bridge", "user/1"), BUSY], Away(ended=BUSY)),
        ([BUSY, GONE], Away(ended=BUSY)),  # CHANNEL_HANGUP_COMPLETE follows
        ([Running("voicemail", "default x 1"), GONE], Away(mailbox=True, ended=GONE)),
        ([Running("lua", "app.lua voicemail"), GONE], Away(mailbox=True, ended=GONE)),
        ([Running("lua", "app.lua ring_groups"), GONE], Away(ended=GONE)),
        ([MACHINE], Away(instead="USER_NOT_REGISTERED", ended=MACHINE)),
        ([Running("socket", "127.0.0.1:8022 async full"), GONE], Away(back=True, ended=GONE)),
    ],
)
def test_what_is_seen(events: list[SwitchEvent], seen: Away) -> None:
    away = Away()
    for event in events:
        away.see(event)
    assert away == seen


@pytest.mark.parametrize(
    ("away", "words"),
    [
        (Away(), ""),
        (Away(mailbox=True), "a mailbox answered"),
        (Away(mailbox=True, instead="NO_ANSWER"), "a mailbox answered (NO_ANSWER)"),
        (Away(instead="NO_ANSWER"), "a mailbox or an announcement answered (NO_ANSWER)"),
    ],
)
def test_what_answered_in_the_place_of_somebody(away: Away, words: str) -> None:
    assert away.machine == words

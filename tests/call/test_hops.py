"""How often a caller was transferred: counted, bounded, carried as a text."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.call import actions as do
from esl_controller.call.ending import outside_hours
from esl_controller.call.hops import FALLBACKS, LEGS, NO_HOPS, TRANSFERS, Hops
from esl_controller.secretaries.schema import Destination
from tests.call.parts import parts
from tests.call.world import secretary

DESK = Destination(name="Desk", number="1002")


@given(*[st.integers(0, 999)] * 3)
def test_a_channel_carries_it_as_it_is(transfers: int, fallbacks: int, legs: int) -> None:
    hops = Hops(transfers, fallbacks, legs)
    assert Hops.parse(str(hops)) == hops


@given(st.text())
def test_whatever_else_is_there_counts_as_none(text: str) -> None:
    hops = Hops.parse(text)
    assert hops == NO_HOPS or str(hops) == text or Hops.parse(str(hops)) == hops


def test_each_way_is_taken_so_often_and_no_more() -> None:
    hops = NO_HOPS
    for _ in range(TRANSFERS):
        assert hops.may_transfer
        hops = hops.after(fallback=False)
    assert not hops.may_transfer
    assert not hops.may_fall_back
    hops = NO_HOPS
    for _ in range(FALLBACKS):
        assert hops.may_fall_back
        hops = hops.after(fallback=True)
    assert not hops.may_fall_back
    assert hops.may_transfer
    hops = NO_HOPS
    for _ in range(LEGS):
        assert hops.may_bridge
        hops = hops.of_a_leg
    assert not hops.may_bridge


@pytest.mark.parametrize(
    ("come_back", "hops", "returns"),
    [
        ("unreached", NO_HOPS, 1),
        (True, NO_HOPS, 1),
        (False, NO_HOPS, 0),
        ("unreached", Hops(legs=LEGS), 0),
    ],
)
def test_who_may_come_back(come_back: bool | str, hops: Hops, returns: int) -> None:
    ending = parts(hops=hops).ending
    there = DESK.model_copy(update={"come_back": come_back})
    ending.decide(do.Transfer(there), 0.0)
    assert ending.leave() == [do.Transfer(there, returns)]


def test_a_fallback_is_told_apart() -> None:
    ending = parts().ending
    there = DESK.model_copy(update={"come_back": True})
    assert ending.fall_back(there) == [do.Transfer(there, 1, fallback=True)]


def test_outside_the_hours_nobody_is_sent_round_for_ever() -> None:
    hours = {"zone": "UTC", "monday": ["08:00-12:00"], "do": "transfer", "destination": "Sales"}
    assert isinstance(outside_hours(secretary(hours=hours)), do.Transfer)
    spent = Hops(transfers=TRANSFERS)
    assert isinstance(outside_hours(secretary(hours=hours), spent), do.Hangup)

"""The doctor's own leg: the events that it keeps, and that nothing of it stays at FreeSWITCH."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

from esl_controller.config.loading import load
from esl_controller.diagnostics.doctor.parked_leg import (
    EXECUTED,
    STREAM_ERROR,
    ParkedLeg,
    name_of,
    parked,
)
from esl_controller.freeswitch.esl import ESLEvent
from esl_controller.freeswitch.leg import CallFailed, Leg
from tests.diagnostics.doctor.clinic import clinic

MOST = 64


def event(name: str, subclass: str = "") -> ESLEvent:
    made = {"Event-Name": name} | ({"Event-Subclass": subclass} if subclass else {})
    return cast(ESLEvent, made)


def leg() -> ParkedLeg:
    return ParkedLeg(cast(Leg, None))


def test_a_custom_event_goes_by_its_subclass() -> None:
    assert name_of(event("CHANNEL_ANSWER")) == "CHANNEL_ANSWER"
    assert name_of(event("CUSTOM", STREAM_ERROR)) == STREAM_ERROR


async def test_the_event_that_is_asked_for_is_given() -> None:
    of = leg()
    for each in (event("CUSTOM", "other"), event("CUSTOM", STREAM_ERROR)):
        of.received(each)
    found = await of.event(EXECUTED, STREAM_ERROR)
    assert found is not None
    assert name_of(found) == STREAM_ERROR
    assert await of.event("other", timeout=0.01) is None, "what came before it is dropped"


async def test_only_so_many_events_are_kept() -> None:
    of = leg()
    for _ in range(MOST):
        of.received(event("CHANNEL_ANSWER"))
    of.received(event(EXECUTED))
    assert await of.event(EXECUTED, timeout=0.01) is None


def test_each_leg_has_a_token_of_its_own() -> None:
    assert leg().token != leg().token


async def test_a_leg_is_gone_after_a_fault_in_its_block(tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        settings = load(None, place.environment).settings
        there: list[str] = []

        async def fail() -> None:
            async with parked(settings) as of:
                there.append(await of.api(f"uuid_exists {of.leg.uuid}"))
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            await fail()
        assert there == ["true"]
        assert not place.of.switch.sessions


async def test_a_leg_that_is_not_answered_is_a_failure_that_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: object) -> str:
        return "SUBSCRIBER_ABSENT"

    monkeypatch.setattr(Leg, "dial", refused)
    async with clinic(tmp_path) as place:
        leg = parked(load(None, place.environment).settings)
        with pytest.raises(CallFailed, match=r"test call \(null/doctor\): SUBSCRIBER_ABSENT"):
            await leg.__aenter__()

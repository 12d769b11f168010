"""Which connection is the park that a call waits for. What follows: tests/calls/test_parks.py."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from esl_controller.freeswitch.channel import Channel
from esl_controller.session.next_park import NextPark

UUID = "5a2f0cde-3f2c-4f3a-9b9a-1f7f6f4d2e11"


def channel(**variables: str) -> Channel:
    headers = {"Unique-ID": UUID, "Event-Date-Timestamp": "2000000"}
    return Channel.parse(headers | {f"variable_{k}": v for k, v in variables.items()})


def next_park(awaited: int, *, by_lane: bool = True) -> NextPark:
    parts: list[Any] = [
        SimpleNamespace(awaited_park=awaited),
        SimpleNamespace(channel=channel()),
        SimpleNamespace(by_lane=by_lane),
    ]
    return NextPark(*parts, *[Any] * 3)


@pytest.mark.parametrize(
    ("awaited", "variables", "is_in"),
    [
        (2, {"controller_parks": "2"}, True),
        (2, {"controller_parks": "1"}, False),  # dialled long ago, and late
        (2, {"controller_parks": "3"}, False),  # another controller had the call, and asked for it
        (0, {}, False),
        (0, {"controller_parks": "2"}, False),  # it is not awaited any more
        (2, {"controller_parks": "2", "controller_lost_at": "1000000"}, False),  # from the ladder
        (2, {"controller_parks": "2", "controller_returns": "1"}, False),  # back from a transfer
    ],
)
def test_only_the_park_that_was_asked_for(
    awaited: int, variables: dict[str, str], is_in: bool
) -> None:
    assert next_park(awaited).is_in(channel(**variables)) is is_in


def test_files_cannot_go_on_in_another_park() -> None:
    assert not next_park(1, by_lane=False).is_in(channel(controller_parks="1"))


def test_who_watches_learns_that_it_is_awaited_and_that_it_is_not_any_more() -> None:
    told: list[int] = []
    park = next_park(0)
    call: Any = park._call
    park.on_change = lambda: told.append(call.awaited_park)
    for awaited in (0, 1, 1, 0, 0):
        call.awaited_park = awaited
        park.follow()
    assert told == [1, 0]

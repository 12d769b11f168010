"""What a call must remember, as it is stored."""

from __future__ import annotations

import json

import pytest

from esl_controller.call.agent import Usage
from esl_controller.call.snapshot import SOMEBODY, Snapshot, StoredSnapshot, dump, load
from tests.call.world import tool_call

HOLD = tool_call("hold", "h1", seconds=20)
FIND = tool_call("find", "f1")


@pytest.mark.parametrize("text", ["", "{}", "null", '{"memory": {"turns": "x"}}', "{", "[]"])
def test_what_is_no_snapshot_is_none(text: str) -> None:
    assert load(text) is None


def test_a_snapshot_survives_being_stored() -> None:
    snapshot = Snapshot(
        12.5, True, 3, 1, True, "Sales", "Bye.", "c1", "c2", 9.0, (HOLD, FIND), "Desk", 2
    )
    stored = StoredSnapshot(snapshot, "/var/rec/a.wav", Usage(input_text=3, seconds=1.5))
    assert load(dump(stored)) == stored


def test_the_names_that_stand_in_databases_are_the_same_as_ever() -> None:
    """A controller of an older version, or of a newer one, goes on with what this one stored."""
    stored = json.loads(dump(StoredSnapshot(Snapshot())))
    assert list(stored) == ["memory", "recording", "usage", "cut", "saved_at", "age_s", "begun_at"]
    assert list(stored["memory"]) == [
        *("ends_at", "greeted", "turns", "prompts", "owes", "leaving", "goodbye", "leaving_call"),
        *("hold", "held_until", "pending", "back_from", "returns", "left_at", "speaks"),
        "for_good",
    ]


def test_an_older_snapshot_is_read_with_defaults() -> None:
    stored = load('{"memory": {"turns": 3}}')
    assert stored == StoredSnapshot(Snapshot(turns=3))


def test_after_a_transfer_only_its_function_call_waits() -> None:
    transfer = tool_call("transfer_call", "t1", destination="Sales")
    before = Snapshot(
        turns=4,
        owes=True,
        speaks=True,
        leaving="Sales",
        goodbye="Bye.",
        leaving_call="t1",
        pending=(FIND, transfer),
        returns=1,
    )
    assert before.exit_call == transfer
    after = before.after_transfer
    assert after == Snapshot(
        turns=4, leaving_call="t1", pending=(transfer,), back_from="Sales", returns=2
    )
    assert Snapshot().after_transfer.back_from == SOMEBODY


def test_times_move_to_another_clock_and_what_never_was_does_not() -> None:
    shifted = Snapshot(ends_at=10.0, held_until=5.0, left_at=0.0).shifted(100.0)
    assert (shifted.ends_at, shifted.held_until, shifted.left_at) == (110.0, 105.0, 0.0)
    assert Snapshot(left_at=3.0).shifted(100.0).left_at == 103.0

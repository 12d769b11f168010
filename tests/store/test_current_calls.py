"""The current calls, and which controller has which."""

from __future__ import annotations

import json
from dataclasses import replace

from esl_controller.store.current_calls import SILENT_S, WAITING, as_dict, as_table
from esl_controller.store.records import INTERRUPTED, Heartbeat, UnfinishedCall

NOW = 1_790_000_000.0
CALL = UnfinishedCall("1", "tenant", "clinic", "+5511", "8000", NOW - 60, "a", 0, "")
TALKS = {"codec": "PCMU", "state": "talking", "hearing": "stream", "speaking_by": "lane"}
A = Heartbeat("a", "http://a", "ws://a", NOW - 99, NOW - 2, "ready", json.dumps({"1": TALKS}))


def state(call: UnfinishedCall, *controllers: Heartbeat) -> tuple[str, str]:
    """How the call is, and who has it."""
    (told,) = as_dict([call], controllers, NOW)["calls"]
    return told["state"], told["controller"]


def test_a_call_is_told_with_who_has_it_and_how_it_is() -> None:
    (told,) = as_dict([CALL], [A], NOW)["calls"]
    assert told == {
        "call_uuid": "1",
        "domain_uuid": "tenant",
        "secretary": "clinic",
        "caller": "+5511",
        "number": "8000",
        "since": NOW - 60,
        "age_s": 60.0,
        "controller": "a",
        **TALKS,
    }


def test_a_call_whose_controller_is_silent_waits() -> None:
    assert state(CALL, replace(A, seen_at=NOW - SILENT_S)) == (WAITING, "a")
    assert state(CALL) == (WAITING, "a")
    assert state(replace(CALL, started_at=None)) == (WAITING, "a")


def test_a_call_that_was_handed_back_waits_also_where_a_heartbeat_still_has_it() -> None:
    assert state(replace(CALL, outcome=INTERRUPTED), A)[0] == WAITING


def test_a_call_that_is_younger_than_the_heartbeat_is_new() -> None:
    assert state(CALL, replace(A, calls="{}")) == ("new", "a")


def test_the_latest_heartbeat_says_who_has_a_call() -> None:
    """A second controller took it up, and nobody wrote that down: it had not been answered yet."""
    later = replace(A, name="b", seen_at=NOW - 1)
    assert state(CALL, A, later) == state(CALL, later, A) == ("talking", "b")
    assert state(replace(CALL, owner="b"), replace(A, seen_at=NOW - 30), later)[1] == "b"


def test_people_get_two_tables() -> None:
    silent = replace(A, name="b", seen_at=NOW - 40, calls="{}", state="draining")
    waits = replace(CALL, call_uuid="2", owner="b", caller="\x1b[2J", started_at=None)
    text = as_table(as_dict([CALL, waits], [A, silent], NOW))
    first, second = text.split("\n\n")
    assert [line.split() for line in first.splitlines()] == [
        ["call_uuid", "age_s", "caller", "number", "codec", "state", "controller"],
        ["1", "60.0", "+5511", "8000", "PCMU", "talking", "a"],
        ["2", "-", "[2J", "8000", "-", "waiting", "for", "a", "controller", "b"],
        ["1", "live,", "1", "waiting", "for", "a", "controller"],
    ]
    assert [line.split() for line in second.splitlines()[1:]] == [
        ["a", "ready", "1", "2.0", "http://a", "ws://a"],
        ["b", "silent", "0", "40.0", "http://a", "ws://a"],
    ]
    assert "\x1b" not in text
    assert as_table(as_dict([], [], NOW)).splitlines() == [
        "0 live, 0 waiting for a controller",
        "",
        "no controller is running",
    ]

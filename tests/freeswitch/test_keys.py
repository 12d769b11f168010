"""One press of a key is one key."""

from __future__ import annotations

import pytest

from esl_controller.freeswitch.keys import KeyPresses


def told(digit: str, at_ms: int, source: str = "RTP", duration_ms: int = 100) -> dict[str, str]:
    """What FreeSWITCH's event says (captures/conversation.jsonl)."""
    return {
        "DTMF-Digit": digit,
        "DTMF-Source": source,
        "DTMF-Duration": str(8 * duration_ms),
        "Event-Date-Timestamp": str(1_795_345_404_816_367 + 1000 * at_ms),
    }


def typed(*events: dict[str, str]) -> str:
    """The keys that were pressed."""
    keys = KeyPresses()
    return "".join(event["DTMF-Digit"] for event in events if keys.is_new(event))


def test_one_key_in_three_events_counts_once() -> None:
    sevens = [told("7", at_ms) for at_ms in (0, 40, 80)]
    assert typed(*sevens, told("3", 300), told("9", 320), told("1", 340)) == "7391"


def test_a_fast_typist_presses_the_same_key_twice() -> None:
    assert typed(told("7", 0), told("7", 110), told("7", 220)) == "777"


def test_two_sources_tell_of_one_key() -> None:
    down_and_up = [told("7", 0, "ENDPOINT", 250), told("7", 180, "RTP", 180)]
    again = [told("7", 400, "ENDPOINT", 250), told("7", 580, "RTP", 180)]
    assert typed(*down_and_up, *again) == "77"
    assert typed(told("7", 0, "ENDPOINT"), told("7", 2000, "RTP", 9_000_000)) == "77"


def test_another_key_between_them_ends_the_press() -> None:
    assert typed(told("7", 0), told("3", 20), told("7", 40)) == "737"


def test_a_clock_that_jumps_back_loses_no_key() -> None:
    assert typed(told("7", 0), told("7", -5000)) == "77"


@pytest.mark.parametrize("headers", [{}, {"DTMF-Duration": "x", "Event-Date-Timestamp": "²"}])
def test_headers_may_be_missing_or_wrong(headers: dict[str, str]) -> None:
    keys = KeyPresses()
    assert keys.is_new({"DTMF-Digit": "7", **headers})
    assert keys.is_new({"DTMF-Digit": "3", **headers})

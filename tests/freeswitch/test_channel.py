"""What the reply to ``connect`` tells us of a call."""

from __future__ import annotations

import pytest

from esl_controller.freeswitch.channel import Channel, codec
from tests.freeswitch.peer import UUID


def test_a_domain_that_is_no_uuid_does_not_get_into_the_url() -> None:
    headers = {"Unique-ID": UUID, "variable_domain_uuid": "../../etc x\n"}
    assert Channel.parse(headers).media_path.split("/")[2] == "0" * 8 + "-0000" * 3 + "-" + "0" * 12
    with pytest.raises(ValueError, match="not an outbound"):
        Channel.parse({"Unique-ID": "x"})


def test_the_channel_tells_of_the_last_bridge() -> None:
    told = {
        "controller_returns": "2",
        "controller_left_at": "1000000",
        "originate_disposition": "NO_ANSWER",
    }
    headers = {"Unique-ID": UUID, "Event-Date-Timestamp": "3500000"}
    channel = Channel.parse({**headers, **{f"variable_{k}": v for k, v in told.items()}})
    assert (channel.returns, channel.since_transfer_s, channel.unreached) == (2, 2.5, "NO_ANSWER")
    talked = Channel.parse({**headers, "variable_originate_disposition": "SUCCESS"})
    assert (talked.returns, talked.since_transfer_s, talked.unreached) == (0, 0.0, "")
    assert Channel.parse(headers).unreached == ""
    for said, stopped in {
        "+OK Success\n": True,
        "-ERR Cannot": False,
        "-USAGE: <uuid>": False,
    }.items():
        told = {**headers, "variable_controller_stopped": said}
        assert Channel.parse(told).unrecorded == stopped


def test_an_age_is_by_the_clock_of_the_switch() -> None:
    times = {"Caller-Channel-Created-Time": "1000000", "Event-Date-Timestamp": "3500000"}
    assert Channel.parse({"Unique-ID": UUID, **times}).age_s == 2.5
    backwards = {"Caller-Channel-Created-Time": "3500000", "Event-Date-Timestamp": "1000000"}
    assert Channel.parse({"Unique-ID": UUID, **backwards}).age_s == 0.0


@pytest.mark.parametrize(
    ("lost_at", "away_s"), [("1000000", 2.5), ("9000000", 0.0), ("", 0.0), ("soon", 0.0)]
)
def test_a_call_that_lost_its_controller_says_since_when(lost_at: str, away_s: float) -> None:
    headers = {"Unique-ID": UUID, "Event-Date-Timestamp": "3500000"}
    assert Channel.parse({**headers, "variable_controller_lost_at": lost_at}).away_s == away_s
    assert Channel.parse({"Unique-ID": UUID, "variable_controller_lost_at": lost_at}).away_s == 0.0


@pytest.mark.parametrize("mark", ["lost_at", "returns", "parks"])
def test_whether_a_controller_has_had_the_call(mark: str) -> None:
    headers = {"Unique-ID": UUID, "Answer-State": "answered"}
    assert not Channel.parse(headers).comes_back, "something else may have answered"
    assert not Channel.parse({**headers, f"variable_controller_{mark}": ""}).comes_back
    had = {**headers, f"variable_controller_{mark}": "1000000"}
    assert Channel.parse(had).comes_back
    assert not Channel.parse({**had, "Answer-State": "ringing"}).comes_back


def test_a_number_of_thousands_of_digits_counts_as_none() -> None:
    huge = "9" * 5000
    names = ("Caller-Channel-Created-Time", "Event-Date-Timestamp", "Channel-Read-Codec-Rate")
    variables = ("variable_controller_lost_at", "variable_controller_returns")
    channel = Channel.parse({"Unique-ID": UUID, **dict.fromkeys((*names, *variables), huge)})
    told = (channel.age_s, channel.away_s, channel.returns, channel.rate)
    assert told == (0.0, 0.0, 0, 0)


def test_the_first_of_a_header_that_comes_twice_counts() -> None:
    channel = Channel.parse({"Unique-ID": UUID, "Caller-Context": ["public", "default"]})
    assert channel.context == "public"


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({"Channel-Read-Codec-Name": "pcma", "Channel-Read-Codec-Rate": "8000"}, ("PCMA", 8000)),
        ({}, ("", 0)),  # late negotiation
        ({"Channel-Read-Codec-Name": "opus", "Channel-Read-Codec-Rate": "-1"}, ("OPUS", 0)),
        ({"Channel-Read-Codec-Rate": "\N{SUPERSCRIPT TWO}"}, ("", 0)),
    ],
)
def test_the_codec_of_the_caller(headers: dict[str, str], expected: tuple[str, int]) -> None:
    assert codec(headers) == expected
    assert Channel.parse({"Unique-ID": UUID, **headers}).is_g711 is (expected[0] == "PCMA")


def test_variables_do_not_get_into_a_log() -> None:
    channel = Channel.parse({"Unique-ID": UUID, "variable_sip_auth_password": "hidden-1"})
    assert channel.variables["sip_auth_password"] == "hidden-1"
    assert "hidden-1" not in repr(channel)

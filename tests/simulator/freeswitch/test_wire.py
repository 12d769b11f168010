"""The wire of the Event Socket: encoding, and commands however the bytes are split."""

from __future__ import annotations

from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.simulator.freeswitch.subscription import Subscription
from esl_controller.simulator.freeswitch.wire import (
    MAX_COMMAND_BYTES,
    CommandParser,
    CommandTooLong,
    SwitchEvent,
    url_encode,
)

STREAM = (
    b"connect\n\nsendmsg\ncall-command: execute\nexecute-app-name: set\n"
    b"execute-app-arg: a=b:c\n\r\n\n\nsendmsg abc\ncontent-length: 5\n\nhello"
    b"api status\r\n\r\n"
)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_commands_are_the_same_however_they_are_cut(size: int) -> None:
    parser = CommandParser()
    commands = [
        command
        for start in range(0, len(STREAM), size)
        for command in parser.feed(STREAM[start : start + size])
    ]
    assert [c.line for c in commands] == ["connect", "sendmsg", "sendmsg abc", "api status"]
    assert commands[1].get("EXECUTE-APP-ARG") == "a=b:c"
    assert commands[2].body == "hello"


def test_a_line_break_in_a_value_is_a_new_header() -> None:
    text = "sendmsg\ncall-command: execute\nexecute-app-arg: x\nexecute-app-name: hangup\n\n"
    (command,) = CommandParser().feed(text.encode())
    assert command.get("execute-app-arg") == "x"
    assert command.get("execute-app-name") == "hangup"


def test_a_command_without_end_is_refused() -> None:
    with pytest.raises(CommandTooLong):
        list(CommandParser().feed(b"a" * (MAX_COMMAND_BYTES + 1)))


@given(st.binary(max_size=200), st.integers(1, 50))
def test_garbage_never_breaks_the_parser(data: bytes, size: int) -> None:
    parser = CommandParser()
    for start in range(0, len(data), size):
        list(parser.feed(data[start : start + size]))


@given(st.text(max_size=50).filter(lambda text: "%" not in text))
def test_encoding_comes_back(text: str) -> None:
    encoded = url_encode(text.encode("utf-8", "ignore").decode())
    assert unquote(encoded) == text.encode("utf-8", "ignore").decode()
    assert encoded.isprintable()
    assert not set(encoded) & set(" :\r\n")


def test_encoding_is_that_of_freeswitch() -> None:
    assert url_encode("sofia/internal/a@b") == "sofia/internal/a%40b"
    assert url_encode("INVITE, ACK") == "INVITE,%20ACK"
    assert url_encode("+OK\n") == "%2BOK%0A"
    assert url_encode("ação") == "a%C3%A7%C3%A3o"
    assert url_encode("%40") == "%40", "not encoded twice"


def event(name: str, uuid: str = "u", subclass: str | None = None) -> SwitchEvent:
    return SwitchEvent(name, [("Event-Name", name), ("Unique-ID", uuid)], "", subclass)


def test_a_subscription() -> None:
    wanted = Subscription()
    assert wanted.add(["plain"]) == "-ERR no keywords supplied"
    assert wanted.add(["NOSUCH"]) == "-ERR no keywords supplied"
    assert wanted.add(["plain", "DTMF", "CUSTOM", "a::b", "c::d"]).startswith("+OK")
    assert wanted.wants(event("DTMF"))
    assert wanted.wants(event("CUSTOM", subclass="c::d"))
    assert not wanted.wants(event("CUSTOM", subclass="e::f"))
    assert not wanted.wants(event("CHANNEL_PARK"))
    assert wanted.filter("Unique-ID u") == "+OK filter added. [Unique-ID]=[u]"
    assert wanted.filter("Unique-ID v") == "+OK filter added. [Unique-ID]=[v]"
    assert wanted.wants(event("DTMF", "v"))
    assert not wanted.wants(event("DTMF", "w"))
    wanted.filter("delete Unique-ID v")
    assert not wanted.wants(event("DTMF", "v"))
    assert wanted.remove(["DTMF"]) == "+OK events nixed"
    assert not wanted.wants(event("DTMF"))
    assert wanted.clear() == "+OK no longer listening for events"


def test_all_means_all() -> None:
    wanted = Subscription()
    wanted.add(["plain", "all"])
    assert wanted.wants(event("CUSTOM", subclass="x::y"))
    wanted.myevents("u", "")
    assert wanted.wants(event("DTMF", "u"))
    assert not wanted.wants(event("DTMF", "v"))

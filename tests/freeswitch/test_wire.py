"""What may be sent to FreeSWITCH, and how a reply is read."""

from __future__ import annotations

import contextlib
import re
import shlex
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from esl_controller.config.settings import FreeswitchSettings
from esl_controller.freeswitch import wire
from esl_controller.freeswitch.wire import NoSuchChannel, NoSuchCommand, SwitchError, UnsafeValue

CONTROLS = ["\n", "\r", "\0", "\x1b", "\x7f"]


@given(st.text())
def test_whatever_passes_the_check_is_one_line(value: str) -> None:
    try:
        checked = wire.text("x", value)
    except UnsafeValue:
        return
    assert len(f"name: {checked}\n".encode().split(b"\n")) == 2
    assert "\r" not in checked


@given(st.text(), st.text(), st.text())
def test_whatever_becomes_a_command_has_the_lines_that_we_meant(a: str, b: str, c: str) -> None:
    cases: tuple[tuple[int, Callable[[], str]], ...] = (
        (1, lambda: wire.line(a)),
        (1, lambda: wire.api(a, b, c)),
        (2, lambda: wire.sendmsg({"call-command": a}, b)),
        (3, lambda: wire.sendmsg({"call-command": a, "hangup-cause": b}, c)),
        (3, lambda: wire.sendevent(a, {"Event-Subclass": b, "API-Command": c})),
        (1, lambda: wire.line(a, b, c)),
        (7, lambda: wire.sendmsg(wire.unicast((a, 1), (b, 2)))),
    )
    for lines, make in cases:
        with contextlib.suppress(UnsafeValue):
            command = make()
            assert command.count("\n") == lines - 1
            assert not set(command) & {"\r", "\0"}


@pytest.mark.parametrize("char", CONTROLS)
def test_no_command_takes_a_control_character(char: str) -> None:
    bad = f"a{char}b"
    for make in (
        lambda: wire.line(bad),
        lambda: wire.api(bad),
        lambda: wire.api("status", bad),
        lambda: wire.sendmsg({"call-command": bad}),
        lambda: wire.sendmsg({"call-command": "hangup"}, bad),
        lambda: wire.sendevent(bad, {"Event-Subclass": "a"}),
        lambda: wire.sendevent("CUSTOM", {"Event-Subclass": bad}),
        lambda: wire.line("filter", bad),
        lambda: wire.unicast((bad, 1), ("127.0.0.1", 1)),
        lambda: wire.unicast(("127.0.0.1", 1), (bad, 1)),
        lambda: wire.word("digits", bad),
    ):
        with pytest.raises(UnsafeValue) as caught:
            make()
        assert bad not in str(caught.value)


@pytest.mark.parametrize("value", ["", "a b", "a\u00a0b", "\u2003"])
def test_a_word_is_one_word(value: str) -> None:
    with pytest.raises(UnsafeValue, match="digits is empty or has a space in it"):
        wire.word("digits", value)


def test_commands_as_they_go_onto_the_wire() -> None:
    assert wire.line("myevents") == "myevents"
    assert wire.api("uuid_setvar", "u", "name", "two words") == "api uuid_setvar u name two words"
    assert wire.sendmsg({"call-command": "hangup"}) == "sendmsg\ncall-command: hangup"
    assert wire.sendmsg({"call-command": "hangup"}, "u") == "sendmsg u\ncall-command: hangup"


def test_a_log_shows_the_name_of_a_command_only() -> None:
    assert wire.name_of(wire.api("uuid_setvar", "u", "token", "hidden-1")) == "api uuid_setvar"
    assert wire.name_of(wire.sendmsg({"call-command": "hidden-1"}, "hidden-1")) == "sendmsg"
    assert wire.name_of(wire.line("linger")) == "linger"


def test_a_header_may_be_missing_or_come_twice() -> None:
    message = {"Once": "1", "Twice": ["1", "2"], "Empty": [], "Strange": 1}
    values = [wire.header(message, name) for name in ("Once", "Twice", "Empty", "Strange", "No")]
    assert values == ["1", "1", "", "", ""]


def test_a_refusal_is_an_error_and_anything_else_is_accepted() -> None:
    for reply in ("+OK", "true", "", "_undef_", "no -ERR at the beginning"):
        assert wire.accepted("uuid_x", reply) == reply
    with pytest.raises(NoSuchChannel, match="uuid_x: -ERR No such channel!"):
        wire.accepted("uuid_x", "-ERR No such channel!")
    with pytest.raises(NoSuchChannel, match="uuid_record: -ERR Cannot locate session!"):
        wire.accepted("uuid_record", "-ERR Cannot locate session!")
    with pytest.raises(SwitchError, match="uuid_x: -ERR no reply") as refused:
        wire.accepted("uuid_x", "-ERR no reply")
    assert not isinstance(refused.value, NoSuchCommand)
    with pytest.raises(NoSuchCommand, match="uuid_x"):
        wire.accepted("uuid_x", "-ERR uuid_x Command not found!")


@given(st.text(max_size=200))
def test_every_folder_for_recordings_that_the_settings_take_can_be_sent(folder: str) -> None:
    try:
        settings = FreeswitchSettings(recordings=folder)
    except ValidationError:
        return
    path = wire.quoted("file", f"{settings.recordings}/0-1.wav")
    assert shlex.split(path) == [f"{settings.recordings}/0-1.wav"]


@pytest.mark.parametrize(
    "folder", ["/a b", "/gravações", "/", "/a/b/", "/x#y", "/x;y", "/tmp/(1)", "/~"]
)
def test_a_folder_may_hold_what_folders_hold(folder: str) -> None:
    assert FreeswitchSettings(recordings=folder).recordings.startswith("/")


@pytest.mark.parametrize("folder", ["", "relative", "/a'b", '/a"b', "/a\\b", "/${x}", "/{a=b}c"])
def test_a_folder_that_would_mean_something_else_is_refused(folder: str) -> None:
    with pytest.raises(ValidationError):
        FreeswitchSettings(recordings=folder)


@pytest.mark.parametrize("value", ["", "a b", "'/a b/c'", 'say "\'"', "a\\b", "\\'"])
def test_a_value_is_kept_as_it_is(value: str) -> None:
    kept = re.sub(r"\\(.)|'", r"\1", wire.verbatim("x", value))  # as FreeSWITCH reads it
    assert kept == value
    with pytest.raises(UnsafeValue, match="x has"):
        wire.verbatim("x", value + "\n")


def test_the_variables_of_a_leg_are_what_was_meant() -> None:
    assert wire.variables({"a": "1", "b": "${c}"}) == "{a=1,b=${c}}"
    for bad in ("1,x=2", "1}sofia/x", "a b", "'a'", "a^hangup", "${c", "a\nb"):
        with pytest.raises(UnsafeValue):
            wire.variables({"a": bad})


@pytest.mark.parametrize("bad", ["", "a b", "a^hangup", "a,b", "${x}", "a'b", "a\n", "x" * 65])
def test_a_place_is_a_number_and_a_context(bad: str) -> None:
    assert str(wire.Place("*99+1", "a.b")) == "*99+1 XML a.b"
    for number, context in ((bad, "a"), ("1", bad)):
        with pytest.raises(UnsafeValue):
            wire.Place(number, context)


def test_an_unsafe_value_is_a_refused_command_to_a_call() -> None:
    assert issubclass(UnsafeValue, SwitchError)

"""FreeSWITCH's events as types of ours: from the captures, and one by one."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from esl_controller.call.events import Answered, Dtmf, Held, HungUp, StreamFailed, Unheld
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.events import (
    Bridged,
    CodecSet,
    FilePlayed,
    FilePlaying,
    FileWritten,
    Running,
    SwitchEvent,
    parse,
)
from tests.freeswitch.peer import messages, pair

UUID = "a381d4f0-5177-4e34-ad6b-64ffcd7cc46c"


async def replay(name: str) -> tuple[list[SwitchEvent], int]:
    """The events of a capture, as a session sees them."""
    got: list[SwitchEvent] = []
    async with pair() as (switch, peer):
        switch.handle_events(got.append)
        said = messages(name)
        commands = len(messages(name, "controller"))
        connecting = asyncio.create_task(switch.connect())
        for _ in range(4):
            await peer.command()
        peer.writer.write(b"".join(said))
        await connecting
        assert commands
        peer.writer.close()
        await switch.wait_lost()
        # Applications that run are of no interest but after a transfer.
        return [event for event in got if not isinstance(event, Running)], switch.dropped


async def test_events_of_a_conversation() -> None:
    got, dropped = await replay("conversation")
    hung_up = HungUp("NORMAL_CLEARING")
    keys = [event for event in got if isinstance(event, Dtmf)]
    assert got == [Answered("PCMU", 8000), *keys, hung_up, hung_up]
    assert [key.digit for key in keys] == ["5", "#"]
    assert dropped == 0


async def test_events_of_a_caller_who_holds_us() -> None:
    got, dropped = await replay("hold")
    assert [e for e in got if isinstance(e, Held | Unheld)] == [Held(), Unheld(), Held()]
    assert dropped == 0


async def test_events_of_another_codec() -> None:
    got, _ = await replay("codec_change.1")
    assert [e for e in got if isinstance(e, CodecSet)] == [CodecSet("PCMA", 8000)]


async def test_a_call_that_is_taken_over_in_a_hold_says_so() -> None:
    headers = {"Unique-ID": UUID, "Channel-Call-State": "HELD"}
    assert Channel.parse(headers).held
    assert not Channel.parse({**headers, "Channel-Call-State": "ACTIVE"}).held


async def test_events_of_refused_streams_in_both_builds() -> None:
    for build in ("amigniter", "sptmru"):
        got, _ = await replay(f"{build}/stream_refused")
        refused, not_found = (e for e in got if isinstance(e, StreamFailed))
        assert "refused" in refused.reason
        assert "404" in not_found.reason or "upgrade failed" in not_found.reason


async def test_events_of_written_files() -> None:
    for build in ("amigniter", "sptmru"):
        got, _ = await replay(f"{build}/stream_messages")
        (written,) = (e for e in got if isinstance(e, FileWritten))
        assert written.path.endswith("_0.tmp.r8")


async def test_an_application_that_does_not_exist_is_a_hangup() -> None:
    got, _ = await replay("invalid_application")
    assert any(isinstance(e, HungUp) and e.cause == "DESTINATION_OUT_OF_ORDER" for e in got)


EVENTS: list[tuple[dict[str, str], SwitchEvent | None]] = [
    ({"Event-Name": "CHANNEL_ANSWER"}, Answered("", 0)),
    (
        {"Event-Name": "CHANNEL_HANGUP", "Hangup-Cause": "USER_BUSY"},
        HungUp("USER_BUSY", "USER_BUSY"),
    ),
    ({"Event-Name": "CHANNEL_HANGUP_COMPLETE"}, HungUp("UNKNOWN", "UNKNOWN")),
    (
        {
            "Event-Name": "CHANNEL_EXECUTE",
            "Application": "playback",
            "Application-UUID": "p",
        },
        FilePlaying("p"),
    ),
    (
        {
            "Event-Name": "CHANNEL_EXECUTE",
            "Application": "lua",
            "Application-Data": "app.lua voicemail",
        },
        Running("lua", "app.lua voicemail"),
    ),
    ({"Event-Name": "CHANNEL_EXECUTE_COMPLETE", "Application-UUID": "p"}, FilePlayed("p", True)),
    (
        {
            "Event-Name": "CHANNEL_EXECUTE_COMPLETE",
            "Application-UUID": "p",
            "Application-Response": "FILE NOT FOUND",
        },
        FilePlayed("p", False),
    ),
    ({"Event-Name": "DTMF", "DTMF-Digit": "#"}, Dtmf("#")),
    ({"Event-Name": "DTMF", "DTMF-Digit": "12"}, None),
    ({"Event-Name": "DTMF", "DTMF-Digit": "x"}, None),
    ({"Event-Name": "DTMF"}, None),
    ({"Event-Name": "CUSTOM", "Event-Subclass": "mod_audio_stream::connect"}, None),
    ({"Event-Name": "CUSTOM", "Event-Subclass": "sofia::reinvite"}, None),
    ({"Event-Name": "CHANNEL_BRIDGE", "Other-Leg-Unique-ID": UUID}, Bridged(UUID)),
    ({"Event-Name": "HEARTBEAT"}, None),
    ({}, None),
]


@pytest.mark.parametrize(("headers", "expected"), EVENTS)
def test_what_an_event_means(headers: dict[str, str], expected: SwitchEvent | None) -> None:
    assert parse(headers) == expected


@pytest.mark.parametrize(
    ("cause", "disposition", "application", "unreached"),
    [  # as a real switch told them, see docs/design/freeswitch.md#who-was-reached
        ("NORMAL_CLEARING", "SUCCESS", "bridge", ""),
        ("NORMAL_CLEARING", "", "playback", ""),
        ("NORMAL_CLEARING", "USER_NOT_REGISTERED", "hangup", ""),  # its mailbox answered
        ("NORMAL_CLEARING", "", "bridge", "ORIGINATOR_CANCEL"),  # the caller gave up
        ("USER_BUSY", "USER_BUSY", "bridge", "USER_BUSY"),
        ("NO_ANSWER", "NO_ANSWER", "hangup", "NO_ANSWER"),
        ("NO_ROUTE_DESTINATION", "", "playback", "NO_ROUTE_DESTINATION"),
    ],
)
def test_who_was_reached_after_a_transfer(
    cause: str, disposition: str, application: str, unreached: str
) -> None:
    told = {"originate_disposition": disposition, "current_application": application}
    headers = {f"variable_{name}": value for name, value in told.items() if value}
    event = {"Event-Name": "CHANNEL_HANGUP", "Hangup-Cause": cause, **headers}
    instead = disposition if disposition == "USER_NOT_REGISTERED" else ""
    assert parse(event) == HungUp(cause, unreached, instead)


def stream_event(name: str, body: Any) -> object:
    """An event of mod_audio_stream; ``body`` as JSON, or as it is."""
    headers = {"Event-Name": "CUSTOM", "Event-Subclass": f"mod_audio_stream::{name}"}
    return parse(headers, body if body is None or isinstance(body, str) else json.dumps(body))


def test_what_mod_audio_stream_reports() -> None:
    assert stream_event("play", {"file": "/tmp/x.r8"}) == FileWritten("/tmp/x.r8")
    broken = {"message": {"error": "refused\n\x1b[31m"}}
    assert stream_event("error", broken) == StreamFailed("refused  [31m")


@pytest.mark.parametrize("name", ["play", "error"])
@pytest.mark.parametrize("body", [None, "", "{", [], {}, {"file": 1}, {"file": "/tmp/a\nb"}])
def test_what_mod_audio_stream_says_wrong_is_an_error(name: str, body: Any) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        stream_event(name, body)

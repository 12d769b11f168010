"""The events of one channel: dropped, kept, matched, handed on."""

from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from esl_controller.call.events import Answered, Dtmf, HungUp
from esl_controller.freeswitch.channel_events import EARLY_EVENTS, ChannelEvents
from esl_controller.freeswitch.esl import ESLEvent
from esl_controller.freeswitch.events import FilePlayed, FilePlaying, FileWritten, SwitchEvent

UUID = "8f045ec3-c1d9-47ba-8369-9955c1dfc4f2"


def told(name: str, **headers: str) -> ESLEvent:
    """An event of the channel; ``_`` stands for a hyphen."""
    values = {key.replace("_", "-"): value for key, value in headers.items()}
    return ESLEvent({"Event-Name": name, "Unique-ID": UUID, **values})


def custom(body: str) -> ESLEvent:
    """mod_audio_stream says that a file is written."""
    event = told("CUSTOM", Event_Subclass="mod_audio_stream::play")
    event.body = body
    return event


@pytest.fixture
def got() -> list[SwitchEvent]:
    return []


@pytest.fixture
def events(got: list[SwitchEvent]) -> ChannelEvents:
    """Those of a channel that is known, and handled."""
    made = ChannelEvents()
    made.uuid = UUID
    made.handle(got.append)
    return made


async def test_those_of_another_channel_are_dropped_once_ours_is_known(
    events: ChannelEvents, got: list[SwitchEvent]
) -> None:
    other = told("CHANNEL_HANGUP", Hangup_Cause="USER_BUSY", Unique_ID="another")
    await events.received(other)
    assert (got, events.dropped) == ([], 1)
    events.uuid = ""
    await events.received(other)
    assert (got, events.dropped) == ([HungUp("USER_BUSY", "USER_BUSY")], 1)


@pytest.mark.parametrize("body", ["no JSON", "{}", "7", '{"file": 7}', '{"file": "/a\\n"}'])
async def test_one_that_cannot_be_read_is_counted_and_told(
    events: ChannelEvents, got: list[SwitchEvent], body: str
) -> None:
    with capture_logs() as logs:
        await events.received(custom(body))
    assert (got, events.dropped) == ([], 1)
    assert [line["event_type"] for line in logs] == ["mod_audio_stream::play"]
    await events.received(custom('{"file": "/a"}'))
    assert (got, events.dropped) == ([FileWritten("/a")], 1)


async def test_one_that_means_nothing_to_us_is_not_counted(
    events: ChannelEvents, got: list[SwitchEvent]
) -> None:
    await events.received(told("CHANNEL_PARK"))
    assert (got, events.dropped) == ([], 0)


async def test_without_a_handler_they_wait_in_order_and_the_oldest_go(
    events: ChannelEvents, got: list[SwitchEvent]
) -> None:
    events.buffer()
    for n in range(EARLY_EVENTS + 2):
        await events.received(told("CHANNEL_HANGUP", Hangup_Cause=f"C{n}"))
    assert got == []
    events.handle(got.append)
    causes = [event.cause for event in got if isinstance(event, HungUp)]
    assert causes == [f"C{n}" for n in range(2, EARLY_EVENTS + 2)]
    await events.received(told("CHANNEL_ANSWER"))
    assert got[-1] == Answered()


async def test_only_files_of_ours_are_told_of(
    events: ChannelEvents, got: list[SwitchEvent]
) -> None:
    play_id, played = events.expect_play()
    other, _ = events.expect_play()
    assert other != play_id
    playing = {"Application": "playback", "Application_UUID": play_id}
    await events.received(told("CHANNEL_EXECUTE", **playing))
    assert not played.is_set()
    await events.received(told("CHANNEL_EXECUTE_COMPLETE", **playing))
    assert played.is_set()
    for name in ("CHANNEL_EXECUTE", "CHANNEL_EXECUTE_COMPLETE"):
        await events.received(told(name, **playing))
        await events.received(told(name, **{**playing, "Application_UUID": "music"}))
    assert got == [FilePlaying(play_id), FilePlayed(play_id, ok=True)]
    assert events.dropped == 0


async def test_a_key_that_is_told_twice_counts_once(
    events: ChannelEvents, got: list[SwitchEvent]
) -> None:
    for at_us in ("1000000", "1020000", "1300000"):
        key = {"DTMF_Digit": "7", "DTMF_Source": "RTP", "Event_Date_Timestamp": at_us}
        await events.received(told("DTMF", **key))
    assert got == [Dtmf("7"), Dtmf("7")]


async def test_a_lane_is_done_when_its_own_command_was_carried_out(
    events: ChannelEvents, got: list[SwitchEvent]
) -> None:
    first, second = events.expect_lane(40000), events.expect_lane(40002)
    for port in ("40000", "40000", "50000"):
        unicast = {"call_command": "unicast", "local_port": port}
        await events.received(told("PRIVATE_COMMAND", **unicast))
    assert (first.done(), second.done()) == (True, False)
    second.cancel()
    await events.received(told("PRIVATE_COMMAND", call_command="unicast", local_port="40002"))
    assert got == []

"""How a call hears and is heard, whatever fails."""

from __future__ import annotations

import pytest

from esl_controller.call import events as ev
from esl_controller.call.actions import (
    Actions,
    HearByLane,
    NewPark,
    Note,
    OpenLane,
    PlayFiles,
    StartStream,
)
from esl_controller.call.media_path import (
    CODEC_S,
    LANE_CLOSED_S,
    PARK_S,
    PARKS,
    STREAM_BACK_S,
    STREAM_TRIES,
    MediaPath,
)

REFUSED = ev.StreamFailed("refused")
MISSING = ev.StreamFailed("no module", missing=True)


def tell(path: MediaPath, *events: ev.MediaEvent, now: float = 0.0) -> Actions:
    """What is done about them, without the notes."""
    return [a for event in events for a in path.handle(event, now) if not isinstance(a, Note)]


def up() -> MediaPath:
    """Stream and lane are there."""
    path = MediaPath("lane")
    assert path.open(again=False) == [StartStream(), OpenLane()]
    assert tell(path, ev.StreamOpened(), ev.LaneOpened(8000)) == []
    return path


def by(path: MediaPath) -> tuple[str, str]:
    """How it hears and speaks."""
    return path.hearing, path.speaking_by


def test_both_ways_are_opened_side_by_side() -> None:
    assert MediaPath("file").open(again=True) == [StartStream(again=True), PlayFiles()]
    path = up()
    assert by(path) == ("stream", "lane")
    assert not path.mute
    assert not path.deaf


def test_a_closed_stream_has_its_time_to_come_back() -> None:
    path = up()
    tell(path, ev.StreamClosed(1006), now=5.0)
    assert path.hearing == "no"
    assert path.deadline() == 5.0 + STREAM_BACK_S
    assert path.time_up(5.0) == []
    note, restart = path.time_up(5.0 + STREAM_BACK_S)
    assert isinstance(note, Note)
    assert restart == StartStream(again=True)
    assert path.deadline() is None
    tell(path, ev.StreamOpened())
    tell(path, ev.StreamClosed(1006), ev.StreamOpened(), now=9.0)
    assert path.deadline() is None


def test_a_refused_stream_is_tried_again_and_the_lane_heard_meanwhile() -> None:
    path = MediaPath("lane")
    path.open(again=False)
    tell(path, ev.LaneOpened(8000))
    assert tell(path, REFUSED) == [StartStream(again=True), HearByLane()]
    for _ in range(STREAM_TRIES - 2):
        assert tell(path, REFUSED) == [StartStream(again=True)]
    assert tell(path, REFUSED, REFUSED) == []
    assert by(path) == ("lane", "lane")
    tell(path, ev.StreamOpened())
    assert by(path) == ("stream", "lane")
    assert tell(path, REFUSED) == [], "that was an earlier one"


def test_a_missing_module_is_not_tried_again() -> None:
    path = MediaPath("lane")
    path.open(again=False)
    assert tell(path, MISSING) == []
    assert not path.deaf, "a lane may come"
    assert tell(path, ev.LaneOpened(8000)) == [HearByLane()]


def parked(path: MediaPath, now: float) -> None:
    """What is due now is a new park."""
    note, park = path.time_up(now)
    assert isinstance(note, Note)
    assert park == NewPark(path.parks)


def test_a_lost_lane_is_opened_anew_in_a_new_park() -> None:
    path = up()
    assert tell(path, ev.LaneFailed("closed"), now=5.0) == []
    assert by(path) == ("stream", "no")
    assert path.deadline() == 5.0 + LANE_CLOSED_S, "perhaps it is the hangup"
    parked(path, 5.0 + LANE_CLOSED_S)
    assert path.parks == 1


@pytest.mark.parametrize("failure", ["refused", "late"])
def test_files_replace_a_lane_where_there_is_no_new_park(failure: str) -> None:
    path = up()
    tell(path, ev.LaneFailed("closed"), now=5.0)
    parked(path, 6.0)
    assert path.deadline() == 6.0 + PARK_S
    if failure == "refused":
        assert tell(path, ev.ParkFailed("-ERR")) == [PlayFiles()]
    else:
        assert path.time_up(6.0 + PARK_S)[1:] == [PlayFiles()]
    assert path.deadline() is None
    tell(path, ev.FilesReady())
    assert by(path) == ("stream", "file")


def test_another_codec_gets_a_new_park_at_once() -> None:
    path = up()
    assert tell(path, ev.CodecChanged(other=True), now=5.0) == []
    assert path.deadline() == 5.0
    parked(path, 5.0)
    assert tell(path, ev.LaneFailed("closed"), now=5.02) == [], "that is being mended"


@pytest.mark.parametrize("lane_first", [False, True])
def test_another_packet_time_gets_a_new_park_at_once(lane_first: bool) -> None:
    path = up()
    changes: list[ev.MediaEvent] = [ev.CodecChanged(other=False), ev.LaneFailed("closed")]
    for change in reversed(changes) if lane_first else changes:
        tell(path, change, now=5.0)
    assert path.deadline() == 5.0
    parked(path, 5.0)


def test_a_codec_that_is_set_as_it_was_changes_nothing() -> None:
    path = up()
    tell(path, ev.CodecChanged(other=False), now=5.0)
    assert path.deadline() is None
    tell(path, ev.LaneFailed("closed"), now=5.0 + CODEC_S)
    assert path.deadline() == 5.0 + CODEC_S + LANE_CLOSED_S


def test_a_new_park_waits_for_a_caller_who_holds_us() -> None:
    path = up()
    path.held = True
    tell(path, ev.CodecChanged(other=True), ev.LaneFailed("closed"), now=5.0)
    assert path.deadline() is None
    assert path.time_up(60.0) == []
    path.held = False
    assert path.deadline() == 5.0
    parked(path, 60.0)


def test_a_new_park_waits_for_a_lane_that_is_being_opened() -> None:
    path = MediaPath("lane")
    path.open(again=False)
    tell(path, ev.CodecChanged(other=True), now=5.0)
    assert path.deadline() is None
    tell(path, ev.LaneOpened(8000), now=5.1)
    parked(path, 5.1)


def test_in_a_new_park_stream_and_lane_are_opened_anew() -> None:
    path = up()
    assert path.awaited_park == 0
    tell(path, ev.CodecChanged(other=True), now=5.0)
    parked(path, 5.0)
    assert path.awaited_park == 1
    # The codec changes once more, and the stream has been stopped.
    tell(path, ev.CodecChanged(other=True), ev.StreamClosed(1000), now=5.01)
    assert path.time_up(5.01) == [], "it is on its way"
    assert tell(path, ev.Parked(held=False), now=5.02) == [StartStream(again=True), OpenLane()]
    assert path.awaited_park == 0
    assert path.deadline() is None
    assert by(path) == ("no", "no")
    tell(path, ev.StreamOpened(), ev.LaneOpened(16000))
    assert by(path) == ("stream", "lane")
    assert path.deadline() is None


def test_who_was_heard_by_the_lane_is_heard_by_the_next_one() -> None:
    path = MediaPath("lane")
    path.open(again=False)
    tell(path, MISSING, ev.LaneOpened(8000))
    assert by(path) == ("lane", "lane")
    tell(path, ev.CodecChanged(other=True), now=5.0)
    parked(path, 5.0)
    assert by(path) == ("no", "no")
    tell(path, ev.Parked(held=False), now=5.02)
    assert tell(path, ev.LaneOpened(8000), now=5.1) == [HearByLane()]


def test_new_parks_are_counted() -> None:
    path = up()
    path.parks = PARKS
    tell(path, ev.CodecChanged(other=True), now=5.0)
    # The stream still has the rate of the last codec.
    assert path.time_up(5.0)[1:] == [StartStream(again=True), PlayFiles()]
    assert tell(path, ev.StreamClosed(1000), ev.StreamOpened(), ev.FilesReady(), now=5.1) == []
    assert by(path) == ("stream", "file")
    assert path.deadline() is None
    tell(path, ev.CodecChanged(other=True), now=9.0)
    assert path.time_up(9.0)[1:] == [StartStream(again=True), PlayFiles()]


@pytest.mark.parametrize("failure", ["refused", "late"])
def test_a_new_park_that_does_not_come_leaves_no_stream_at_the_rate_of_the_last_codec(
    failure: str,
) -> None:
    path = up()
    tell(path, ev.CodecChanged(other=True), now=5.0)
    parked(path, 5.0)
    if failure == "refused":
        actions = tell(path, ev.ParkFailed("-ERR"), now=5.1)
    else:
        actions = path.time_up(5.0 + PARK_S)[1:]
    assert actions == [StartStream(again=True), PlayFiles()]


def test_a_stream_that_was_started_anew_since_the_codec_changed_has_its_rate() -> None:
    path = up()
    path.parks = PARKS
    tell(path, ev.StreamClosed(1006), now=4.0)
    path.held = True
    tell(path, ev.CodecChanged(other=True), now=4.1)
    assert path.time_up(4.0 + STREAM_BACK_S)[1:] == [StartStream(again=True)]
    tell(path, ev.StreamOpened())
    path.held = False
    assert path.time_up(5.0)[1:] == [PlayFiles()]


def test_a_lane_that_is_lost_too_often_leaves_the_stream_as_it_is() -> None:
    path = up()
    path.parks = PARKS
    tell(path, ev.LaneFailed("closed"), now=5.0)
    assert path.time_up(5.0 + LANE_CLOSED_S)[1:] == [PlayFiles()]
    assert by(path) == ("stream", "no")


def test_a_lane_that_does_not_open_is_replaced_at_once() -> None:
    path = MediaPath("lane")
    path.open(again=False)
    assert tell(path, ev.LaneFailed("busy")) == [PlayFiles()]


def test_a_stream_that_is_back_has_all_its_tries() -> None:
    path = up()
    tell(path, ev.StreamClosed(1006), MISSING, ev.StreamOpened(), ev.StreamClosed(1006))
    again = [StartStream(again=True)]
    assert tell(path, REFUSED) == [*again, HearByLane()]
    assert tell(path, REFUSED) == again
    assert tell(path, REFUSED) == again


def test_neither_stream_nor_lane_is_deaf() -> None:
    path = up()
    tell(path, ev.StreamClosed(1006), MISSING)
    assert path.deadline() is None
    assert path.hearing == "lane"
    tell(path, ev.LaneFailed("closed"))
    path.time_up(10.0)
    tell(path, ev.ParkFailed("-ERR"))
    assert not path.deaf
    tell(path, ev.FilesReady())
    assert path.deaf


def test_neither_lane_nor_files_is_mute() -> None:
    path = up()
    tell(path, ev.LaneFailed("closed"), ev.FilesReady(), ev.FilesFailed("gone"))
    assert path.mute
    assert by(path) == ("stream", "no")

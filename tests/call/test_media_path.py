"""How a call hears and is heard, whatever fails."""

from __future__ import annotations

from esl_controller.call import events as ev
from esl_controller.call.actions import Actions, HearByLane, Note, OpenLane, PlayFiles, StartStream
from esl_controller.call.media_path import LANE_LOST_S, STREAM_BACK_S, STREAM_TRIES, MediaPath

REFUSED = ev.StreamFailed("refused")
MISSING = ev.StreamFailed("no module", missing=True)


def tell(ways: MediaPath, *events: ev.MediaEvent, now: float = 0.0) -> Actions:
    """What is done about them, without the notes."""
    return [a for event in events for a in ways.handle(event, now) if not isinstance(a, Note)]


def up() -> MediaPath:
    """Stream and lane are there."""
    ways = MediaPath("lane")
    assert ways.open(again=False) == [StartStream(), OpenLane()]
    assert tell(ways, ev.StreamOpened(), ev.LaneOpened(8000)) == []
    return ways


def by(ways: MediaPath) -> tuple[str, str]:
    """How it hears and speaks."""
    return ways.hearing, ways.speaking_by


def test_both_ways_are_opened_side_by_side() -> None:
    assert MediaPath("file").open(again=True) == [StartStream(again=True), PlayFiles()]
    ways = up()
    assert by(ways) == ("stream", "lane")
    assert not ways.mute
    assert not ways.deaf


def test_a_closed_stream_has_its_time_to_come_back() -> None:
    ways = up()
    tell(ways, ev.StreamClosed(1006), now=5.0)
    assert ways.hearing == "no"
    assert ways.deadline() == 5.0 + STREAM_BACK_S
    assert ways.time(5.0) == []
    note, restart = ways.time(5.0 + STREAM_BACK_S)
    assert isinstance(note, Note)
    assert restart == StartStream(again=True)
    assert ways.deadline() is None
    tell(ways, ev.StreamOpened())
    tell(ways, ev.StreamClosed(1006), ev.StreamOpened(), now=9.0)
    assert ways.deadline() is None


def test_a_refused_stream_is_tried_again_and_the_lane_heard_meanwhile() -> None:
    ways = MediaPath("lane")
    ways.open(again=False)
    tell(ways, ev.LaneOpened(8000))
    assert tell(ways, REFUSED) == [StartStream(again=True), HearByLane()]
    for _ in range(STREAM_TRIES - 2):
        assert tell(ways, REFUSED) == [StartStream(again=True)]
    assert tell(ways, REFUSED, REFUSED) == []
    assert by(ways) == ("lane", "lane")
    tell(ways, ev.StreamOpened())
    assert by(ways) == ("stream", "lane")
    assert tell(ways, REFUSED) == [], "that was an earlier one"


def test_a_missing_module_is_not_tried_again() -> None:
    ways = MediaPath("lane")
    ways.open(again=False)
    assert tell(ways, MISSING) == []
    assert not ways.deaf, "a lane may come"
    assert tell(ways, ev.LaneOpened(8000)) == [HearByLane()]


def test_a_lost_lane_is_replaced_by_files() -> None:
    ways = up()
    assert tell(ways, ev.LaneFailed("closed"), now=5.0) == []
    assert by(ways) == ("stream", "no")
    assert ways.deadline() == 5.0 + LANE_LOST_S, "perhaps it is the hangup"
    note, files = ways.time(5.0 + LANE_LOST_S)
    assert isinstance(note, Note)
    assert files == PlayFiles()
    tell(ways, ev.FilesReady())
    assert by(ways) == ("stream", "file")


def test_a_lane_that_does_not_open_is_replaced_at_once() -> None:
    ways = MediaPath("lane")
    ways.open(again=False)
    assert tell(ways, ev.LaneFailed("busy")) == [PlayFiles()]


def test_a_stream_that_is_back_has_all_its_tries() -> None:
    ways = up()
    tell(ways, ev.StreamClosed(1006), MISSING, ev.StreamOpened(), ev.StreamClosed(1006))
    again = [StartStream(again=True)]
    assert tell(ways, REFUSED) == [*again, HearByLane()]
    assert tell(ways, REFUSED) == again
    assert tell(ways, REFUSED) == again


def test_neither_stream_nor_lane_is_deaf() -> None:
    ways = up()
    tell(ways, ev.StreamClosed(1006), MISSING)
    assert ways.deadline() is None
    assert ways.hearing == "lane"
    tell(ways, ev.LaneFailed("closed"))
    ways.time(10.0)
    assert not ways.deaf
    tell(ways, ev.FilesReady())
    assert ways.deaf


def test_neither_lane_nor_files_is_mute() -> None:
    ways = up()
    tell(ways, ev.LaneFailed("closed"), ev.FilesReady(), ev.FilesFailed("gone"))
    assert ways.mute
    assert by(ways) == ("stream", "no")

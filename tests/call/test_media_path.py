"""How a call hears and is heard, whatever fails."""

from __future__ import annotations

from esl_controller.call import events as ev
from esl_controller.call.actions import Actions, HearByLane, Note, OpenLane, PlayFiles, StartStream
from esl_controller.call.media_path import LANE_CLOSED_S, STREAM_BACK_S, STREAM_TRIES, MediaPath

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


def test_a_lost_lane_is_replaced_by_files() -> None:
    path = up()
    assert tell(path, ev.LaneFailed("closed"), now=5.0) == []
    assert by(path) == ("stream", "no")
    assert path.deadline() == 5.0 + LANE_CLOSED_S, "perhaps it is the hangup"
    note, files = path.time_up(5.0 + LANE_CLOSED_S)
    assert isinstance(note, Note)
    assert files == PlayFiles()
    tell(path, ev.FilesReady())
    assert by(path) == ("stream", "file")


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
    assert not path.deaf
    tell(path, ev.FilesReady())
    assert path.deaf


def test_neither_lane_nor_files_is_mute() -> None:
    path = up()
    tell(path, ev.LaneFailed("closed"), ev.FilesReady(), ev.FilesFailed("gone"))
    assert path.mute
    assert by(path) == ("stream", "no")

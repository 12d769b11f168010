"""How a call hears its caller, and how its caller hears it: the stream, the lane, files. [core]

Part of ``machine.py``. The caller is heard by mod_audio_stream's WebSocket, or by the lane if that
does not work; and hears us by the lane, or by files that FreeSWITCH plays. A lane cannot be opened
twice in one park (docs/design/freeswitch.md#the-lane-opens-once-per-park), so a call that has lost
it, or whose caller speaks another codec, is given a new park, where everything is opened anew.
Times are seconds of the call's clock.
"""

from __future__ import annotations

from typing import Literal, assert_never

from esl_controller.call.actions import (
    Actions,
    HearByLane,
    NewPark,
    Note,
    OpenLane,
    PlayFiles,
    StartStream,
)
from esl_controller.call.events import (
    CodecChanged,
    FilesFailed,
    FilesReady,
    LaneFailed,
    LaneOpened,
    MediaEvent,
    Parked,
    ParkFailed,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)

STREAM_BACK_S = 0.3  # sptmru's module reconnects within 20 ms; after this it is started again
STREAM_TRIES = 3
# A hangup closes the lane before we are told of it, 0.3 s before where twenty calls end at once. So
# a lane is only replaced when it has been closed for this long.
LANE_CLOSED_S = 1.0
# The switch closes the lane and then tells of the codec; we find the lane closed with the second
# frame that we send, up to 120 ms later. So a lane is not closed by a hangup if these two are as
# close as this.
CODEC_S = 0.5
# The switch dials us within 20 ms, or once more after 2 s (``dialplan.UNTIL_TAKEN_S``).
PARK_S = 4.0
PARKS = 20  # in one call: each leaves a connection behind, which costs the switch 1.6 MB


class MediaPath:
    """How one call hears and speaks.

    ``mute``: there is no way left to speak to the caller. ``held``: the caller's phone has put us
    on hold; a new park would end that (docs/design/freeswitch.md#a-caller-on-hold), so it waits.
    ``parks``: how often the call was given a new park.
    """

    def __init__(self, playback: Literal["lane", "file"]) -> None:
        self.held = False
        self.parks = 0
        self.hearing: Literal["no", "stream", "lane"] = "no"
        self.speaking_by: Literal["no", "lane", "file"] = "no"
        self.mute = False
        self._playback = playback
        self._stream_tries = 0
        self._stream_given_up = False
        self._stream_deadline: float | None = None
        self._stream_outdated = False  # it began with another codec, and keeps its rate
        self._opening = False  # the lane
        self._codec_at: float | None = None  # when the switch last set the codec
        self._park_at: float | None = None  # when a new park is due
        self._park_why = ""
        self._parked_by: float | None = None  # until when the switch has to hand us the call

    @property
    def awaited_park(self) -> int:
        """The number of the park in which the switch is to hand us the call next; 0: of none."""
        return self.parks if self._parked_by is not None else 0

    @property
    def deaf(self) -> bool:
        """Whether there is no way left to hear the caller."""
        return self._stream_given_up and self.hearing == "no" and self.speaking_by == "file"

    def open(self, *, again: bool) -> Actions:
        """Open stream and lane; ``again``: the module may still stream the call, and must stop
        first."""
        self._opening = self._playback == "lane"
        speak = OpenLane() if self._playback == "lane" else PlayFiles()
        return [*self._start_stream(again=again), speak]

    def handle(self, event: MediaEvent, now: float) -> Actions:
        """Take note of a way that is open, and replace one that is not."""
        match event:
            case StreamOpened():
                self.hearing = "stream"
                self._stream_tries = 0
                self._stream_given_up = False
                self._stream_deadline = None
            case StreamClosed():
                if self.hearing == "stream":
                    self.hearing = "no"
                    self._stream_deadline = now + STREAM_BACK_S
            case StreamFailed():
                return self._stream_failed(event)
            case CodecChanged(other):
                self._codec_set(other, now)
            case LaneOpened():
                self._opening = False
                self.speaking_by = "lane"
                return self._replace_stream()
            case LaneFailed(reason):
                return self._lane_failed(reason, now)
            case Parked():
                # The codec is the one that the channel has now.
                self._parked_by = self._park_at = None
                self.hearing = "no"
                return self.open(again=True)
            case ParkFailed(reason):
                return self._play_files(reason)
            case FilesReady():
                self.speaking_by = "file"
                return self._replace_stream()
            case FilesFailed(reason):
                self.speaking_by = "no"
                self.mute = True
                return [Note("no way to speak to the caller, the call is ended", reason)]
            case _:
                assert_never(event)
        return []

    def time_up(self, now: float) -> Actions:
        """Replace what has not come back in time."""
        if self._may_park and self._park_at is not None and now >= self._park_at:
            return self._new_park(now)
        if self._parked_by is not None and now >= self._parked_by:
            return self._play_files(
                f"the switch did not hand us the call again within {PARK_S:g} s"
            )
        if self._stream_deadline is not None and now >= self._stream_deadline:
            return self._restart_stream("the media connection was closed and did not come back")
        return []

    def deadline(self) -> float | None:
        """When ``time_up`` has something to do."""
        park_at = self._park_at if self._may_park else None
        times = (self._stream_deadline, park_at, self._parked_by)
        return min((time for time in times if time is not None), default=None)

    # --- hearing ----------------------------------------------------------------------------------

    def _start_stream(self, *, again: bool) -> Actions:
        self._stream_tries = 1
        self._stream_deadline = None
        self._stream_outdated = False
        return [StartStream(again)]

    def _stream_failed(self, event: StreamFailed) -> Actions:
        if self.hearing == "stream" or self._stream_given_up:
            return []
        if not event.missing and self._stream_tries < STREAM_TRIES:
            return [*self._restart_stream(event.reason), *self._hear_by_lane()]
        self._stream_given_up = True
        self._stream_deadline = None
        note = Note("mod_audio_stream does not bring the caller's audio", event.reason)
        return [note, *self._replace_stream()]

    def _restart_stream(self, reason: str) -> Actions:
        self._stream_tries += 1
        self._stream_deadline = None
        self._stream_outdated = False
        return [Note("the caller's audio is started again", reason), StartStream(again=True)]

    def _replace_stream(self) -> Actions:
        """Without a stream, hear by the lane. Without both, there is no point in the call."""
        if not self._stream_given_up:
            return []
        if self.deaf:
            return [Note("no way to hear the caller, the call is ended", "no stream and no lane")]
        return self._hear_by_lane()

    def _hear_by_lane(self) -> Actions:
        if self.hearing != "no" or self.speaking_by != "lane":
            return []
        self.hearing = "lane"
        note = Note("the call goes on with the audio that the lane brings", "no stream")
        return [note, HearByLane()]

    # --- speaking ---------------------------------------------------------------------------------

    @property
    def _may_park(self) -> bool:
        """Whether the call may be given a new park, and is not on its way to one. A lane that opens
        meanwhile might open in the new one."""
        return not (self.held or self._opening or self._parked_by is not None)

    def _codec_set(self, other: bool, now: float) -> None:
        self._codec_at = now
        if other:
            self._stream_outdated = True
            self._park_at, self._park_why = now, "the caller's codec has changed"
        elif self._park_at is not None:
            self._park_at = now  # it was no hangup that closed the lane

    def _lane_failed(self, reason: str, now: float) -> Actions:
        self._opening = False
        if self.speaking_by != "lane":
            return [] if self._parked_by is not None else self._play_files(reason)
        self.speaking_by = "no"
        if self._park_at is None:
            by_codec = self._codec_at is not None and now - self._codec_at < CODEC_S
            self._park_at = now if by_codec else now + LANE_CLOSED_S
            self._park_why = "FreeSWITCH closed the lane in the middle of the call"
        return []

    def _new_park(self, now: float) -> Actions:
        self._park_at = None
        if self.parks >= PARKS:
            return self._play_files(f"{self._park_why}, for the {PARKS + 1}th time")
        self.parks += 1
        self.speaking_by = "no"
        if self.hearing == "lane":
            self.hearing = "no"
        self._parked_by = now + PARK_S
        note = Note("stream and lane are opened anew in a new park", self._park_why)
        return [note, NewPark(self.parks)]

    def _play_files(self, reason: str) -> Actions:
        self._park_at = self._parked_by = None
        if self.hearing == "lane":
            self.hearing = "no"
        note = Note("no lane to the caller, replies are played as files", reason)
        return [note, *self._renew_stream(), PlayFiles()]

    def _renew_stream(self) -> Actions:
        """Where the codec has changed and no new park brings another stream: start it anew."""
        if not self._stream_outdated or self._stream_given_up:
            return []
        self.hearing = "no"
        return self._start_stream(again=True)

"""How a call hears its caller, and how its caller hears it: the stream, the lane, files. [core]

Part of ``machine.py``. The caller is heard by mod_audio_stream's WebSocket, or by the lane if that
does not work; and hears us by the lane, or by files that FreeSWITCH plays. Times are seconds of the
call's clock.
"""

from __future__ import annotations

from typing import Literal, assert_never

from esl_controller.call.actions import Actions, HearByLane, Note, OpenLane, PlayFiles, StartStream
from esl_controller.call.events import (
    FilesFailed,
    FilesReady,
    LaneFailed,
    LaneOpened,
    MediaEvent,
    StreamClosed,
    StreamFailed,
    StreamOpened,
)

STREAM_BACK_S = 0.3  # sptmru's module reconnects within 20 ms; after this it is started again
STREAM_TRIES = 3
# A hangup closes the lane before we are told of it, 0.3 s before where twenty calls end at once. So
# a lane is only replaced when it has been closed for this long.
LANE_CLOSED_S = 1.0


class MediaPath:
    """How one call hears and speaks.

    ``mute``: there is no way left to speak to the caller.
    """

    def __init__(self, playback: Literal["lane", "file"]) -> None:
        self.hearing: Literal["no", "stream", "lane"] = "no"
        self.speaking_by: Literal["no", "lane", "file"] = "no"
        self.mute = False
        self._playback = playback
        self._stream_tries = 0
        self._stream_given_up = False
        self._stream_deadline: float | None = None
        self._lane_deadline: float | None = None

    @property
    def deaf(self) -> bool:
        """Whether there is no way left to hear the caller."""
        return self._stream_given_up and self.hearing == "no" and self.speaking_by == "file"

    def open(self, *, again: bool) -> Actions:
        """Open stream and lane; ``again``: the module may still stream the call, and must stop
        first."""
        self._stream_tries = 1
        return [StartStream(again), OpenLane() if self._playback == "lane" else PlayFiles()]

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
            case LaneOpened():
                self.speaking_by = "lane"
                return self._replace_stream()
            case LaneFailed(reason):
                return self._lane_failed(reason, now)
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
        if self._lane_deadline is not None and now >= self._lane_deadline:
            return self._play_files("FreeSWITCH closed it in the middle of the call")
        if self._stream_deadline is not None and now >= self._stream_deadline:
            return self._restart_stream("the media connection was closed and did not come back")
        return []

    def deadline(self) -> float | None:
        """When ``time_up`` has something to do."""
        times = (self._stream_deadline, self._lane_deadline)
        return min((time for time in times if time is not None), default=None)

    # --- hearing ----------------------------------------------------------------------------------

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

    def _lane_failed(self, reason: str, now: float) -> Actions:
        # It cannot be opened again before the channel leaves its park, so files are what is left
        # (docs/design/freeswitch.md#the-lane-opens-once-per-park).
        if self.speaking_by == "lane":
            self.speaking_by = "no"
            self._lane_deadline = now + LANE_CLOSED_S
            return []
        return self._play_files(reason)

    def _play_files(self, reason: str) -> Actions:
        self._lane_deadline = None
        if self.hearing == "lane":
            self.hearing = "no"
        return [Note("no lane to the caller, replies are played as files", reason), PlayFiles()]

"""Two ways to play speech to a caller, with one interface: the lane, and files."""

from __future__ import annotations

import asyncio
import base64
import json
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Protocol

from esl_controller.call.events import FilesFailed, ItemFinished, ItemStarted, LaneFailed
from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.freeswitch.events import FileEvent, FilePlaying, FileWritten
from esl_controller.freeswitch.wire import SwitchError
from media.file_playout import FilePlayout, Segment
from media.frame import pcm
from media.lane import Clock, Lane, Ports
from media.playout import LOST_MS, CutOff, Finished, Playout, Started
from media.resample import Converter

LANE_TRIES = 4
# The channel carries out ``unicast`` at its next frame, after a file that it is playing. Until then
# a lane may open at any time, and a second one beside it would leave a thread behind in FreeSWITCH
# that writes into a freed session (docs/design/freeswitch.md#the-lane-opens-once-per-park).
LANE_TAKEN_S = 2.0
LANE_OPEN_S = 0.5  # from then on the first datagram comes with the caller's next packet
WRITTEN_S = 3.0  # mod_audio_stream writes a file within 20 ms
# Between files FreeSWITCH sends the caller no RTP, and a peer may end a call for that. So it plays
# a frame of silence so often; an item that comes meanwhile is 20 ms later.
SIGN_OF_LIFE_S = 1.0
SILENCE = "silence_stream://20"

Report = Callable[[ItemStarted | ItemFinished | LaneFailed | FilesFailed], None]


class LaneError(Exception):
    """No lane could be opened; the text says which ports were tried."""


class Playback(Protocol):
    """Where a call's speech goes: linear audio at ``rate`` Hz, in items (see ``media.playout``)."""

    rate: int

    def push(self, item: str, data: bytes) -> None:
        """Append audio (whole samples) to ``item``."""

    def complete(self, item: str) -> None:
        """No more audio of ``item`` will come."""

    def flush(self) -> list[CutOff]:
        """Be silent now. Returns how much was heard of each item that was cut off or never
        began."""

    def pause(self) -> None:
        """Be silent with the next frame and lose nothing. Does nothing where that is impossible."""

    def unpause(self) -> None:
        """Go on from where ``pause`` stopped."""

    def hold(self, unheard_ms: int) -> None:
        """Nobody hears us, and nobody has for ``unheard_ms``: be silent, and lose nothing."""

    def unhold(self) -> None:
        """Go on with the first sample that was not heard."""

    def withdraw(self) -> None:
        """The way to the caller is gone, and was for the last ``LOST_MS``: be silent, and keep what
        was not heard."""

    def heard(self) -> list[CutOff]:
        """What was heard so far of each item that has begun."""

    def close(self) -> None:
        """Free everything; may be called again."""

    @property
    def counters(self) -> dict[str, float]:
        """What was played and what was dropped."""


class LanePlayback:
    """Speech over the UDP lane: exact to the sample. Made by ``open_lane``.

    ``channel_rate`` in Hz is that of the lane. ``before``: the lane of the call's last park. Its
    playout goes on here, at its own rate, even if the channel has another one by now.
    """

    def __init__(
        self,
        lane: Lane,
        ports: Ports,
        channel_rate: int,
        report: Report,
        before: LanePlayback | None = None,
    ) -> None:
        self.channel_rate = channel_rate
        self.lane = lane
        if before is None:
            self.playout = Playout(channel_rate, frame_ms=lane.frame_ms)
        else:
            before.close()
            self.playout = before.playout
            self.playout.fit(lane.frame_ms)
            lane.frames, lane.unsent = before.lane.frames, before.lane.unsent
        self.rate = self.playout.format.rate
        self.push, self.complete = self.playout.push, self.playout.complete
        self.flush = self.playout.flush
        self.pause, self.unpause = self.playout.pause, self.playout.unpause
        self.hold, self.unhold = self.playout.hold, self.playout.unhold
        self.heard = self.playout.heard
        self._ports = ports
        self._report = report
        self._closed = False
        lane.on_event, lane.on_lost = self._events, self._lost
        convert = Converter(self.playout.format, pcm(channel_rate), lead=True).feed
        lane.start(self.playout, convert=convert if self.rate != channel_rate else None)

    def withdraw(self) -> None:
        self.playout.take_back(LOST_MS)
        # It is closed when another one replaces it: two threads of FreeSWITCH could stumble over
        # that now (docs/design/freeswitch.md#two-threads-that-close-it).
        self.lane.on_lost = lambda error: None
        self.lane.stop_receiving()
        self.lane.stop_sending()

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            self.lane.close()
            self._ports.give_back(self.lane.switch[1])

    @property
    def counters(self) -> dict[str, float]:
        playout = self.playout
        return {
            "frames": self.lane.frames,
            "frames_unsent": self.lane.unsent,
            "gaps": playout.gaps,
            "speech_dropped_ms": playout.dropped_ms,
        }

    def _events(self) -> None:
        _report_items(self.playout.events, self._report)

    def _lost(self, error: OSError) -> None:
        self.playout.take_back(LOST_MS)
        self._report(LaneFailed(f"FreeSWITCH closed the lane ({error.strerror})"))


async def open_lane(
    switch: SwitchConnection,
    clock: Clock,
    ports: Ports,
    host: str,
    switch_host: str,
    rate: int,
    report: Report,
    before: LanePlayback | None = None,
) -> LanePlayback:
    """Open the lane of a call, on another port if FreeSWITCH cannot bind the first: a bind that
    failed leaves nothing behind. A lane that was open cannot be opened again in the same park: the
    park keeps what it knows of its first lane in a variable of its own, which nothing but leaving
    it clears, and starts a lane's thread only while there is none
    (docs/design/freeswitch.md#the-lane-opens-once-per-park). So another port is only tried where
    the channel has carried out the command and no lane came of it, and ``call/media_path.py`` asks
    for a new park where a lane is lost.

    ``host`` is our address, ``switch_host`` the one FreeSWITCH binds, ``rate`` the channel's in Hz
    (0: not known), ``before`` as for ``LanePlayback``. Raises LaneError and SwitchError.
    """
    lanes: list[Lane] = []
    chosen: Lane | None = None
    try:
        for _ in range(LANE_TRIES):
            port = ports.take()
            try:
                lane = Lane(clock, host=host, switch=(switch_host, port), rate=rate)
            except OSError:
                ports.give_back(port)
                raise
            lanes.append(lane)
            carried_out = await switch.unicast(lane.switch, lane.local)
            waits = [lane.opened for lane in lanes]
            done = await _first_of([*waits, carried_out], LANE_TAKEN_S)
            if not done:
                raise LaneError(f"the channel did not carry out unicast within {LANE_TAKEN_S:g} s")
            if done == {carried_out}:
                done = await _first_of(waits, LANE_OPEN_S)
            opened = next((lane for lane in lanes if lane.opened in done), None)
            if opened is not None:
                chosen = opened
                return LanePlayback(chosen, ports, opened.opened.result(), report, before)
        tried = ", ".join(str(lane.switch[1]) for lane in lanes)
        raise LaneError(f"no frames came from FreeSWITCH's UDP ports {tried} on {switch_host}")
    except OSError as error:
        raise LaneError(f"no UDP socket for the lane: {error}") from error
    finally:
        for lane in lanes:
            if lane is not chosen:
                lane.close()
                ports.give_back(lane.switch[1])


async def _first_of(
    futures: Sequence[asyncio.Future[Any]], timeout: float
) -> set[asyncio.Future[Any]]:
    """Those that are done first; none within ``timeout`` seconds."""
    done, _ = await asyncio.wait(futures, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    return done


class FilePlayback:
    """Speech as files, which mod_audio_stream writes on the switch and the channel plays.

    No file system is shared: the audio goes to the module as a ``streamAudio`` message over its
    own WebSocket, it writes a temporary file and says where (``mod_audio_stream::play``,
    captures/*/stream_messages.jsonl), and ``playback`` plays it. ``run`` is its one task.
    """

    def __init__(
        self,
        switch: SwitchConnection,
        send: Callable[[str], Awaitable[None]],
        rate: int,
        report: Report,
    ) -> None:
        self.rate = rate if rate in (8000, 16000) else 16000
        self._playout = FilePlayout(self.rate)
        self._files = 0
        self._again = False
        self._switch = switch
        self._send = send
        self._report = report
        self._now = asyncio.get_running_loop().time
        self._wake = asyncio.Event()
        self._break = False
        self._unwritten: deque[tuple[Segment, float]] = deque()  # sent to the module, and when
        self._written: deque[tuple[Segment, str]] = deque()
        self._playing: dict[str, Segment] = {}
        self._dropped: set[Segment] = set()  # flushed while the module was writing them

    def push(self, item: str, data: bytes) -> None:
        self._playout.push(item, data)
        self._wake.set()

    def complete(self, item: str) -> None:
        self._playout.complete(item)
        self._wake.set()
        _report_items(self._playout.events, self._report)

    def flush(self) -> list[CutOff]:
        heard = self._playout.flush(self._now())
        self._stop_files()
        return heard

    def hold(self, unheard_ms: int) -> None:
        self._playout.hold(self._now() - unheard_ms / 1000)
        self._stop_files()

    def unhold(self) -> None:
        self._playout.unhold()
        self._wake.set()

    def withdraw(self) -> None:
        self.hold(LOST_MS)

    def heard(self) -> list[CutOff]:
        return self._playout.heard(self._now())

    def _stop_files(self) -> None:
        self._break = self._break or bool(self._playing)
        self._playing.clear()
        self._written.clear()
        self._dropped.update(segment for segment, _ in self._unwritten)
        self._wake.set()

    def pause(self) -> None:
        """A file is not stopped on suspicion: FreeSWITCH could not go on from the same sample."""

    def unpause(self) -> None:
        """Nothing was paused."""

    def close(self) -> None:
        self._playout.flush(self._now())

    @property
    def counters(self) -> dict[str, float]:
        return {"files": self._files, "speech_dropped_ms": self._playout.dropped_ms}

    def send_again(self) -> None:
        """The module has connected anew: what it had not written by now, it never will write."""
        self._again = bool(self._unwritten)
        self._wake.set()

    def switch_event(self, event: FileEvent) -> None:
        """What the switch says of our files."""
        now = self._now()
        if isinstance(event, FileWritten):
            if not self._unwritten:
                return
            segment, _ = self._unwritten.popleft()
            if segment in self._dropped:
                self._dropped.discard(segment)
            else:
                self._written.append((segment, event.path))
        elif isinstance(event, FilePlaying):
            if event.id in self._playing:
                self._playout.playing(self._playing[event.id], now)
        elif event.id in self._playing:
            self._playout.played(self._playing.pop(event.id), now)
        self._wake.set()
        _report_items(self._playout.events, self._report)

    async def run(self) -> None:
        """Hand segments to the switch until cancelled, or until it fails (FilesFailed)."""
        try:
            while True:
                await self._woken()
                await self._step()
        except TimeoutError:
            self._report(FilesFailed(f"mod_audio_stream wrote no file within {WRITTEN_S:g} s"))
        except (SwitchError, ConnectionError) as error:
            self._report(FilesFailed(str(error)))

    async def _woken(self) -> None:
        """Wait for something to do. Raises TimeoutError if a file is not written in time."""
        while not self._wake.is_set():
            oldest = self._unwritten[0][1] if self._unwritten else None
            wait = self._now() + SIGN_OF_LIFE_S if oldest is None else oldest + WRITTEN_S
            try:
                async with asyncio.timeout_at(wait):
                    await self._wake.wait()
            except TimeoutError:
                if oldest is not None:
                    raise
                if not self._playing:
                    await self._switch.play(SILENCE, self._switch.new_play_id())
        self._wake.clear()

    async def _step(self) -> None:
        if self._break:
            self._break = False
            await self._switch.break_play()
        if self._again:
            self._again = False
            for unwritten, _ in tuple(self._unwritten):
                await self._write(unwritten)
        while (segment := self._playout.next_segment()) is not None:
            self._unwritten.append((segment, self._now()))
            await self._write(segment)
        while self._written:
            segment, path = self._written.popleft()
            play_id = self._switch.new_play_id()
            self._files += 1
            self._playing[play_id] = segment
            await self._switch.play(path, play_id)

    async def _write(self, segment: Segment) -> None:
        data = {
            "audioDataType": "raw",
            "sampleRate": self.rate,
            "audioData": base64.b64encode(segment.data).decode(),
        }
        await self._send(json.dumps({"type": "streamAudio", "data": data}))


def _report_items(events: deque[Started | Finished], report: Report) -> None:
    while events:
        event = events.popleft()
        if isinstance(event, Started):
            report(ItemStarted(event.item))
        else:
            report(ItemFinished(event.item, event.heard_ms))

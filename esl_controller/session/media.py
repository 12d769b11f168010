"""How a call is heard and spoken to: mod_audio_stream's WebSocket, the lane, files.

``call.py`` decides which way is taken; this room takes it and reports what came of it. The caller's
audio passes through here without a decision: a message goes straight to the agent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any

from esl_controller.call import events as ev
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.connection import (
    FilePlayed,
    FilePlaying,
    FileWritten,
    NoSuchCommand,
    SwitchConnection,
    SwitchError,
)
from esl_controller.session.dependencies import Dependencies
from esl_controller.session.playback import (
    FilePlayback,
    LaneError,
    LanePlayback,
    Report,
    open_lane,
)
from esl_controller.session.speech_output import SpeechOutput
from media.frame import Format
from media.hearing import Hearing

STREAM_S = 2.0  # mod_audio_stream connects within 20 ms of its +OK, or says that it cannot
STREAM_SILENT_S = 0.6  # its first audio comes within 80 ms, whether the caller speaks or not
RATES = {"8k": 8000, "16k": 16000}


class CallMedia:
    """The ways of one call; a ``Listener`` of the media server.

    ``report`` tells the core, ``played`` gets what becomes of items of speech, ``hear`` the
    caller's audio in the agent's format, ``spawn`` owns the tasks.
    """

    def __init__(
        self,
        switch: SwitchConnection,
        deps: Dependencies,
        speech: SpeechOutput,
        token: str,
        *,
        report: Callable[[ev.Event], None],
        played: Report,
        hear: Callable[[bytes], None],
        spawn: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        mark: Callable[[str], None],
    ) -> None:
        self._switch = switch
        self._deps = deps
        self._speech = speech
        self._token = token
        self._report = report
        self._played = played
        self._to_agent = hear
        self._spawn = spawn
        self._mark = mark
        self._loop = asyncio.get_running_loop()
        self._hearing: Hearing  # by the stream; these once the caller's codec is known
        self._channel: Channel
        self._format: Format  # the agent's
        self._rate: str
        self._starting: asyncio.Task[None] | None = None  # the stream
        self._stream_connected = asyncio.Event()
        self._stream_heard = asyncio.Event()

    def prepare(self, channel: Channel, format_: Format) -> None:
        """Which audio the caller has, and which the agent takes; before anything else."""
        media = self._deps.settings.media
        # A G.711 caller whose agent takes G.711 needs no resampling anywhere.
        self._rate = "8k" if format_.rate == 8000 else media.rate
        if hasattr(self, "_hearing"):
            return  # another agent of the same call: the caller's audio goes on as it is
        self._channel, self._format = channel, format_
        self._hearing = Hearing(format_, RATES[self._rate], channel.rate, media.mix)

    # --- doing ------------------------------------------------------------------------------------

    def start_stream(self, again: bool) -> None:
        """Have the caller streamed to us; report StreamOpened or StreamFailed."""
        if self._starting is not None:
            self._starting.cancel()  # what it still waits for is no news any more
        self._starting = self._spawn(self._start_stream(again))

    async def stop_stream(self) -> None:
        """End it, if it can be done."""
        with contextlib.suppress(SwitchError):
            await self._switch.stop_stream()

    async def _start_stream(self, again: bool) -> None:
        media = self._deps.settings.media
        url = self._deps.media_url + self._channel.media_path
        self._stream_connected.clear()
        try:
            if again:
                await self.stop_stream()
            await self._switch.start_stream(url, media.mix, self._rate, self._token)
            async with asyncio.timeout(STREAM_S):
                await self._stream_connected.wait()
            await self._prove_stream()
        except NoSuchCommand:
            reason = "FreeSWITCH has no uuid_audio_stream: load mod_audio_stream"
            self._report(ev.StreamFailed(reason, missing=True))
        except SwitchError as error:
            self._report(ev.StreamFailed(str(error)))
        except TimeoutError:
            self._report(ev.StreamFailed(f"nobody connected to {url} within {STREAM_S:g} s"))

    async def _prove_stream(self) -> None:
        """Wait for audio: both sptmru builds, once refused a connection, never send any again on
        that channel, though they connect (seen after a controller was killed; stop and start do
        not help)."""
        try:
            async with asyncio.timeout(STREAM_SILENT_S):
                await self._stream_heard.wait()
        except TimeoutError:
            reason = f"mod_audio_stream connected and sent nothing for {STREAM_SILENT_S:g} s"
            mute = self._stream_connected.is_set()
            self._report(ev.StreamFailed(reason, missing=mute))

    async def open_lane(self) -> None:
        """Open the lane; report LaneOpened or LaneFailed."""
        media = self._deps.settings.media
        try:
            playback = await open_lane(
                self._switch,
                self._deps.clock,
                self._deps.ports,
                media.lane_host,
                media.lane_switch_host,
                self._channel.rate,
                self._played,
            )
        except (LaneError, SwitchError) as error:
            self._report(ev.LaneFailed(str(error)))
        else:
            self._speech.playback = playback
            self._mark("lane")
            self._report(ev.LaneOpened(playback.rate))

    async def play_files(self) -> None:
        """Speak by files; the module that writes them must be connected."""
        try:
            async with asyncio.timeout(STREAM_S):
                await self._stream_connected.wait()
        except TimeoutError:
            self._report(ev.FilesFailed("mod_audio_stream, which writes the files, is not there"))
            return
        # What waited in a lost lane was never heard: it is over, not to be played late.
        for heard in self._speech.interrupt():
            self._played(ev.ItemFinished(heard.item, heard.heard_ms))
        self._speech.close()
        self._speech.playback = playback = FilePlayback(
            self._switch, self._send_stream, self._channel.rate, self._played
        )
        self._report(ev.FilesReady())
        await playback.run()

    async def _send_stream(self, text: str) -> None:
        try:
            async with asyncio.timeout(STREAM_S):  # a module that reconnects is back in a moment
                await self._stream_connected.wait()
        except TimeoutError:
            raise ConnectionResetError("mod_audio_stream is gone") from None
        await self._deps.streams.send(self, text)

    def hear_lane(self) -> None:
        """Take the caller's audio from the lane, until the stream brings it again."""
        playback = self._speech.playback
        assert isinstance(playback, LanePlayback)
        hearing = Hearing(self._format, playback.rate, playback.rate, "mono")

        def heard(frame: bytes) -> None:
            self._to_agent(hearing.feed(frame, self._loop.time()))

        playback.lane.listen(heard)

    # --- what happens -----------------------------------------------------------------------------

    def file_event(self, event: FileWritten | FilePlaying | FilePlayed) -> None:
        """What the switch says of the files that it plays for us."""
        if isinstance(self._speech.playback, FilePlayback):
            self._speech.playback.switch_event(event)

    def stream_opened(self) -> None:
        """``Listener``: mod_audio_stream is connected; audio is the proof that it works."""
        self._mark("stream")
        self._hearing.restart()
        self._stream_heard.clear()
        self._stream_connected.set()

    def stream_audio(self, data: bytes) -> None:
        """``Listener``: the caller, to the agent without a detour."""
        if not self._stream_heard.is_set():
            self._stream_heard.set()
            self._report(ev.StreamOpened())
            match self._speech.playback:
                case LanePlayback() as playback:
                    playback.lane.listen(None)
                case FilePlayback() as playback:
                    playback.send_again()
        self._to_agent(self._hearing.feed(data, self._loop.time()))

    def stream_text(self, text: str) -> None:
        """``Listener``: we send no metadata and expect no text."""

    def stream_closed(self, code: int) -> None:
        """``Listener``: the connection is gone."""
        self._stream_connected.clear()
        self._report(ev.StreamClosed(code))

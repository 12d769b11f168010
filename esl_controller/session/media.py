"""How a call is heard and spoken to: mod_audio_stream's WebSocket, the lane, files.

``call/media_path.py`` decides which way is taken; here it is taken, and what came of it reported.
A message of caller's audio is converted here and goes to the gate in ``caller.py``.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, replace
from typing import Final, assert_never

import structlog

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.freeswitch.events import FileEvent
from esl_controller.freeswitch.wire import NoSuchCommand, SwitchError
from esl_controller.session.agent_session import AgentSession
from esl_controller.session.dependencies import Dependencies
from esl_controller.session.playback import (
    FilePlayback,
    LaneError,
    LanePlayback,
    Playback,
    open_lane,
)
from esl_controller.session.runner import CallRunner
from esl_controller.session.speech_output import SpeechOutput
from media.frame import Format, pcm
from media.resample import Converter
from media.stream import ExpectedStream
from media.stream_converter import StreamConverter

log = structlog.stdlib.get_logger(__name__)

STREAM_S = 2.0  # mod_audio_stream connects within 20 ms of its +OK, or reports an error
STREAM_SILENT_S = 0.6  # its first audio comes within 80 ms, whether the caller speaks or not
RATES: Final = {"8k": 8000, "16k": 16000}


@dataclass(frozen=True)
class _CallerFormat:
    """How the caller's audio comes, and what it becomes. Known once the codec and the agent are."""

    channel: Channel
    agent: Format
    stream_rate: str  # what mod_audio_stream is asked for
    stream: StreamConverter


class CallMedia:
    """How one call is heard and spoken to; the media server's ``StreamHandler``.

    ``language`` is that of our own sentences.
    """

    def __init__(
        self,
        switch: SwitchConnection,
        deps: Dependencies,
        language: str,
        agent_session: AgentSession,
        speech: SpeechOutput,
        runner: CallRunner,
    ) -> None:
        self.expected_stream = ExpectedStream(self, secrets.token_urlsafe(24))
        self._switch = switch
        self._deps = deps
        self._language = language
        self._agent_session = agent_session
        self._caller = agent_session.caller
        self._speech = speech
        self._runner = runner
        self._now = asyncio.get_running_loop().time
        self._format: _CallerFormat | None = None
        self._starting: asyncio.Task[None] | None = None  # the stream
        self._stream_connected = asyncio.Event()
        self._stream_heard = asyncio.Event()

    def prepare(self, channel: Channel, agent: Format) -> None:
        """Which audio the caller has, and which the agent takes; before anything else. For another
        agent of the same call nothing changes."""
        if self._format is None:
            self._convert(channel, agent)

    def codec_set(self, channel: Channel) -> None:
        """The channel has another codec: the next stream has its rate, and so have files. What the
        present stream brings goes on as it began."""
        if self._format is not None:
            self._format = replace(self._format, channel=channel)

    def enter(self, switch: SwitchConnection, channel: Channel) -> None:
        """The call is in another park, where stream and lane are to be opened anew."""
        self._switch = switch
        if self._starting is not None:
            self._starting.cancel()
        self._convert(channel, self._prepared.agent)

    def _convert(self, channel: Channel, agent: Format) -> None:
        media = self._deps.settings.media
        # A G.711 caller whose agent takes G.711 needs no resampling anywhere.
        stream_rate = "8k" if agent.rate == 8000 else media.rate
        converter = StreamConverter(agent, RATES[stream_rate], channel.rate, media.mix)
        self._format = _CallerFormat(channel, agent, stream_rate, converter)

    @property
    def by_lane(self) -> bool:
        """Whether a lane was the last way to the caller, so that what waits can go on in another
        one."""
        return isinstance(self._speech.playback, LanePlayback)

    @property
    def _prepared(self) -> _CallerFormat:
        assert self._format is not None, "ConnectAgent comes before every way to hear and speak"
        return self._format

    # --- doing ------------------------------------------------------------------------------------

    def perform(self, action: do.MediaAction) -> None:
        """Do it, or begin to; what comes of it is reported."""
        match action:
            case do.StartStream(again):
                if self._starting is not None:
                    self._starting.cancel()  # what it still waits for is no news any more
                self._starting = self._runner.spawn(self._start_stream(again))
            case do.OpenLane():
                self._runner.spawn(self._open_lane())
            case do.PlayFiles():
                self._runner.spawn(self._play_files())
            case do.HearByLane():
                self._hear_by_lane()
            case do.PlaySentence(name):
                self._speech.say(name, self._language)
            case do.PlayMusic(on):
                self._speech.music(on)
            case do.Pause():
                self._speech.pause()
            case do.Unpause():
                self._speech.unpause()
            case _:
                assert_never(action)

    async def stop_stream(self) -> None:
        """Stop the stream; a refusal does not matter."""
        with contextlib.suppress(SwitchError):
            await self._switch.stop_stream()

    async def _start_stream(self, again: bool) -> None:
        media = self._deps.settings.media
        url = self._deps.media_url + self._prepared.channel.media_path
        self._stream_connected.clear()
        try:
            if again:
                await self.stop_stream()
            self._convert(self._prepared.channel, self._prepared.agent)
            await self._switch.start_stream(
                url, media.mix, self._prepared.stream_rate, self.expected_stream.token
            )
            async with asyncio.timeout(STREAM_S):
                await self._stream_connected.wait()
            await self._prove_stream()
        except NoSuchCommand:
            reason = "FreeSWITCH has no uuid_audio_stream: load mod_audio_stream"
            await self._fault(ev.StreamFailed(reason, missing=True))
        except SwitchError as error:
            await self._fault(ev.StreamFailed(str(error)))
        except TimeoutError:
            await self._fault(ev.StreamFailed(f"nobody connected to {url} within {STREAM_S:g} s"))

    async def _prove_stream(self) -> None:
        """Wait for the first audio. Once one of its connections was refused, either sptmru build
        still connects but never sends audio again on that channel; neither stop nor start helps
        (docs/design/freeswitch.md#mute-after-a-refusal)."""
        try:
            async with asyncio.timeout(STREAM_SILENT_S):
                await self._stream_heard.wait()
        except TimeoutError:
            reason = f"mod_audio_stream connected and sent nothing for {STREAM_SILENT_S:g} s"
            mute = self._stream_connected.is_set()
            await self._fault(ev.StreamFailed(reason, missing=mute))

    async def _open_lane(self) -> None:
        """Open the lane; report LaneOpened or LaneFailed."""
        media = self._deps.settings.media
        before = self._speech.playback
        try:
            playback = await open_lane(
                self._switch,
                self._deps.clock,
                self._deps.ports,
                media.lane_host,
                media.lane_switch_host,
                self._prepared.channel.rate,
                self._played,
                before if isinstance(before, LanePlayback) else None,
            )
        except (LaneError, SwitchError) as error:
            await self._fault(ev.LaneFailed(str(error)))
        else:
            self._speech.use(playback)
            self._agent_session.goes_on()
            self._runner.mark("lane")
            self._runner.report(ev.LaneOpened(playback.channel_rate))

    async def _play_files(self) -> None:
        """Play files from now on; mod_audio_stream, which writes them, must be connected."""
        try:
            async with asyncio.timeout(STREAM_S):
                await self._stream_connected.wait()
        except TimeoutError:
            reason = "mod_audio_stream, which writes the files, is not there"
            await self._fault(ev.FilesFailed(reason))
            return
        # What waited in a lane that is gone was not heard: the conversation goes on from there.
        self._agent_session.interrupt()
        self._speech.close()
        playback = FilePlayback(
            self._switch, self._send_stream, self._prepared.channel.rate, self._played
        )
        self._speech.use(playback)
        self._runner.report(ev.FilesReady())
        await playback.run()

    async def _send_stream(self, text: str) -> None:
        try:
            async with asyncio.timeout(STREAM_S):  # a module that reconnects is back soon
                await self._stream_connected.wait()
        except TimeoutError:
            raise ConnectionResetError("mod_audio_stream is gone") from None
        await self._deps.streams.send(self, text)

    def stop_sending(self) -> None:
        """Send nothing by the lane, before a transfer: FreeSWITCH's thread for it holds what the
        transfer waits for (docs/design/freeswitch.md#a-lane-that-keeps-the-channel-waiting)."""
        if isinstance(playback := self._speech.playback, LanePlayback):
            playback.lane.stop_sending()

    def send_again(self) -> None:
        """Go on: the transfer has failed. A lane that it has closed is found out by that."""
        if isinstance(playback := self._speech.playback, LanePlayback):
            playback.lane.send_again()

    def _hear_by_lane(self) -> None:
        """Take the caller's audio from the lane, until the stream brings it again."""
        playback = self._speech.playback
        assert isinstance(playback, LanePlayback)
        converter = Converter(pcm(playback.channel_rate), self._prepared.agent)
        playback.lane.receive(lambda frame: self._caller.hear(converter.feed(frame)))

    # --- what happens -----------------------------------------------------------------------------

    async def _fault(self, event: ev.MediaEvent) -> None:
        """Report what has failed, unless it failed because the call is over: the hangup may come
        seconds later where the Event Socket is slow."""
        if await self._switch.exists():
            self._runner.report(event)
        else:
            log.debug("the call is over already", found=type(event).__name__)

    def _played(self, event: ev.Event) -> None:
        """What the playback reports."""
        if not isinstance(event, ev.LaneFailed | ev.FilesFailed):
            self._agent_session.played(event)
        elif not self._runner.over.done():
            self._runner.spawn(self._playback_failed(event, self._speech.playback))

    async def _playback_failed(self, event: ev.MediaEvent, playback: Playback | None) -> None:
        if await self._switch.exists() and self._speech.playback is playback:
            self._runner.report(event)

    def file_event(self, event: FileEvent) -> None:
        """What the switch says of the files that it plays for us."""
        if isinstance(self._speech.playback, FilePlayback):
            self._speech.playback.switch_event(event)

    def stream_opened(self) -> None:
        """``StreamHandler``: mod_audio_stream is connected. Only audio proves that it works."""
        self._runner.mark("stream")
        self._prepared.stream.restart()
        self._stream_heard.clear()
        self._stream_connected.set()

    def stream_audio(self, data: bytes) -> None:
        """``StreamHandler``: the caller's audio."""
        try:
            if not self._stream_heard.is_set():
                self._hear_by_stream()
            self._caller.hear(self._prepared.stream.feed(data, self._now()))
        except Exception as error:
            self._runner.fail(error)

    def _hear_by_stream(self) -> None:
        """Audio has come, which proves that the stream works."""
        self._stream_heard.set()
        self._runner.report(ev.StreamOpened())
        match self._speech.playback:
            case LanePlayback() as playback:
                playback.lane.stop_receiving()
            case FilePlayback() as playback:
                playback.send_again()

    def stream_text(self, text: str) -> None:
        """``StreamHandler``: we send no metadata and expect no text."""

    def stream_closed(self, code: int) -> None:
        """``StreamHandler``: the connection is gone."""
        self._stream_connected.clear()
        self._stream_heard.clear()
        if not self._runner.over.done():
            self._runner.spawn(self._closed(code))

    async def _closed(self, code: int) -> None:
        exists = await self._switch.exists()
        if exists and not self._stream_heard.is_set():  # if it is, the module is back
            self._runner.report(ev.StreamClosed(code))

"""One call's shell: does what ``call.py`` decided, and tells it what came of it.

Everything here runs in the event loop and in one task group a call. Audio does not pass through
decisions: a caller's message goes straight to the agent (``stream_audio``), an agent's delta
straight to the playback (``Voice.speak``).
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

import structlog
from aiohttp import ClientSession

from esl_controller import actions as do
from esl_controller import events as ev
from esl_controller.agents.base import Abilities, Agent, Called, Counters, History, Persona
from esl_controller.call import Call, State
from esl_controller.caller import CallerAudio
from esl_controller.conversation import Conversation
from esl_controller.errands import Errands
from esl_controller.minutes import Minutes
from esl_controller.playback import FilePlayback, LaneError, LanePlayback, open_lane
from esl_controller.secretaries.hours import is_open
from esl_controller.secretaries.schema import Destination, Secretary
from esl_controller.settings import Settings
from esl_controller.store.records import CallEnded, CallStarted, Change, Noted
from esl_controller.switch import (
    Channel,
    FilePlayed,
    FilePlaying,
    FileWritten,
    NoSuchCommand,
    Switch,
    SwitchError,
    SwitchEvent,
)
from esl_controller.tools import CallWebhook, Toolbox
from esl_controller.voice import Voice
from media.hearing import Hearing
from media.lane import Clock, Ports
from media.stream import Admission, StreamEndpoint

STREAM_S = 2.0  # mod_audio_stream connects within 20 ms of its +OK, or says that it cannot
STREAM_SILENT_S = 0.6  # its first audio comes within 80 ms, whether the caller speaks or not
RATES = {"8k": 8000, "16k": 16000}


@dataclass(frozen=True)
class Services:
    """What all calls of the process share."""

    settings: Settings
    clock: Clock
    ports: Ports
    streams: StreamEndpoint
    media_url: str
    abilities: Abilities  # of the agents
    make_agent: Callable[[Persona, History, Channel], Agent]
    find_secretary: Callable[[str, str], Secretary]  # by domain_uuid and secretary_uuid
    put: Callable[[Change], None]  # into the store
    http: ClientSession


@dataclass
class Marks:
    """When things happened, in seconds since the call arrived; for the log and ``calls``."""

    at: dict[str, float] = field(default_factory=dict)

    def set(self, name: str, seconds: float) -> None:
        """The first time counts."""
        self.at.setdefault(name, round(seconds, 4))


class CallSession:
    """The life of one call on one Event Socket connection: ``await run()``."""

    def __init__(self, switch: Switch, channel: Channel, services: Services) -> None:
        self.channel = channel
        settings = services.settings
        self.secretary = services.find_secretary(channel.domain_uuid, channel.secretary_uuid)
        toolbox = Toolbox(self.secretary)
        closed = not is_open(self.secretary.hours, time.time())
        self.call = Call(
            Conversation(self.secretary, toolbox, closed=closed, abilities=services.abilities),
            max_s=self.secretary.limits.max_call_s,
            fallback=self.secretary.destination(self.secretary.fallback),
            record=self.secretary.recording.stereo,
            playback=settings.media.playback,
            model_s=settings.agent.connect_timeout_s,
        )
        self.marks = Marks()
        self.successor: CallSession | None = None  # that has the call now, on a newer connection
        self.admission = Admission(self, secrets.token_urlsafe(24))
        self.log = structlog.stdlib.get_logger(__name__).bind(
            call_uuid=channel.uuid, domain_uuid=channel.domain_uuid
        )
        self._switch = switch
        self._services = services
        self._loop = asyncio.get_running_loop()
        self._began = self._loop.time()
        self._persona = self.secretary.persona(toolbox.tools, closed=closed)
        vad = self.secretary.turn_detection
        silence_ms = vad.silence_ms if vad.kind == "server_vad" else 0
        self._minutes = Minutes(channel.uuid, services.put, silence_ms)
        self._errands = Errands(channel, self.secretary, services.http, services.put)
        self._counters = Counters()  # of earlier agents of the call
        self._usage = ev.Usage()
        self._recording = ""
        self._agent: Agent | None = None  # these five once the caller's codec is known
        self._talking: asyncio.Task[None] | None = None  # with the agent
        self._rate: str
        self._hearing: Hearing
        self._lane_hearing: Hearing
        self._caller: CallerAudio
        self._voice = Voice()
        self._starting: asyncio.Task[None] | None = None  # the stream
        self._stream_connected = asyncio.Event()
        self._stream_heard = asyncio.Event()
        self._events: deque[ev.Event] = deque()
        self._handling = False
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._group: asyncio.TaskGroup

    @property
    def age_s(self) -> float:
        """Seconds since the call arrived here."""
        return self._loop.time() - self._began

    # --- life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the call until it ends or is let go; frees everything. Raises only our own bugs."""
        self._switch.on_event = self._switch_event
        uuid, channel = self.channel.uuid, self.channel
        self._services.put(
            CallStarted(
                *(uuid, channel.domain_uuid, self.secretary.name or "default"),
                *(channel.caller, channel.number, time.time()),
            )
        )
        try:
            async with asyncio.TaskGroup() as self._group:
                self._spawn(self._watch_switch())
                self.handle(ev.Arrived(self.channel.answered, bool(self.channel.codec)))
                try:
                    await self._over
                finally:
                    # The lane first: the model may take its time to say goodbye.
                    self._voice.close()
                    for task in self._tasks:
                        task.cancel()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            await self._services.streams.drop(self)
            self.log.info("call over", cause=self.call.cause, **self.marks.at, **self.counters)
            if self.successor is None:
                self._close_record()

    def _close_record(self) -> None:
        outcome = self.call.outcome
        self._services.put(
            CallEnded(
                *(self.channel.uuid, time.time(), self.call.cause, outcome),
                recording=self._recording,
                usage=self._usage,
            )
        )
        self._errands.call_ended()

    @property
    def counters(self) -> dict[str, float]:
        """What went through and what was lost, of both directions; for the log and ``calls``."""
        counted: dict[str, float] = {"events_dropped": self._switch.dropped}
        counted |= asdict(_sum(self._counters, self._agent.counters if self._agent else None))
        if self._voice.playback is not None:
            counted |= self._voice.playback.counters
        return counted

    async def give_back(self) -> None:
        """Let go of the call without ending it: the switch goes on with the dialplan."""
        # A connection that breaks instead may leave the module mute, see _prove_stream.
        with contextlib.suppress(SwitchError):
            await self._switch.stop_stream()
        self.handle(ev.ShutDown())

    async def over(self) -> None:
        """Wait until the session has ended, however."""
        await asyncio.wait([self._over])

    def handle(self, event: ev.Event) -> None:
        """Let the core decide on ``event`` and do what it says. Safe to call from any callback."""
        self._events.append(event)
        if self._handling or self._over.done():
            return
        self._handling = True
        try:
            while self._events:
                event = self._events.popleft()
                before = self.call.state
                for action in self.call.handle(event, self._loop.time()):
                    self._perform(action)
                if self.call.state is not before:
                    self._mark(self.call.state.value)
            self._set_timer()
        except Exception as error:
            self._fall(error)
        finally:
            self._handling = False

    def _fall(self, error: Exception) -> None:
        """Our bug: callers are the clock and the sockets of all calls, so only this call falls."""
        self.log.exception("a bug in the controller ends this session")
        if not self._over.done():
            self._over.set_exception(error)

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.call.next_deadline()
        self._timer = None
        if deadline is not None:
            self._timer = self._loop.call_at(deadline, self.handle, ev.TimeUp())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _mark(self, name: str) -> None:
        self.marks.set(name.replace(" ", "_") + "_s", self._loop.time() - self._began)

    # --- doing ------------------------------------------------------------------------------------

    def _perform(self, action: do.Action) -> None:
        match action:
            case do.ConnectAgent():
                self._connect_agent()
            case do.Answer():
                self._spawn(self._answer())
            case do.StartStream(again):
                if self._starting is not None:
                    self._starting.cancel()  # what it still waits for is no news any more
                self._starting = self._spawn(self._start_stream(again))
            case do.OpenLane():
                self._spawn(self._open_lane())
            case do.PlayFiles():
                self._spawn(self._play_files())
            case do.HearLane():
                self._hear_lane()
            case do.Record():
                self._spawn(self._record())
            case do.Say(name):
                self._voice.say(name, self.secretary.language)
            case do.Music(on):
                self._voice.music(on)
            case do.Transfer(destination):
                self._spawn(self._transfer(destination))
            case do.LimitCall(seconds):
                self._spawn(self._ask("limit", self._switch.limit(seconds)))
            case do.SendDtmf(digits):
                self._spawn(self._ask("DTMF", self._switch.send_dtmf(digits)))
            case do.Hangup(cause):
                self._spawn(self._hang_up(cause))
            case do.Note(text, reason):
                self.log.warning(text, reason=reason)
                note = Noted(self.channel.uuid, time.time(), f"{text}: {reason}")
                self._services.put(note)
            case do.Close():
                self._over.set_result(None)
            case _:
                self._converse(action)

    def _converse(self, action: do.Action) -> None:
        """What concerns the caller's and the model's words."""
        assert self._agent is not None
        match action:
            case do.Respond(instructions):
                self._agent.respond(instructions)
            case do.Cancel():
                self._agent.cancel()
            case do.CheckSpeech():
                self._caller.check()
            case do.StopCheck():
                self._caller.stop()
            case do.Pause():
                self._voice.pause()
            case do.Resume():
                self._voice.resume()
            case do.Interrupt():
                self._interrupt()
            case do.Forget(item):
                self._agent.forget(item)
                self._minutes.forget(item)
            case do.Tell(text):
                self._agent.tell(text)
            case do.KeepMessage(request):
                self._errands.message(request, time.time())
            case do.AskWebhook(call_id, webhook, secure):
                self._spawn(self._ask_webhook(call_id, webhook, secure))
            case do.ToolResult(call, output):
                self._minutes.tool_ended(call, output, time.time())
                result = Called(call.call_id, call.name, call.arguments, output)
                self._agent.tool_result(result)

    def _connect_agent(self) -> None:
        """Connect to the model; a connection before it is given up, and its words with it."""
        if self._talking is not None:
            self._talking.cancel()
        if self._agent is not None:
            self._counters = _sum(self._counters, self._agent.counters)
        history = self._minutes.history()
        self._agent = agent = self._services.make_agent(self._persona, history, self.channel)
        self._voice.source = agent.output
        media = self._services.settings.media
        # A G.711 caller whose agent takes G.711 needs no resampling anywhere.
        self._rate = "8k" if agent.input.rate == 8000 else media.rate
        if not hasattr(self, "_hearing"):
            asked = RATES[self._rate]
            self._hearing = Hearing(agent.input, asked, self.channel.rate, media.mix)
        confirm_ms = self.secretary.barge_in.confirm_ms
        self._caller = CallerAudio(agent.input, confirm_ms, self.handle)

        def on_event(event: ev.AgentEvent) -> None:
            if self._agent is agent:
                self._agent_event(event)

        self._talking = self._spawn(agent.run(on_event))

    async def _ask(self, what: str, command: Coroutine[Any, Any, None]) -> None:
        """Have the switch do something that the call can do without."""
        try:
            await command
        except SwitchError as error:
            self.log.warning(f"the switch refused: {what}", reason=str(error))

    async def _record(self) -> None:
        folder = self._services.settings.freeswitch.recordings
        path = f"{folder}/{self.channel.uuid}.wav"
        await self._ask("recording", self._switch.record(path))
        self._recording = path

    async def _transfer(self, destination: Destination) -> None:
        context = destination.context or self.channel.context or "default"
        try:
            await self._switch.transfer(destination.number, context, destination.timeout_s)
        except SwitchError as error:
            self.handle(ev.TransferFailed(str(error)))
            return
        with contextlib.suppress(SwitchError):  # the module would go on sending the caller to us
            await self._switch.stop_stream()
        self.handle(ev.Transferred())

    async def _ask_webhook(
        self, call_id: str, request: CallWebhook, secure: Mapping[str, str]
    ) -> None:
        self.handle(ev.ToolDone(call_id, await self._errands.webhook(request, secure)))

    async def _watch_switch(self) -> None:
        await self._switch.wait_lost()
        self.handle(ev.SwitchLost("the Event Socket connection was lost"))

    async def _answer(self) -> None:
        try:
            await self._switch.answer()
        except SwitchError as error:
            self.handle(ev.AnswerFailed(str(error)))

    async def _start_stream(self, again: bool) -> None:
        media = self._services.settings.media
        url = self._services.media_url + self.channel.media_path
        self._stream_connected.clear()
        try:
            if again:
                with contextlib.suppress(SwitchError):  # nothing to stop is no error
                    await self._switch.stop_stream()
            await self._switch.start_stream(url, media.mix, self._rate, self.admission.token)
            async with asyncio.timeout(STREAM_S):
                await self._stream_connected.wait()
            await self._prove_stream()
        except NoSuchCommand:
            reason = "FreeSWITCH has no uuid_audio_stream: load mod_audio_stream"
            self.handle(ev.StreamFailed(reason, missing=True))
        except SwitchError as error:
            self.handle(ev.StreamFailed(str(error)))
        except TimeoutError:
            self.handle(ev.StreamFailed(f"nobody connected to {url} within {STREAM_S:g} s"))

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
            self.handle(ev.StreamFailed(reason, missing=mute))

    async def _open_lane(self) -> None:
        media = self._services.settings.media
        try:
            playback = await open_lane(
                self._switch,
                self._services.clock,
                self._services.ports,
                media.lane_host,
                media.lane_switch_host,
                self.channel.rate,
                self._played,
            )
        except (LaneError, SwitchError) as error:
            self.handle(ev.LaneFailed(str(error)))
        else:
            self._voice.playback = playback
            self._mark("lane")
            self.handle(ev.LaneOpened(playback.rate))

    async def _play_files(self) -> None:
        """Speak by files; the module that writes them must be connected."""
        try:
            async with asyncio.timeout(STREAM_S):
                await self._stream_connected.wait()
        except TimeoutError:
            self.handle(ev.FilesFailed("mod_audio_stream, which writes the files, is not there"))
            return
        # What waited in a lost lane was never heard: it is over, not to be played late.
        self._interrupt()
        self._voice.close()
        self._voice.playback = playback = FilePlayback(
            self._switch, self._send_stream, self.channel.rate, self._played
        )
        self.handle(ev.FilesReady())
        await playback.run()

    async def _send_stream(self, text: str) -> None:
        try:
            async with asyncio.timeout(STREAM_S):  # a module that reconnects is back in a moment
                await self._stream_connected.wait()
        except TimeoutError:
            raise ConnectionResetError("mod_audio_stream is gone") from None
        await self._services.streams.send(self, text)

    def _hear_lane(self) -> None:
        playback = self._voice.playback
        assert isinstance(playback, LanePlayback)
        assert self._agent is not None
        rate = playback.rate
        self._lane_hearing = Hearing(self._agent.input, rate, rate, "mono")
        playback.lane.listen(self._lane_audio)

    def _interrupt(self) -> None:
        for heard in self._voice.interrupt():
            if self._agent is not None:
                self._agent.truncate(heard.item, heard.heard_ms)
            self._minutes.agent_ended(heard.item, time.time(), cut_ms=heard.heard_ms)
            self.log.info("interrupted", item=heard.item, heard_ms=heard.heard_ms)

    async def _hang_up(self, cause: str) -> None:
        try:
            await self._switch.hang_up(cause)
        except SwitchError as error:
            self.log.warning("the hangup was not accepted", reason=str(error))

    # --- what happens -----------------------------------------------------------------------------

    def _switch_event(self, event: SwitchEvent) -> None:
        if isinstance(event, FileWritten | FilePlaying | FilePlayed):
            if isinstance(self._voice.playback, FilePlayback):
                self._voice.playback.switch_event(event)
            return
        if isinstance(event, ev.Answered) and event.codec:
            self.channel = replace(self.channel, codec=event.codec, rate=event.rate)
        self.handle(event)

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
            self.handle(ev.StreamOpened())
            match self._voice.playback:
                case LanePlayback() as playback:
                    playback.lane.listen(None)
                case FilePlayback() as playback:
                    playback.send_again()
        if self.call.hearing == "stream":
            self._hear(self._hearing.feed(data, self._loop.time()))

    def stream_text(self, text: str) -> None:
        """``Listener``: we send no metadata and expect no text."""

    def stream_closed(self, code: int) -> None:
        """``Listener``: the connection is gone."""
        self._stream_connected.clear()
        self.handle(ev.StreamClosed(code))

    def _lane_audio(self, frame: bytes) -> None:
        if self.call.hearing == "lane":
            self._hear(self._lane_hearing.feed(frame, self._loop.time()))

    def _hear(self, audio: bytes) -> None:
        # Before the greeting was asked for, the model would answer by itself and collide with it.
        if not audio or self.call.state is not State.TALKING or self._agent is None:
            return
        if self.call.talk.held or self.call.talk.secure:
            return  # nobody is to hear that
        self._agent.hear(audio)
        self._caller.heard(audio)

    def _agent_event(self, event: ev.AgentEvent) -> None:
        try:
            match event:
                case ev.AgentAudio(item, data):
                    if self.call.state is State.TALKING:
                        self._speak(item, data)
                case ev.AgentAudioDone(item):
                    self._voice.complete(item)
                case ev.AgentFailed():
                    self._voice.complete_all()  # what came of a sentence is heard
                    self.handle(event)
                case ev.AgentText(item, text):
                    self._minutes.agent_says(item, time.time(), text=text)
                case ev.Transcript(item, text):
                    self._minutes.caller_said(item, text)
                case _:
                    self._note(event)
                    self.handle(event)
        except Exception as error:
            self._fall(error)

    def _speak(self, item: str, data: bytes) -> None:
        if self._voice.is_new(item):
            # Before its audio: music that plays makes room for it.
            self.handle(ev.ItemQueued(item))
        self._voice.speak(item, data)
        audio_ms = self._voice.source.ms(len(data))
        self._minutes.agent_says(item, time.time(), audio_ms=audio_ms)

    def _note(self, event: ev.AgentEvent) -> None:
        """What the minutes have to know of it."""
        now = time.time()
        match event:
            case ev.SpeechStarted(_, item):
                self._minutes.caller_began(item, now)
            case ev.SpeechStopped(_, item):
                self._minutes.caller_ended(item, now)
            case ev.ResponseDone(calls=calls, usage=usage):
                self._usage = _sum(self._usage, usage)
                for call in calls:
                    self._minutes.tool_began(call, now)

    def _played(self, event: ev.Event) -> None:
        """``Report`` of the playback."""
        match event:
            case ev.ItemStarted(item):
                self._minutes.agent_heard(item, time.time())
            case ev.ItemFinished(item):
                self._voice.finished(item)
                self._minutes.agent_ended(item, time.time())
        self.handle(event)


def _sum(one: Any, other: Any) -> Any:
    """Two dataclasses of numbers, added field by field; the second may be None."""
    if other is None:
        return one
    sums = {f.name: getattr(one, f.name) + getattr(other, f.name) for f in fields(one)}
    return type(one)(**sums)

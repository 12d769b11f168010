"""The stand-in as a whole: its calls, its commands, its clock."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Self

from esl_controller.simulator.freeswitch import dialplan, sip
from esl_controller.simulator.freeswitch.api import COMMANDS, SLOW_COMMANDS
from esl_controller.simulator.freeswitch.apps import APPLICATIONS
from esl_controller.simulator.freeswitch.audio import FRAME_SECONDS
from esl_controller.simulator.freeswitch.call import CallStandIn
from esl_controller.simulator.freeswitch.channel import SimulatedChannel
from esl_controller.simulator.freeswitch.dialplan import DialplanAction, Ladder
from esl_controller.simulator.freeswitch.events import Codec, CodecName, Core, Profile, codec_of
from esl_controller.simulator.freeswitch.faults import Faults
from esl_controller.simulator.freeswitch.inbound import EventSocketServer
from esl_controller.simulator.freeswitch.installation import STREAM_MODULE, Installation
from esl_controller.simulator.freeswitch.recording import LegRecording
from esl_controller.simulator.freeswitch.session import SwitchSession
from esl_controller.simulator.freeswitch.stream import Build
from esl_controller.simulator.freeswitch.text import is_true

CLOSE_SECONDS = 2.0
"""How long cancelled tasks have to end before they are cancelled again."""


class SwitchStandIn:
    """FreeSWITCH as a controller meets it. An async context manager.

    It dials ``socket`` (``HOST:PORT``, or several of them, tried in order) for every call, speaks
    the Event Socket, streams the caller by mod_audio_stream in one of its builds (``None``: the
    module is missing), opens lanes, plays files, and remembers what each caller heard. With
    ``event_socket`` it also listens there, as FreeSWITCH does on port 8021.
    """

    def __init__(
        self,
        socket: str | Sequence[str] = "127.0.0.1:8084",
        *,
        build: Build | None = "sptmru",
        event_socket: tuple[str, int] | None = None,
        password: str = "ClueCon",  # noqa: S107 (FreeSWITCH's own default)
        faults: Faults = Faults(),  # noqa: B008 (frozen)
        ladder: Ladder = Ladder(),  # noqa: B008 (frozen)
        extensions: Mapping[str, Sequence[DialplanAction]] | None = None,
        endpoints: Mapping[str, str] | None = None,
        memcached: tuple[str, int] | None = None,
    ) -> None:
        self.core = Core()
        self.faults = faults
        self.calls: dict[str, CallStandIn] = {}
        """Every call that was made, by uuid; ended ones stay until :meth:`drop_ended`."""
        self.sessions: dict[str, SwitchSession] = {}
        """The live channels by uuid."""
        self.scheduled: dict[str, list[asyncio.TimerHandle]] = {}
        """The tasks that wait for their time (``sched_api``, ``sched_hangup``), by group."""
        self.late_ticks = 0
        """Ticks that came more than 5 ms after their time: the stand-in itself was held up."""
        self._build = build
        self._listen = event_socket
        target = socket if isinstance(socket, str) else "|".join(socket)
        self.extensions = {**dialplan.extensions(target, ladder), **(extensions or {})}
        self.contexts: dict[str, str] = {}
        """What ``xml_locate`` answers for a context, by name, in place of ``extensions``."""
        self.installation = Installation()
        self.memcached = memcached
        """Where the API ``memcache`` finds a memcached; None: mod_memcache is not loaded."""
        self.endpoints = endpoints or {}
        """Dial strings that ``bridge`` and ``originate`` cannot reach, and the cause of each."""
        self.event_socket: tuple[str, int] | None = None
        """Where the Event Socket listens, once it does."""
        self.applications = APPLICATIONS
        self._server = EventSocketServer(self, password)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ticker: asyncio.TimerHandle | None = None
        self.next_tick = 0.0
        """Monotonic seconds of the next tick."""

    async def __aenter__(self) -> Self:
        self.next_tick = asyncio.get_running_loop().time() + FRAME_SECONDS
        self._schedule()
        if self._listen is not None:
            self.event_socket = await self._server.start(*self._listen)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Hang up every call, and leave no task, socket or port behind."""
        for session in tuple(self.sessions.values()):
            session.channel.hangup("MANAGER_REQUEST")
        for call in self.calls.values():
            call.close()
        await self._server.close()
        await self._drain(patience=0.02)
        while self._tasks:
            for task in tuple(self._tasks):
                task.cancel()
            await self._drain(patience=CLOSE_SECONDS)
        if self._ticker:
            self._ticker.cancel()
            self._ticker = None
        for group in tuple(self.scheduled):
            self.api_at_once("sched_del", group)

    async def _drain(self, patience: float) -> None:
        if self._tasks:
            await asyncio.wait(tuple(self._tasks), timeout=patience)

    # Calls

    async def call(
        self,
        number: str = "8000",
        *,
        codec: CodecName = "PCMU",
        rate: int | None = None,
        packet_ms: int = 20,
        variables: Mapping[str, str] | None = None,
        caller: str = "+551199990000",
        late_negotiation: bool = False,
        faults: Faults | None = None,
    ) -> CallStandIn:
        """A SIP caller dials ``number``; returns once the dialplan runs.

        ``rate`` in Hz, by default the codec's own (8000, L16 16000, opus 48000). Raises ValueError
        for an unknown codec or rate. With ``late_negotiation`` (FreeSWITCH's usual
        ``inbound-late-negotiation``) no event names the codec before the answer.
        """
        ident = str(uuid.uuid4())
        profile = sip.profile(ident, number, caller)
        audio = codec_of(codec, rate, packet_ms)
        channel = self.channel(profile, audio, sip.invited(profile, audio), faults)
        channel.variables |= variables or {}
        channel.late_negotiation = late_negotiation
        return self.start(channel)

    def channel(
        self, profile: Profile, audio: Codec, variables: dict[str, str], faults: Faults | None
    ) -> SimulatedChannel:
        """A new channel of this switch."""
        return SimulatedChannel(
            self.core,
            profile,
            audio,
            variables={
                **variables,
                "domain_uuid": dialplan.DOMAIN_UUID,
                "secretary_uuid": dialplan.SECRETARY_UUID,
            },
            faults=faults or self.faults,
            spawn=self.spawn,
        )

    def start(self, channel: SimulatedChannel) -> CallStandIn:
        """Let a channel run through the dialplan."""
        session = SwitchSession(self, channel)
        channel.fire("CHANNEL_CREATE")
        call = CallStandIn(session)
        self.sessions[channel.uuid] = session
        self.calls[channel.uuid] = call
        self.spawn(session.run(self.extensions))
        return call

    def forget(self, ident: str) -> None:
        """Drop a channel that is over."""
        self.sessions.pop(ident, None)
        self.api_at_once("sched_del", ident)

    def drop_ended(self) -> None:
        """Let go of the calls that have ended, and of what they heard."""
        for ident in tuple(self.calls):
            if ident not in self.sessions:
                del self.calls[ident]

    # What the rest of the switch needs

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task, at most until the switch closes; a failure goes to the exception handler."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            context = {"message": "FreeSWITCH stand-in", "exception": error, "task": task}
            task.get_loop().call_exception_handler(context)

    @property
    def has_stream_module(self) -> bool:
        """Whether mod_audio_stream is loaded."""
        there = self._build is not None and not self.faults.module_missing
        return there and STREAM_MODULE in self.installation.modules

    def build_for(self, channel: SimulatedChannel) -> Build | None:
        """The build of mod_audio_stream that a channel meets."""
        return None if channel.faults.module_missing else self._build

    def api_at_once(self, name: str, arg: str) -> str:
        """Run an API command that takes no time; empty for others."""
        command = COMMANDS.get(name)
        return command(self, arg) if command is not None else ""

    async def api(self, name: str, arg: str) -> str:
        """Run an API command."""
        command = COMMANDS.get(name)
        if name == "uuid_audio_stream":
            session = self.sessions.get(arg.split(" ", 1)[0])
            missing = session is not None and session.channel.faults.module_missing
            if not self.has_stream_module or missing:
                command = None
        if command is not None:
            return command(self, arg)
        if (slow := SLOW_COMMANDS.get(name)) is not None:
            return await slow(self, arg)
        return f"-ERR {name} Command not found!\n"

    def record(self, channel: SimulatedChannel, path: str) -> bool:
        """Start recording a channel; True also while that path is being recorded already (as in
        ``switch_ivr_record_session_event``)."""
        if not path or path in channel.recordings:
            return bool(path)
        stereo = is_true(channel.variables.get("RECORD_STEREO", ""))
        try:
            source = channel.peer or channel
            swapped = channel.peer is not None
            recording = LegRecording(
                *(path, source.voice, source.heard),
                stereo=stereo,
                swapped=swapped,
                append=is_true(channel.variables.get("RECORD_APPEND", "")),
            )
        except OSError:
            return False
        channel.recordings[path] = recording
        channel.fire("RECORD_START", [("Record-File-Path", path)])
        return True

    # The clock

    def _schedule(self) -> None:
        self._ticker = asyncio.get_running_loop().call_at(self.next_tick, self._tick)

    def _tick(self) -> None:
        """20 ms have passed for every channel. Ticks that are late are caught up on, one by one."""
        if asyncio.get_running_loop().time() - self.next_tick > 0.005:
            self.late_ticks += 1
        self.next_tick += FRAME_SECONDS
        self._schedule()
        for session in tuple(self.sessions.values()):
            session.channel.tick()
            session.tick()

"""The shell of one call: does what ``call/machine.py`` decided, and reports what came of it.

Its parts: ``runner.py`` runs the decisions, ``at_switch.py`` has the switch do things, ``media.py``
hears and speaks, ``agent_session.py`` has the conversation with the model, ``resume.py`` keeps the
snapshot, ``next_park.py`` changes the park. All of it runs in the event loop, in one task group a
call. Audio does not pass through here.
"""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import asdict, replace

import structlog

from esl_controller.agents.chain import of_secretary
from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.conversation import Conversation
from esl_controller.call.hops import Hops
from esl_controller.call.machine import Call
from esl_controller.call.outcome import INTERRUPTED, TRANSFERRED
from esl_controller.call.records import Claimed
from esl_controller.call.states import State
from esl_controller.call.tools import Toolbox
from esl_controller.freeswitch.away import Away
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.secretaries import prompt
from esl_controller.secretaries.hours import is_open, opens_next
from esl_controller.secretaries.secretary import Secretary, identity, recalled
from esl_controller.session.agent_session import AgentSession
from esl_controller.session.at_switch import AtSwitch
from esl_controller.session.call_clock import CallClock
from esl_controller.session.closing import Closing
from esl_controller.session.dependencies import Dependencies
from esl_controller.session.media import CallMedia
from esl_controller.session.next_park import NextPark
from esl_controller.session.resume import SnapshotKeeper
from esl_controller.session.runner import CallRunner
from esl_controller.session.speech_output import SpeechOutput
from esl_controller.store.records import CallStarted
from media.stream import ExpectedStream


class CallSession:
    """The life of one call, as long as this process has it: ``await run()``. It begins on one
    Event Socket connection, and may go on on another (``next_park.py``)."""

    def __init__(
        self,
        switch: SwitchConnection,
        channel: Channel,
        deps: Dependencies,
        claimed: Claimed | None = None,
    ) -> None:
        found = deps.find_secretary(channel.domain_uuid, channel.secretary_uuid)
        self.secretary = _began_with(claimed, found)
        toolbox = Toolbox(self.secretary)
        deps = replace(deps, models=of_secretary(deps.models, self.secretary.models))
        self._clock = CallClock(channel.age_s)
        now = self._clock.now()
        closed = not is_open(self.secretary.hours, now)
        self.call = _core(self.secretary, toolbox, deps, channel.hops, closed=closed)
        # The switch dialled again: this session has the call now, on a newer connection.
        self.successor: CallSession | None = None
        self.log = structlog.stdlib.get_logger(__name__).bind(
            call_uuid=channel.uuid, domain_uuid=channel.domain_uuid
        )
        if unknown := set(self.secretary.models).difference(deps.settings.model_names):
            self.log.warning("the secretary names unknown models", models=sorted(unknown))
        self._deps = deps
        self._quiet = asyncio.Event()  # set while nobody speaks and nothing is awaited
        self._runner = CallRunner(
            self.call, self.log, perform=self._perform, after_event=self._after_event
        )
        self._speech = SpeechOutput()
        opens_at = opens_next(self.secretary.hours, now) if closed else None
        persona = prompt.persona(
            self.secretary,
            toolbox.tools,
            call=prompt.ThisCall(now - channel.age_s, channel.caller, channel.caller_name),
            closed=closed,
            opens_at=opens_at,
        )
        self._agent_session = AgentSession(
            channel, self.secretary, persona, deps, self._speech, self._runner, self._clock
        )
        self._media = CallMedia(
            switch, deps, self.secretary.language, self._agent_session, self._speech, self._runner
        )
        self._keeper = SnapshotKeeper(channel, self._agent_session, deps.record.put, self._clock)
        self._at_switch = AtSwitch(
            *(switch, channel, self.secretary, self._media, self._keeper),
            *(deps.record, self._runner, self._clock, deps.settings.freeswitch.recordings),
        )
        self.next_park = NextPark(
            *(self.call, self._at_switch, self._media, self._agent_session),
            *(deps.record, self._runner),
        )
        self._closing = Closing(
            channel, self.call, self._keeper, self._agent_session, deps.record, self._clock
        )
        if claimed is not None:
            self.call.setup.resumption = self._keeper.resume(claimed)

    def __repr__(self) -> str:
        return f"<CallSession {self.channel.uuid} {self.call.describe()}>"

    @property
    def channel(self) -> Channel:
        """The call's channel, as the switch has told of it last."""
        return self._at_switch.channel

    @property
    def switch(self) -> SwitchConnection:
        """The connection of the park that the call is in."""
        return self._at_switch.switch

    @property
    def stepped_back(self) -> bool:
        """Whether another controller has the call."""
        return self._at_switch.stepped_back

    @property
    def expected_stream(self) -> ExpectedStream:
        """What the media server must know of the call."""
        return self._media.expected_stream

    @property
    def age_s(self) -> float:
        """Seconds since the call came to this controller."""
        return self._runner.age_s

    @property
    def marks(self) -> dict[str, float]:
        """When things happened, in seconds since the call came; for the log and ``/calls``."""
        return self._runner.marks

    # --- life -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Hold the call until it ends or is handed back, then free everything. Only a bug of
        ours makes it raise."""
        uuid, channel = self.channel.uuid, self.channel
        self._deps.record.put(
            CallStarted(
                *(uuid, channel.domain_uuid, self.secretary.name or "default"),
                *(channel.caller, channel.number, self._clock.now()),
                owner=self._deps.name,
                call_ended_url=self.secretary.events.call_ended_url,
                created_us=channel.created_us,
                secretary_id=identity(self.secretary.as_json),
            )
        )
        try:
            async with self._runner.running():
                self._at_switch.watch()
                if self.call.setup.resumption is not None:
                    # This controller may be killed in a moment, too.
                    self._runner.spawn(self._deps.record.flush())
                self.handle(
                    ev.Arrived(channel.answered, bool(channel.codec), channel.held, channel.parks)
                )
                self._at_switch.listen()
                try:
                    await self._runner.over
                finally:
                    if self.call.outcome != INTERRUPTED:
                        self._agent_session.interrupt()  # the caller hung up while it spoke
                    # The lane first: closing the connection to the model may take a while.
                    self._speech.close()
        finally:
            await self._deps.streams.drop(self._media)
            told = {"cause": self.call.cause, "where": self.call.ended_in}
            self.log.info("call over", **told, **self.marks, **self.counters)
            if self.call.cause == TRANSFERRED:
                self._keeper.transferred()
            if self.successor is None and not self.stepped_back:
                await self._closing.let_go()

    def left(self, away: Away) -> None:
        """What became of the caller after our transfer."""
        self._closing.transferred(away)

    @property
    def counters(self) -> dict[str, float]:
        """What passed and what was dropped, in both directions; for the log and ``/calls``."""
        counted: dict[str, float] = {
            "events_dropped": self.switch.dropped,
            "events_ignored": self.call.ignored,
        }
        counted |= asdict(self._agent_session.counters)
        if self._speech.playback is not None:
            counted |= self._speech.playback.counters
            counted["speech_dropped_ms"] += self._speech.dropped_ms
        return counted

    @property
    def model(self) -> str:
        """Which of its models has the call, as the settings call it."""
        return self._agent_session.model

    @property
    def is_quiet(self) -> bool:
        """Whether nobody speaks and nothing is awaited, or the session is over."""
        return self._quiet.is_set()

    async def wait_quiet(self, patience_s: float) -> None:
        """Wait until nobody speaks and nothing is awaited, for at most ``patience_s`` seconds."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                await self._quiet.wait()

    async def hand_back(self, deadline: float) -> None:
        """Let go of the call without ending it: FreeSWITCH goes on with the dialplan. The stream is
        stopped first, unless FreeSWITCH does not answer by ``deadline`` (a time of the loop)."""
        with contextlib.suppress(TimeoutError):
            # The next controller knows only what is written by then. A database that is
            # away must not use up the time of the calls that are handed back after this one.
            async with asyncio.timeout((deadline - asyncio.get_running_loop().time()) / 10):
                await self._deps.record.flush()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(deadline):
                # If the connection broke instead, the module could stay mute: see
                # CallMedia._prove_stream.
                await self._media.stop_stream()
        self.handle(ev.ShutDown())

    async def wait_over(self) -> None:
        """Wait until the session has ended, however."""
        await asyncio.wait([self._runner.over])

    def step_back(self) -> None:
        """Another controller has the call."""
        self._at_switch.step_back()

    @property
    def epoch(self) -> int:
        """How often the call was taken over before it came to us."""
        return self._keeper.epoch

    def handle(self, event: ev.Event) -> None:
        """Something has happened to the call. Safe to call from any callback."""
        self._runner.report(event)

    def _after_event(self) -> None:
        """Save what another process would have to know, and see whether the call is quiet, and
        whether the switch is to dial us for it."""
        self.next_park.follow()
        talking = self.call.state is State.TALKING
        if talking or self.call.state is State.TRANSFERRING:
            self._keeper.save(self.call.conversation.snapshot())
        if self._runner.over.done() or (talking and self.call.conversation.idle):
            self._quiet.set()
        else:
            self._quiet.clear()

    # --- doing ------------------------------------------------------------------------------------

    def _perform(self, action: do.Action) -> None:
        match action:
            case do.ConnectAgent(place):
                self._media.prepare(self.channel, self._agent_session.connect(self.channel, place))
            case do.SetGates(caller, agent):
                self._agent_session.caller.gate = caller
                self._speech.gate_open = agent
            case do.NewPark(parks):
                self.next_park.leave(parks)
            case do.Note(text, reason):
                self.log.warning(text, reason=reason)
                self._at_switch.note(f"{text}: {reason}")
            case do.Close():
                # From now on whoever lingers on this connection reads its events.
                self.switch.buffer_events()
                self._runner.over.set_result(None)
            case (
                do.StartStream()
                | do.OpenLane()
                | do.PlayFiles()
                | do.HearByLane()
                | do.PlaySentence()
                | do.PlayMusic()
                | do.Pause()
                | do.Unpause()
            ):
                self._media.perform(action)
            case (
                do.Answer()
                | do.ConfirmTaken()
                | do.LimitCall()
                | do.StartRecording()
                | do.SendDtmf()
                | do.Transfer()
                | do.Hangup()
            ):
                self._at_switch.perform(action)
            case _:
                self._agent_session.perform(action)


def _began_with(claimed: Claimed | None, found: Secretary) -> Secretary:
    """The secretary that a call began with: its file may have changed since. ``found`` is the one
    that the same call would get now."""
    if claimed is None or not claimed.secretary or claimed.secretary == found.as_json:
        return found
    return recalled(claimed.secretary) or found


def _core(
    secretary: Secretary, toolbox: Toolbox, deps: Dependencies, hops: Hops, *, closed: bool
) -> Call:
    """The decisions of a call with this secretary."""
    settings = deps.settings
    return Call(
        Conversation(secretary, toolbox, closed=closed, hops=hops),
        max_call_s=secretary.limits.max_call_s,
        fallback=secretary.destination(secretary.fallback),
        record=secretary.recording.stereo,
        playback=settings.media.playback,
        model_timeout_s=settings.agent.connect_timeout_s,
        hops=hops,
        models=len(deps.models),
    )

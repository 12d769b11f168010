"""The shell of one call: does what ``call/machine.py`` decided, and reports what came of it.

Its parts: ``runner.py`` runs the decisions, ``media.py`` hears and speaks, ``agent_session.py`` has
the conversation with the model, ``resume.py`` keeps the snapshot. All of it runs in the event loop,
in one task group a call. Audio does not pass through here.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from functools import partial

import structlog

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
from esl_controller.freeswitch.events import CodecSet, FileEvent, Running, SwitchEvent
from esl_controller.freeswitch.wire import NoSuchChannel, Place, SwitchError
from esl_controller.secretaries import prompt
from esl_controller.secretaries.hours import is_open, opens_next
from esl_controller.secretaries.secretary import Secretary, identity
from esl_controller.session.agent_session import AgentSession
from esl_controller.session.call_clock import CallClock
from esl_controller.session.closing import Closing
from esl_controller.session.dependencies import Dependencies
from esl_controller.session.media import CallMedia
from esl_controller.session.resume import SnapshotKeeper
from esl_controller.session.runner import CallRunner
from esl_controller.session.speech_output import SpeechOutput
from esl_controller.store.records import CallStarted, Noted
from media.stream import ExpectedStream


class CallSession:
    """The life of one call on one Event Socket connection: ``await run()``."""

    def __init__(
        self,
        switch: SwitchConnection,
        channel: Channel,
        deps: Dependencies,
        claimed: Claimed | None = None,
    ) -> None:
        self.channel = channel
        found = deps.find_secretary(channel.domain_uuid, channel.secretary_uuid)
        self.secretary = _began_with(claimed, found)
        toolbox = Toolbox(self.secretary)
        self._clock = CallClock(channel.age_s)
        now = self._clock.now()
        closed = not is_open(self.secretary.hours, now)
        self.call = _core(self.secretary, toolbox, deps, channel.hops, closed=closed)
        # The switch dialled again: this session has the call now, on a newer connection.
        self.successor: CallSession | None = None
        self.stepped_back = False  # another controller has the call
        self.log = structlog.stdlib.get_logger(__name__).bind(
            call_uuid=channel.uuid, domain_uuid=channel.domain_uuid
        )
        self._switch = switch
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
        self._closing = Closing(
            channel, self.call, self._keeper, self._agent_session, deps.record, self._clock
        )
        if claimed is not None:
            self.call.setup.resumption = self._keeper.resume(claimed)

    def __repr__(self) -> str:
        return f"<CallSession {self.channel.uuid} {self.call.describe()}>"

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
                self._runner.spawn(self._watch_switch())
                if self.call.setup.resumption is not None:
                    # This controller may be killed in a moment, too.
                    self._runner.spawn(self._deps.record.flush())
                self.handle(
                    ev.Arrived(channel.answered, bool(channel.codec), channel.held, channel.parks)
                )
                self._switch.handle_events(self._switch_event)
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
            "events_dropped": self._switch.dropped,
            "events_ignored": self.call.ignored,
        }
        counted |= asdict(self._agent_session.counters)
        if self._speech.playback is not None:
            counted |= self._speech.playback.counters
            counted["speech_dropped_ms"] += self._speech.dropped_ms
        return counted

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
        self.log.warning("another controller has the call: this one steps back")
        self.stepped_back = True
        self.handle(ev.ShutDown())

    @property
    def epoch(self) -> int:
        """How often the call was taken over before it came to us."""
        return self._keeper.epoch

    def handle(self, event: ev.Event) -> None:
        """Something has happened to the call. Safe to call from any callback."""
        self._runner.report(event)

    def _after_event(self) -> None:
        """Save what another process would have to know, and see whether the call is quiet."""
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
            case do.ConnectAgent():
                self._media.prepare(self.channel, self._agent_session.connect(self.channel))
            case do.SetGates(caller, agent):
                self._agent_session.caller.gate = caller
                self._speech.gate_open = agent
            case do.Answer():
                self._runner.spawn(self._answer())
            case do.StartRecording():
                self._runner.spawn(self._record())
            case do.Transfer():
                self._runner.spawn(self._transfer(action))
            case do.ConfirmTaken():
                self._runner.spawn(self._ask("to re-arm the ladder", self._switch.confirm_taken))
            case do.LimitCall(seconds):
                limit = partial(self._switch.schedule_hangup, seconds)
                self._runner.spawn(self._ask("to limit the call", limit))
            case do.NewPark(parks):
                if self._agent_session.withdraw():
                    self._keeper.cut_off()
                self._runner.spawn(self._new_park(parks))
            case do.SendDtmf(digits):
                self._runner.spawn(self._send_dtmf(digits))
            case do.Hangup(cause):
                self._runner.spawn(self._hang_up(cause))
            case do.Note(text, reason):
                self.log.warning(text, reason=reason)
                note = Noted(self.channel.uuid, self._clock.now(), f"{text}: {reason}")
                self._deps.record.put(note)
            case do.Close():
                # From now on whoever lingers on this connection reads its events.
                self._switch.buffer_events()
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
            case _:
                self._agent_session.perform(action)

    async def _ask(self, what: str, command: Callable[[], Awaitable[None]]) -> None:
        """Ask the switch for something that the call can do without."""
        try:
            await command()
        except NoSuchChannel:
            self._over_already(what)
        except SwitchError as error:
            self.log.warning(f"the switch refused {what}", reason=str(error))

    def _over_already(self, what: str) -> None:
        """A command found no channel. That is no fault: the hangup is on the way to us."""
        self.log.debug("the call is over already", asked=what)

    async def _send_dtmf(self, digits: str) -> None:
        # If we are killed now, the next controller must know of it: keys are never sent twice.
        await self._deps.record.flush()
        await self._ask("to send DTMF", partial(self._switch.send_dtmf, digits))

    async def _new_park(self, parks: int) -> None:
        # The session that gets the call next knows only what is written by then.
        await self._deps.record.flush()
        await self._media.stop_stream()  # as in hand_back
        self._media.stop_sending()
        try:
            await self._switch.new_park(parks)
        except NoSuchChannel:
            self._over_already("to give it a new park")
        except SwitchError as error:
            self._media.send_again()
            self.handle(ev.ParkFailed(str(error)))

    async def _record(self) -> None:
        folder, name = self._deps.settings.freeswitch.recordings, f"{self.channel.uuid}.wav"
        try:
            await self._switch.start_recording(folder, name)
        except NoSuchChannel:
            self._over_already("to record it")
        except SwitchError as error:
            self._perform(do.Note("the call is not recorded", str(error)))
        else:
            self._keeper.recording = f"{folder}/{name}"

    async def _stop_recording(self) -> bool:
        """What the caller says to somebody else is recorded only if the secretary's file says so.
        If the caller comes back, or stays, the same file goes on. Returns whether it was to stop.
        """
        path = self._keeper.recording
        if not path or self.secretary.recording.after_transfer:
            return False
        await self._ask("to stop the recording", partial(self._switch.stop_recording, path))
        return True

    async def _is_ours(self) -> bool:
        """Whether the call is still ours. Ask before doing what cannot be undone: a controller that
        was suspended for a while does not know yet that another one has claimed the call."""
        ours = await self._deps.record.still_ours(self.channel.uuid, self.epoch)
        if not ours and not self.stepped_back:
            self.step_back()
        return ours

    async def _transfer(self, transfer: do.Transfer) -> None:
        # If we are killed now, the next controller must know whether the caller was to be sent on.
        await self._deps.record.flush()
        if not await self._is_ours():
            return
        destination = transfer.destination
        hops = self.channel.hops.after(fallback=transfer.fallback)
        only_unreached = transfer.fallback or destination.come_back is not True
        try:
            to = Place(destination.number, destination.context or self.channel.context or "default")
            stopped = await self._stop_recording()
            self._media.stop_sending()
            await self._switch.transfer(
                to, destination.timeout_s, hops, transfer.returns, only_unreached
            )
        except NoSuchChannel:
            self._over_already("to transfer the caller")
        except SwitchError as error:
            self._media.send_again()
            if self._keeper.recording:
                await self._record()
            self.handle(ev.TransferFailed(str(error)))
        else:
            if stopped:
                note = "the recording stopped at the transfer"
                self._deps.record.put(Noted(self.channel.uuid, self._clock.now(), note))
            self.handle(ev.Transferred())

    async def _watch_switch(self) -> None:
        self.handle(ev.SwitchLost(await self._switch.wait_lost()))

    async def _answer(self) -> None:
        try:
            await self._switch.answer()
        except SwitchError as error:
            self.handle(ev.AnswerFailed(str(error)))

    async def _hang_up(self, cause: str) -> None:
        if not await self._is_ours():
            return
        try:
            await self._switch.hang_up(cause)
        except SwitchError as error:
            self.log.warning("the hangup was not accepted", reason=str(error))

    # --- what happens -----------------------------------------------------------------------------

    def _switch_event(self, event: SwitchEvent) -> None:
        if isinstance(event, Running):
            return  # an application of the dialplan's or of ours
        if isinstance(event, FileEvent):
            self._media.file_event(event)
            return
        if isinstance(event, ev.Answered):
            self.channel = replace(self.channel, answered=True)
        if isinstance(event, ev.Answered | CodecSet) and event.codec:
            before, codec = (self.channel.codec, self.channel.rate), (event.codec, event.rate)
            self.channel = replace(self.channel, codec=event.codec, rate=event.rate)
            if isinstance(event, CodecSet):
                self.handle(ev.CodecChanged(other=codec != before))
        if not isinstance(event, CodecSet):
            self.handle(event)


def _began_with(claimed: Claimed | None, found: Secretary) -> Secretary:
    """The secretary that a call began with: its file may have changed since. ``found`` is the one
    that the same call would get now."""
    if claimed is None or not claimed.secretary or claimed.secretary == found.as_json:
        return found
    return Secretary.from_json(claimed.secretary) or found


def _core(
    secretary: Secretary, toolbox: Toolbox, deps: Dependencies, hops: Hops, *, closed: bool
) -> Call:
    """The decisions of a call with this secretary."""
    settings, abilities = deps.settings, deps.model.abilities
    return Call(
        Conversation(secretary, toolbox, closed=closed, abilities=abilities, hops=hops),
        max_call_s=secretary.limits.max_call_s,
        fallback=secretary.destination(secretary.fallback),
        record=secretary.recording.stereo,
        playback=settings.media.playback,
        model_timeout_s=settings.agent.connect_timeout_s,
        hops=hops,
    )

"""What one call has the switch do, once that is decided, and what the switch tells of it.

What must not be done twice is stored before it is done.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import assert_never

import structlog

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.freeswitch.events import Bridged, CodecSet, FileEvent, Running, SwitchEvent
from esl_controller.freeswitch.wire import CallGone, Place, SwitchError
from esl_controller.secretaries.secretary import Secretary
from esl_controller.session.call_clock import CallClock
from esl_controller.session.dependencies import Record
from esl_controller.session.media import CallMedia
from esl_controller.session.resume import SnapshotKeeper
from esl_controller.session.runner import CallRunner
from esl_controller.store.records import Noted


class AtSwitch:
    """One call's side of the switch. ``switch``: the connection of its present park. ``channel``:
    as the switch has told of it last. ``stepped_back``: another controller has the call.

    ``recordings``: the folder at the switch for them.
    """

    def __init__(
        self,
        switch: SwitchConnection,
        channel: Channel,
        secretary: Secretary,
        media: CallMedia,
        keeper: SnapshotKeeper,
        record: Record,
        runner: CallRunner,
        clock: CallClock,
        recordings: str,
    ) -> None:
        self.switch = switch
        self.channel = channel
        self.stepped_back = False
        self._secretary = secretary
        self._media = media
        self._keeper = keeper
        self._record = record
        self._runner = runner
        self._clock = clock
        self._recordings = recordings
        self._watching: asyncio.Task[None]
        self._log = structlog.stdlib.get_logger(__name__).bind(
            call_uuid=channel.uuid, domain_uuid=channel.domain_uuid
        )

    # --- the connection ---------------------------------------------------------------------------

    def watch(self) -> None:
        """Have the end of the connection reported, from now on."""
        self._watching = self._runner.spawn(self._watch())

    def listen(self) -> None:
        """Have the switch's events decided on, those that have come before first."""
        if self.channel.parks or self.channel.returns:
            self._runner.spawn(self._ask("to keep the call here", self.switch.transfers.taken))
        self.switch.handle_events(self._event)

    def enter(self, switch: SwitchConnection, channel: Channel) -> None:
        """The call is in another park: from now on that connection has it."""
        self.switch.buffer_events()
        self._watching.cancel()
        self.switch = switch
        self.channel = replace(
            self.channel, codec=channel.codec, rate=channel.rate, variables=channel.variables
        )
        self.watch()

    async def _watch(self) -> None:
        self._runner.report(ev.SwitchLost(await self.switch.wait_lost()))

    def _event(self, event: SwitchEvent) -> None:
        if isinstance(event, Running | Bridged):
            return  # by the dialplan's actions or ours
        if isinstance(event, FileEvent):
            self._media.file_event(event)
            return
        if isinstance(event, ev.Answered):
            self.channel = replace(self.channel, answered=True)
        if isinstance(event, ev.Answered | CodecSet) and event.codec:
            before, codec = (self.channel.codec, self.channel.rate), (event.codec, event.rate)
            self.channel = replace(self.channel, codec=event.codec, rate=event.rate)
            self._media.codec_set(self.channel)
            if isinstance(event, CodecSet):
                self._runner.report(ev.CodecChanged(other=codec != before))
        if not isinstance(event, CodecSet):
            self._runner.report(event)

    # --- doing ------------------------------------------------------------------------------------

    def perform(self, action: do.SwitchAction) -> None:
        """Begin to do it; what comes of it is reported."""
        match action:
            case do.Answer():
                work = self._answer()
            case do.StartRecording():
                work = self._start_recording()
            case do.Transfer():
                work = self._transfer(action)
            case do.ConfirmTaken():
                work = self._ask("to re-arm the ladder", self.switch.confirm_taken)
            case do.LimitCall(seconds):
                limit = partial(self.switch.schedule_hangup, seconds)
                work = self._ask("to limit the call", limit)
            case do.SendDtmf(digits):
                work = self._send_dtmf(digits)
            case do.Hangup(cause):
                work = self._hang_up(cause)
            case _:
                assert_never(action)
        self._runner.spawn(work)

    def note(self, text: str) -> None:
        """A line for the call's record."""
        self._record.put(Noted(self.channel.uuid, self._clock.now(), text))

    def over_already(self, what: str) -> None:
        """There is no call any more for this command: its end is on the way to us."""
        self._log.debug("the call is over already", asked=what)

    async def _ask(self, what: str, command: Callable[[], Awaitable[None]]) -> None:
        """Ask the switch for something that the call can do without."""
        try:
            await command()
        except CallGone:
            self.over_already(what)
        except SwitchError as error:
            self._log.warning(f"the switch refused {what}", reason=str(error))

    async def _answer(self) -> None:
        try:
            await self.switch.answer()
        except CallGone:
            self.over_already("to answer it")
        except SwitchError as error:
            self._runner.report(ev.AnswerFailed(str(error)))

    async def _send_dtmf(self, digits: str) -> None:
        # If we are killed now, the next controller must know of it: keys are never sent twice.
        await self._record.flush()
        await self._ask("to send DTMF", partial(self.switch.send_dtmf, digits))

    async def _start_recording(self) -> None:
        name = f"{self.channel.uuid}.wav"
        try:
            ours_only = not self._secretary.recording.after_transfer
            await self.switch.start_recording(self._recordings, name, ours_only=ours_only)
        except CallGone:
            self.over_already("to record it")
        except SwitchError as error:
            text = "the call is not recorded"
            self._log.warning(text, reason=str(error))
            self.note(f"{text}: {error}")
        else:
            self._keeper.recording = f"{self._recordings}/{name}"

    async def _stop_recording(self) -> str:
        """What the caller says to somebody else is recorded only if the secretary's file says so.
        If the caller comes back, or stays, the same file goes on. Returns what the record is to
        say of it; empty: nothing.
        """
        path = self._keeper.recording
        if not path or self._secretary.recording.after_transfer:
            return ""
        try:
            await self.switch.stop_recording(path)
        except CallGone:
            self.over_already("to stop the recording")
            return ""
        except SwitchError as error:
            self._log.warning("the switch refused to stop the recording", reason=str(error))
            return f"the recording could not be stopped at the transfer, and may go on: {error}"
        return "the recording stopped at the transfer"

    async def _transfer(self, transfer: do.Transfer) -> None:
        # If we are killed now, the next controller must know whether the caller was to be sent on.
        await self._record.flush()
        if not await self._is_ours():
            return
        destination = transfer.destination
        hops = self.channel.hops.after(fallback=transfer.fallback)
        only_unreached = transfer.fallback or destination.come_back is not True
        try:
            to = Place(destination.number, destination.context or self.channel.context or "default")
            recording = await self._stop_recording()
            self._media.stop_sending()
            await self.switch.transfers.transfer(
                to, destination.timeout_s, hops, transfer.returns, only_unreached
            )
        except CallGone:
            self.over_already("to transfer the caller")
        except SwitchError as error:
            self._media.send_again()
            if self._keeper.recording:
                await self._start_recording()
            self._runner.report(ev.TransferFailed(str(error)))
        else:
            if recording:
                self.note(recording)
            self._keeper.for_good = not transfer.returns
            self._runner.report(ev.Transferred())

    async def _hang_up(self, cause: str) -> None:
        if not await self._is_ours():
            return
        try:
            await self.switch.hang_up(cause)
        except CallGone:
            self.over_already("to hang up")
        except SwitchError as error:
            self._log.warning("the hangup was not accepted", reason=str(error))

    async def _is_ours(self) -> bool:
        """Whether the call is still ours. Ask before doing what cannot be undone: a controller that
        was suspended for a while does not know yet that another one has claimed the call."""
        ours = await self._record.still_ours(self.channel.uuid, self._keeper.epoch)
        if not ours and not self.stepped_back:
            self.step_back()
        return ours

    def step_back(self) -> None:
        """Another controller has the call."""
        self._log.warning("another controller has the call: this one steps back")
        self.stepped_back = True
        self._runner.report(ev.ShutDown())

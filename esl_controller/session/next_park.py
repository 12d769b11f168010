"""How a call goes into a new park without leaving its session.

A park has one lane only. So a call whose lane is gone, or whose caller speaks another codec, has
the switch dial our socket again (``call/media_path.py``), and this process mostly gets its own call
back. Then nothing is read, claimed or connected: the model, what waits to be heard, and all that
was decided stay where they are, and only the connection to the switch is another one.

That cannot be if another process is dialled, if the switch comes too late, if the call has ended
here or is played files. Then it goes on as after a restart (``resume.py``), with what ``leave`` has
had written: how much of our speech was heard.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable

import structlog

from esl_controller.call import events as ev
from esl_controller.call.machine import Call
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.freeswitch.wire import CallGone, SwitchError
from esl_controller.session.agent_session import AgentSession
from esl_controller.session.at_switch import AtSwitch
from esl_controller.session.dependencies import Record
from esl_controller.session.media import CallMedia
from esl_controller.session.runner import CallRunner

FLUSH_S = 0.05  # a write takes 10 ms, and the caller hears nothing meanwhile


class NextPark:
    """The way of one call into its next park. ``on_change`` is called when the switch is to dial us
    from now on, or no longer.
    """

    def __init__(
        self,
        call: Call,
        at_switch: AtSwitch,
        media: CallMedia,
        agent_session: AgentSession,
        record: Record,
        runner: CallRunner,
    ) -> None:
        self._call = call
        self._at_switch = at_switch
        self._media = media
        self._agent_session = agent_session
        self._record = record
        self._runner = runner
        self.on_change: Callable[[], None] = lambda: None
        self._awaited = 0
        channel = at_switch.channel
        self._log = structlog.stdlib.get_logger(__name__).bind(
            call_uuid=channel.uuid, domain_uuid=channel.domain_uuid
        )

    def leave(self, parks: int) -> None:
        """Have the switch hand us the call again, in the park with this number."""
        self._agent_session.withdraw()
        self._runner.spawn(self._ask(parks))

    async def _ask(self, parks: int) -> None:
        # If another process is dialled, it knows only what is written by then.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                await self._record.flush()
        # The stream has the rate of the last codec; and see CallSession.hand_back.
        await self._media.stop_stream()
        try:
            await self._at_switch.switch.transfers.new_park(parks)
        except CallGone:
            self._at_switch.over_already("to give it a new park")
        except SwitchError as error:
            self._runner.report(ev.ParkFailed(str(error)))

    def follow(self) -> None:
        """After each decision: see whether the park is awaited."""
        awaited = self._call.awaited_park
        if awaited != self._awaited:
            self._awaited = awaited
            self.on_change()

    def is_in(self, channel: Channel) -> bool:
        """Whether ``channel``, which the switch brings, is the call in that park, and nobody else
        has had it in between."""
        here = self._at_switch.channel
        last = channel.parks == self._call.awaited_park and channel.returns == here.returns
        return last and channel.parks > 0 and not channel.away_s and self._media.by_lane

    def enter(self, switch: SwitchConnection, channel: Channel) -> None:
        """Go on in that park."""
        self._log.info("the call goes on in a new park", parks=channel.parks)
        self._at_switch.enter(switch, channel)
        self._media.enter(switch, self._at_switch.channel)
        self._runner.report(ev.Parked(channel.held))
        self._at_switch.listen()

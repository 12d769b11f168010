"""How a call leaves its park: for a destination, or for a new park of ours.

A transfer is done by FreeSWITCH's ``uuid_transfer``. What is ours on the channel has to be undone
before, and what the next controller has to know is left there as variables (``channel.py`` reads
them).
"""

from __future__ import annotations

import asyncio
import contextlib
import re

import structlog

from esl_controller.call.hops import Hops
from esl_controller.freeswitch import dialplan
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.channel_commands import ChannelCommands
from esl_controller.freeswitch.channel_events import ChannelEvents
from esl_controller.freeswitch.wire import Place, SwitchError, UnsafeValue, word

log = structlog.stdlib.get_logger(__name__)

# A FreeSWITCH that stood still plays our datagrams that wait in its socket first, 3.3 s of them at
# most (docs/design/freeswitch.md#a-lane-that-keeps-the-channel-waiting).
LANE_CLOSED_S = 4.0
_CAUSE = re.compile(r"[A-Z_]{1,64}")


class Transfers:
    """The transfers of one channel, and what becomes known of them."""

    def __init__(self, channel: Channel, commands: ChannelCommands, events: ChannelEvents) -> None:
        self._channel = channel
        self._commands = commands
        self._events = events

    async def transfer(
        self, to: Place, timeout_s: int, hops: Hops, returns: int = 0, only_unreached: bool = False
    ) -> None:
        """Send the caller to a place in the dialplan, and let go of the call.

        ``hops``: how often the caller will have been transferred then. ``returns`` is 0 for a
        caller who is not to come back. Else it is how often the caller will have come back after
        this transfer; the channel then tells it (``Channel.returns``). That needs a dialplan that
        sets ``controller_home``, and mod_loopback. ``only_unreached``: as in ``dialplan.Way``.

        Everything of ours is undone before the transfer, because the caller may be back within 50
        ms. ``socket_resume`` is unset, because closing our connection would otherwise throw the
        caller out of the destination
        (docs/design/freeswitch.md#a-connection-closed-after-a-transfer).
        """
        await self._commands.set_variable("call_timeout", str(timeout_s))
        await self._commands.unset_variable("socket_resume")
        # What an earlier bridge left there must not be taken for what becomes of this one.
        await self._commands.unset_variable("originate_disposition")
        home = await self._home() if returns else None
        if home is None:
            await self._carry(hops)
            words = [str(to)]
        else:
            if await self._commands.variable("transfer_ringback") == "":
                await self._commands.set_variable("transfer_ringback", dialplan.RINGING)
            await self._commands.set_variable(dialplan.HOPS, str(hops))
            way = dialplan.Way(to, home, timeout_s, returns, hops, only_unreached)
            words = [f"'{dialplan.bridge_and_return(way)}'", "inline"]
        with contextlib.suppress(SwitchError):
            await self._commands.uuid_api("uuid_audio_stream", "stop")
        await self._commands.uuid_api("sched_del")
        await self._close_lane()
        await self._commands.uuid_api("uuid_transfer", *words)

    async def answered_instead(self, leg: str) -> str:
        """Why nobody answered a transferred caller who is bridged to ``leg``, if a mailbox or an
        announcement did; else empty. The channel keeps it, too (``Channel.instead``).

        The far end of our loopback call knows: its ``originate_disposition`` is the cause of a
        bridge that failed before its dialplan went on to answer by itself
        (docs/design/freeswitch.md#who-was-reached).
        """
        with contextlib.suppress(SwitchError):
            far = await self._commands.variable("other_loopback_leg_uuid", word("leg", leg))
            cause = await self._commands.variable("originate_disposition", word("leg", far))
            if _CAUSE.fullmatch(cause) and cause != "SUCCESS":
                await self._commands.set_variable(dialplan.INSTEAD, cause)
                return cause
        return ""

    async def new_park(self, parks: int) -> None:
        """Have the switch dial us again for this call, where a lane can be opened anew; the channel
        then tells ``parks`` (``Channel.parks``). Not while the caller holds us: a transfer makes
        FreeSWITCH take the call off hold.

        This connection stays open beside the new one until the call is over
        (docs/design/freeswitch.md#a-replaced-connection-stays-open). If it breaks on the way there,
        that must not reset the channel, so `socket_resume` is unset in between
        (docs/design/freeswitch.md#a-connection-closed-after-a-transfer). Raises SwitchError.
        """
        channel = self._channel
        socket = channel.variables.get("current_application_data", "")
        if not dialplan.SOCKET.fullmatch(socket):
            raise SwitchError("the address at which the switch dialled us cannot be dialled again")
        homes = (
            channel.variables.get("controller_home", ""),
            f"{channel.number} XML {channel.context}",
        )
        home = next(filter(_is_place, homes), "")
        resumes = channel.variables.get("socket_resume") == "true"
        line = dialplan.park_again(socket, home, parks, resumes=resumes)
        # Sent together: a connection that broke between the two would end the call.
        unset, transferred = await asyncio.gather(
            self._commands.unset_variable("socket_resume"),
            self._commands.uuid_api("uuid_transfer", f"'{line}'", "inline"),
            return_exceptions=True,
        )
        if isinstance(transferred, BaseException):
            if resumes and not isinstance(unset, BaseException):
                await self._commands.set_variable("socket_resume", "true")
            raise transferred

    async def taken(self) -> None:
        """We have taken a call that a line of ours in the dialplan handed over: it must not be
        handed over once more. Raises SwitchError."""
        await self._commands.api("sched_del", dialplan.until_taken(self._channel.uuid))

    # --- what they consist of ---------------------------------------------------------------------

    async def _home(self) -> Place | None:
        """Our own extension, for a caller who is to come back; None if that cannot be."""
        try:
            home = Place.parse(self._channel.variables.get("controller_home", ""))
        except UnsafeValue:
            log.warning("the caller cannot come back: the dialplan sets no controller_home")
            return None
        if await self._commands.api("module_exists", "mod_loopback") != "true":
            log.warning("the caller cannot come back: FreeSWITCH has not loaded mod_loopback")
            return None
        return home

    async def _carry(self, hops: Hops) -> None:
        """Have the channel carry the hops, and every leg that it makes from now on."""
        await self._commands.set_variable(dialplan.HOPS, str(hops))
        names = await self._commands.variable("export_vars")
        exported = [name for name in names.split(",") if name]
        if dialplan.HOPS not in exported:
            await self._commands.set_variable("export_vars", ",".join([*exported, dialplan.HOPS]))

    async def _close_lane(self) -> None:
        """Play a file of 20 ms, so that the channel's own thread closes the lane. ``uuid_transfer``
        would close it in another thread; if both do, they may wait for the lane's thread for good,
        and the caller with them (docs/design/freeswitch.md#two-threads-that-close-it)."""
        play_id, played = self._events.expect_play()
        await self._commands.play("silence_stream://20", play_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LANE_CLOSED_S):
                await played.wait()


def _is_place(transfer: str) -> bool:
    with contextlib.suppress(UnsafeValue):
        Place.parse(transfer)
        return True
    return False

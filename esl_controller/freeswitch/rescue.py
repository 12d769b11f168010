"""Takes a call back whose Event Socket connection is mute.

If the network is cut without a FIN, FreeSWITCH does not notice, and the channel stays parked for a
controller that can neither hear nor speak. Only another connection can move it: the Event Socket on
which FreeSWITCH itself listens (docs/design/freeswitch.md#the-outbound-socket).
"""

from __future__ import annotations

import asyncio
import contextlib
from uuid import uuid4

from esl_controller.config.settings import FreeswitchSettings
from esl_controller.freeswitch import wire
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.esl import ESLEvent, GenesisError, Inbound
from esl_controller.freeswitch.leg import CallFailed, event_socket
from esl_controller.freeswitch.wire import Command, NoSuchChannel, Place, SwitchError, UnsafeValue

RESCUE_S = 15.0
# A FreeSWITCH that hung plays our datagrams that wait in its socket first, 3.3 s of them
# (docs/design/freeswitch.md#a-lane-that-keeps-the-channel-waiting).
LANE_CLOSED_S = 8.0


class Rescue:
    """``there``: FreeSWITCH's Event Socket, which is dialled for each call that needs it."""

    def __init__(self, there: FreeswitchSettings) -> None:
        self._there = there

    async def take_back(self, channel: Channel, lost_at_us: int) -> None:
        """Transfer the call to our extension, whose dialplan dials a controller.

        ``lost_at_us``: since when the caller has been waiting, in microseconds of Unix time by the
        switch's clock. The call's old connection must stay open until the call is over: closing it
        would throw the call out of its new park. Raises CallFailed if the call stays where it is,
        also because that is right: it was transferred, or is over.
        """
        try:
            home = Place.parse(channel.variables.get("controller_home", ""))
        except UnsafeValue:
            raise CallFailed("its dialplan sets no controller_home") from None
        try:
            async with asyncio.timeout(RESCUE_S), event_socket(self._there) as connection:
                await _OneCall(connection, channel).bring_home(home, lost_at_us)
        except NoSuchChannel:
            raise CallFailed("FreeSWITCH does not have it any more") from None
        except (SwitchError, GenesisError) as error:
            raise CallFailed(f"FreeSWITCH refused: {error}") from None
        except TimeoutError:
            raise CallFailed(f"FreeSWITCH took longer than {RESCUE_S:g} s") from None


class _OneCall:
    """One channel, over a connection that is not its own."""

    def __init__(self, connection: Inbound, channel: Channel) -> None:
        self._connection = connection
        self._channel = channel
        self._play_id = str(uuid4())
        self._played = asyncio.Event()

    async def bring_home(self, home: Place, lost_at_us: int) -> None:
        uuid = self._channel.uuid
        # ``Transfers.transfer`` unsets it before it hands a caller over.
        if await self._api("uuid_getvar", uuid, "socket_resume") != "true":
            raise CallFailed("it was transferred")
        await self._api("uuid_setvar", uuid, "controller_lost_at", str(lost_at_us))
        await self._api("uuid_setvar", uuid, "controller_again")  # or the dialplan sets the time
        await self._close_lane()
        await self._api("uuid_transfer", uuid, str(home))

    async def _close_lane(self) -> None:
        """As ``Transfers`` does before a transfer, and for the same reason."""
        self._connection.on("CHANNEL_EXECUTE_COMPLETE", self._completed)
        uuid = self._channel.uuid
        await self._send(wire.line("filter", "Unique-ID", uuid))
        await self._send(wire.line("event plain CHANNEL_EXECUTE_COMPLETE"))
        play = {
            "call-command": "execute",
            "execute-app-name": "playback",
            "execute-app-arg": "silence_stream://20",
            "Event-UUID": self._play_id,
        }
        await self._send(wire.sendmsg(play, uuid))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LANE_CLOSED_S):
                await self._played.wait()

    async def _completed(self, event: ESLEvent) -> None:
        if wire.header(event, "Application-UUID") == self._play_id:
            self._played.set()

    async def _api(self, command: str, *arguments: str) -> str:
        reply = await self._send(wire.api(command, *arguments))
        return wire.accepted(command, (reply.body or "").strip())

    async def _send(self, command: Command) -> ESLEvent:
        return await self._connection.send(command)

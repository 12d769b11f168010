"""The commands of one channel: each is sent, its reply awaited for a time, and its refusal raised.

Replies come in order, and one proves only that the command was accepted. Genesis matches them to
their commands; what may be sent is checked in ``wire.py``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from esl_controller.freeswitch import wire
from esl_controller.freeswitch.esl import ESLEvent, GenesisError, Session
from esl_controller.freeswitch.wire import Command, SwitchError, SwitchGone, word

COMMAND_S = 5.0  # a reply takes 0.1-0.5 ms; a switch that needs longer than this is in trouble


class ChannelCommands:
    """Sends the commands of one channel over its own connection. All methods raise SwitchError.

    ``uuid``: the channel's, once it is known.
    """

    def __init__(self, session: Session) -> None:
        self.uuid = ""
        self._session = session

    async def send(self, command: Command) -> ESLEvent:
        """Send a command; returns the reply."""
        name = wire.name_of(command)
        try:
            async with asyncio.timeout(COMMAND_S):
                return await self._session.send(command)
        except TimeoutError:
            raise SwitchError(f"no reply to {name} within {COMMAND_S:g} s") from None
        except (GenesisError, OSError) as error:
            raise SwitchGone(f"{name}: the connection is gone ({error})") from error

    async def api(self, command: str, *arguments: str) -> str:
        """An API command, as typed in fs_cli; returns what it says."""
        reply = await self.send(wire.api(command, *arguments))
        return wire.accepted(command, (reply.body or "").strip())

    async def uuid_api(self, command: str, *arguments: str) -> str:
        """The same for one whose first argument is the channel."""
        assert self.uuid, "connect first"
        return await self.api(command, self.uuid, *arguments)

    async def sendmsg(self, headers: Mapping[str, str]) -> None:
        """A message to the channel."""
        reply = await self.send(wire.sendmsg(headers))
        wire.accepted(headers["call-command"], wire.header(reply, "Reply-Text"))

    async def execute(
        self, application: str, data: str = "", event_uuid: str = "", lock: bool = False
    ) -> None:
        """Have the channel run an application. ``event_uuid``: the ``Application-UUID`` in its
        events; ``lock``: after those that wait to be run."""
        headers = {"call-command": "execute", "execute-app-name": word("app", application)}
        if data:
            headers["execute-app-arg"] = wire.text(application, data)
        if event_uuid:
            headers["Event-UUID"] = event_uuid
        if lock:
            headers["event-lock"] = "true"
        await self.sendmsg(headers)

    async def play(self, path: str, play_id: str) -> None:
        """Play a file that is on the switch, after those that wait to be played."""
        await self.execute("playback", path, event_uuid=play_id, lock=True)

    async def set_variable(self, name: str, value: str) -> None:
        """Set a variable of the channel."""
        await self.uuid_api("uuid_setvar", word("variable", name), wire.verbatim(name, value))

    async def unset_variable(self, name: str) -> None:
        """Remove a variable of the channel."""
        await self.uuid_api("uuid_setvar", word("variable", name))

    async def variable(self, name: str, of: str = "") -> str:
        """A variable of the channel, or of another one, as it is now; empty if it is not set."""
        value = await self.api("uuid_getvar", word("uuid", of or self.uuid), word("variable", name))
        return "" if value == "_undef_" else value

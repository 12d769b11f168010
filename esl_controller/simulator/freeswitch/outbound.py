"""The ``socket`` application: FreeSWITCH dials the controller (mod_event_socket.c).

captures/conversation.jsonl, captures/controller_lost*.jsonl, captures/transfer*.jsonl and more
trials on the same switch (docs/design/freeswitch.md#when-the-controller-is-lost) show what happens
when a connection ends, on purpose or not:

- With or without ``socket_resume`` the dialplan goes on with its next action. With it a playback
  or bridge that runs in the park ends within 20 ms; without, it goes on to its end first.
- This holds for any connection of the channel, even one that no longer controls it. So closing
  an old connection, which lingers after a transfer, disturbs the call. If the call is parked under
  a new connection, it leaves that park and the dialplan dials again. Anywhere else nothing happens
  without ``socket_resume``; with it, a bridge or playback ends and the channel does nothing at all
  (CS_RESET) until somebody transfers it or hangs up.
- Closing an old connection is harmless right after the reply to ``uuid_transfer``, before the
  channel's next tick; after the call; and, unless the call is parked again, if ``socket_resume``
  was unset before the transfer.
- If a controller is gone before it has said ``connect``, the next action runs with
  ``socket_resume``; without, the call stays parked and nobody controls it.
"""

from __future__ import annotations

import asyncio

from esl_controller.simulator.freeswitch.connection import EventSocketConnection
from esl_controller.simulator.freeswitch.session import SwitchSession
from esl_controller.simulator.freeswitch.text import is_true
from esl_controller.simulator.freeswitch.wire import SocketCommand

FIRST_COMMAND_SECONDS = 25.0
"""How long a controller that was dialled may say nothing before it is given up."""
DEFAULT_PORT = 8084


class OutboundConnection(EventSocketConnection):
    """A connection that belongs to a channel."""

    session: SwitchSession

    def __init__(
        self, session: SwitchSession, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        super().__init__(session.switch, reader, writer, session)
        self.settled = asyncio.Event()
        """The controller said ``connect``, or is gone."""

    def connected(self) -> None:
        session = self.session
        self.settled.set()
        session.step("connected")
        delay = session.channel.faults.socket_cut_after
        if delay is not None and session.first("socket_cut"):
            asyncio.get_running_loop().call_later(delay, self.cut)

    async def command(self, command: SocketCommand) -> bytes:
        answer = await super().command(command)
        self.settled.set()
        return answer

    async def run(self) -> None:
        """Serve the controller; when it goes, the dialplan goes on."""
        timeout = asyncio.get_running_loop().call_later(FIRST_COMMAND_SECONDS, self._give_up)
        try:
            await self.serve()
        finally:
            timeout.cancel()
            self.settled.set()
            self.session.release_control(resume=_resumes(self.session))
            await self.close()

    def _give_up(self) -> None:
        if not self.settled.is_set():
            self.cut()


async def socket(session: SwitchSession, arg: str) -> None:
    """``socket HOST:PORT|HOST:PORT async full``: dial the first that answers, and park."""
    targets = (arg.split() or [""])[0].split("|")
    streams = await _dial(session, targets)
    if streams is None:
        return
    session.step("connecting")
    connection = OutboundConnection(session, *streams)
    session.connections.append(connection)
    session.switch.spawn(connection.run())
    session.channel.on_hangup.append(connection.settled.set)
    if session.ready:
        await connection.settled.wait()
    session.channel.on_hangup.remove(connection.settled.set)
    await session.park()
    await session.parse_all_events()
    if _resumes(session) and not session.transferred and session.channel.ready:
        session.reset = False
        session.channel.state = "CS_EXECUTE"


def _resumes(session: SwitchSession) -> bool:
    return is_true(session.channel.variables.get("socket_resume", ""))


async def _dial(
    session: SwitchSession, targets: list[str]
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    for target in targets:
        address, _, path = target.partition("/")
        host, _, port = address.rpartition(":")
        session.channel.variables["socket_host"] = host or address
        if path:
            session.channel.variables["socket_path"] = path
        number = int(port) if host and port.isdigit() else DEFAULT_PORT
        try:
            return await asyncio.open_connection(host or address, number)
        except (OSError, OverflowError):
            continue
    return None

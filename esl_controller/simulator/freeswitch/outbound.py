"""The ``socket`` application: FreeSWITCH dials the controller (mod_event_socket.c).

Captures ``conversation``, ``controller_lost.1`` and ``.2``, ``transfer``.
"""

from __future__ import annotations

import asyncio

from esl_controller.simulator.freeswitch.listener import Listener
from esl_controller.simulator.freeswitch.session import Session, is_true
from esl_controller.simulator.freeswitch.wire import Command

FIRST_COMMAND_SECONDS = 25.0
"""A controller that says nothing for so long after being dialled is given up."""
DEFAULT_PORT = 8084


class OutboundListener(Listener):
    """A connection that belongs to a channel."""

    session: Session

    def __init__(
        self, session: Session, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
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

    async def command(self, command: Command) -> bytes:
        answer = await super().command(command)
        self.settled.set()
        return answer

    async def run(self) -> None:
        """Serve the controller; when it goes, the dialplan goes on or the call ends."""
        timeout = asyncio.get_running_loop().call_later(FIRST_COMMAND_SECONDS, self._give_up)
        try:
            await self.serve()
        finally:
            timeout.cancel()
            self.settled.set()
            # Any of the channel's connections does this, an old one beside a new one as well:
            # listener_run looks at the channel, not at who controls it now.
            self.session.release_control(resume=self._resume())
            await self.close()

    def _resume(self) -> bool:
        return is_true(self.session.channel.variables.get("socket_resume", ""))

    def _give_up(self) -> None:
        if not self.settled.is_set():
            self.cut()


async def socket(session: Session, arg: str) -> None:
    """``socket HOST:PORT|HOST:PORT async full``: dial the first that answers, and park."""
    targets = (arg.split() or [""])[0].split("|")
    connection = await _dial(session, targets)
    if connection is None:
        return
    session.step("connecting")
    listener = OutboundListener(session, *connection)
    session.listeners.append(listener)
    session.switch.spawn(listener.run())
    session.channel.on_hangup.append(listener.settled.set)
    if session.ready:
        await listener.settled.wait()
    session.channel.on_hangup.remove(listener.settled.set)
    if listener.running:
        await session.park()
    elif session.channel.ready and not session.transferred:
        session.release_control(resume=is_true(session.channel.variables.get("socket_resume", "")))
    await session.parse_all_events()
    resumed, session.resumed = session.resumed, False
    if session.ready and not resumed:
        session.channel.hangup("NORMAL_CLEARING")


async def _dial(
    session: Session, targets: list[str]
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

"""One Event Socket connection as FreeSWITCH holds it (mod_event_socket.c, ``parse_command``).

Connections that FreeSWITCH makes (:mod:`outbound`) and those that it accepts (:mod:`inbound`)
take the same commands.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid

from esl_controller.simulator.freeswitch import wire
from esl_controller.simulator.freeswitch.session import Switch, SwitchSession
from esl_controller.simulator.freeswitch.subscription import EVENT_NAMES, Subscription
from esl_controller.simulator.freeswitch.wire import CommandParser, SocketCommand, SwitchEvent

MAX_UNSENT = 8 * 1024 * 1024
"""Bytes that a peer may leave unread; beyond, it is cut off, as FreeSWITCH does for lost events."""


class EventSocketConnection:
    """Commands in, replies and events out, for one peer."""

    def __init__(
        self,
        switch: Switch,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        session: SwitchSession | None = None,
    ) -> None:
        self.switch = switch
        self.session = session
        self.running = True
        self._reader = reader
        self._writer = writer
        self._subscription = Subscription()
        self._linger: int | None = None
        self._count = 0
        self.closed = asyncio.Event()
        """Nothing of the connection is left."""

    # The connection

    async def serve(self) -> None:
        """Answer commands until the peer leaves, ``exit``, or the connection breaks."""
        parser = CommandParser()
        self.switch.core.listeners.append(self.event)
        try:
            while self.running:
                data = await self._reader.read(65536)
                if not data:
                    break
                for command in parser.feed(data):
                    await self._answer(command)
                    if not self.running:
                        break
        except (OSError, wire.CommandTooLong):
            pass
        finally:
            self.running = False
            self.switch.core.listeners.remove(self.event)

    async def _answer(self, command: SocketCommand) -> None:
        self._count += 1
        if self._strikes("socket_cut_after_commands"):
            self.cut()
            return
        answer = await self.command(command)
        if self.session is not None and self.session.channel.faults.reply_delay:
            await asyncio.sleep(self.session.channel.faults.reply_delay)
        if self._strikes("garbage_after_commands"):
            self.write(b"\xff\xfe garbage \x00\r\nContent-Length: many\n\n\n")
        self.write(answer)

    def _strikes(self, fault: str) -> bool:
        """Whether a fault is due at this command; each strikes once in a call."""
        if self.session is None:
            return False
        due = getattr(self.session.channel.faults, fault) == self._count
        return due and self.session.first(fault)

    def write(self, data: bytes) -> None:
        """Send to the peer; it is cut off if it reads nothing."""
        if not self.running or self._writer.is_closing() or not data:
            return
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT:
            self.cut()

    def cut(self) -> None:
        """Reset the connection."""
        self.running = False
        self._writer.transport.abort()

    def refuse(self, answer: bytes) -> None:
        """Send a last answer; the connection is over."""
        self.write(answer)
        self.running = False

    async def close(self) -> None:
        """Say goodbye and close."""
        self._leave()
        try:
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
        finally:
            self.closed.set()

    def _leave(self) -> None:
        if not self._writer.is_closing():
            ident = self.session.channel.uuid if self.session else None
            self._writer.write(wire.goodbye_notice(ident))
            self._writer.close()

    def channel_down(self) -> None:
        """The call is over: tell a peer that lingers, disconnect any other."""
        if self.session is None or not self.running:
            return
        if self._linger is None:
            self._leave()
            return
        profile = self.session.channel.profile
        self.write(wire.linger_notice(profile.uuid, profile.channel_name, self._linger))
        if self._linger >= 0:
            asyncio.get_running_loop().call_later(self._linger, self._leave)

    # Events

    def event(self, event: SwitchEvent) -> None:
        """Send an event if the peer asked for it."""
        if self.running and self._subscription.wants(event):
            self.write(event.json() if self._subscription.format == "json" else event.plain())

    # Commands

    async def command(self, command: SocketCommand) -> bytes:
        """The answer to one command."""
        line = command.line
        name, _, rest = line.partition(" ")
        name = name.lower()
        if name in ("api", "bgapi") and rest:
            return await self._api(name, rest, command)
        if name.startswith(("exit", "...")):
            self.refuse(wire.reply("+OK bye"))
            return b""
        if name == "connect" and self.session:
            return self._connect()
        return wire.reply(self._simple(name, rest.strip(), command))

    def _simple(self, name: str, rest: str, command: SocketCommand) -> str:
        match name:
            case "linger" | "nolinger":
                return self._set_linger(name, rest)
            case "myevents":
                return self._set_myevents(rest)
            case "event":
                return self._subscription.add(rest.split())
            case "nixevent":
                return self._subscription.remove(rest.split())
            case "noevents":
                return self._subscription.clear()
            case "filter":
                return self._subscription.filter(rest)
            case "sendmsg":
                return self._sendmsg(rest or command.get("session-id"), command)
            case "sendevent":
                return self._sendevent(rest.split(" ")[0].upper(), command)
            case "resume" if self.session:
                self.session.channel.variables["socket_resume"] = "true"
                return "+OK"
            case "getvar" if self.session:
                return self.session.channel.variables.get(rest, "") or "-ERR command not found"
            case "divert_events":
                return "+OK events diverted" if rest == "on" else "+OK events not diverted"
            case "log" | "nolog":
                return f"+OK log level {rest} [7]" if name == "log" else "+OK no longer logging"
        return "-ERR command not found"

    def _connect(self) -> bytes:
        assert self.session is not None
        channel = self.session.channel
        headers = self.switch.core.headers("CHANNEL_DATA")
        headers += channel.profile.headers("Channel", direction=channel.direction)
        headers += channel.headers() + channel.variable_headers()
        headers += [
            ("Content-Type", "command/reply"),
            ("Reply-Text", "+OK\n"),
            ("Socket-Mode", "async"),
            ("Control", "full"),
        ]
        self.connected()
        return wire.serialise(headers)

    def connected(self) -> None:
        """The peer said ``connect``; an outbound connection goes on from here."""

    def _set_linger(self, name: str, rest: str) -> str:
        if self.session is None:
            return "-ERR not controlling a session"
        if name == "nolinger":
            self._linger = None
            return "+OK will not linger"
        if rest:
            self._linger = int(rest) if rest.isdigit() else 0
            return f"+OK will linger {self._linger} seconds"
        self._linger = -1
        return "+OK will linger"

    def _set_myevents(self, rest: str) -> str:
        ident, _, form = rest.partition(" ")
        if self.session is None:
            self.session = self.switch.sessions.get(ident)
            if self.session is None:
                return "-ERR invalid uuid"
        return self._subscription.myevents(self.session.channel.uuid, form or ident)

    def _sendmsg(self, ident: str, command: SocketCommand) -> str:
        session = self.switch.sessions.get(ident) if ident else self.session
        if session is None:
            return f"-ERR invalid session id [{ident}]"
        return "+OK" if session.queue(command) else "-ERR memory error"

    def _sendevent(self, name: str, command: SocketCommand) -> str:
        if name not in EVENT_NAMES:
            return "-ERR invalid event"
        ident = str(uuid.uuid4())
        headers = self.switch.core.headers(name) + list(command.headers)
        headers.append(("Event-UUID", ident))
        subclass = command.get("Event-Subclass") or None
        self.switch.core.fire(SwitchEvent(name, headers, command.body, subclass))
        return f"+OK {ident}"

    async def _api(self, name: str, rest: str, command: SocketCommand) -> bytes:
        api, _, arg = rest.strip().partition(" ")
        if name == "api":
            return wire.api_response(await self.switch.api(api, arg))
        job = command.get("job-uuid") or str(uuid.uuid4())
        owner = self.session.channel.uuid if self.session else ""
        self.switch.spawn(self._job(job, owner, api, arg))
        return wire.job_reply(job)

    async def _job(self, job: str, owner: str, api: str, arg: str) -> None:
        result = await self.switch.api(api, arg)
        headers = self.switch.core.headers("BACKGROUND_JOB")
        headers += [("Job-UUID", job), ("Job-Owner-UUID", owner), ("Job-Command", api)]
        if arg:
            headers.append(("Job-Command-Arg", arg))
        self.switch.core.fire(SwitchEvent("BACKGROUND_JOB", headers, result))

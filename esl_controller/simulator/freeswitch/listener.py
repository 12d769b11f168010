"""One Event Socket connection as FreeSWITCH holds it (mod_event_socket.c, ``parse_command``).

The same commands serve the connection that FreeSWITCH dials and the one that it is dialled on;
:mod:`outbound` and :mod:`inbound` begin and end them.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from typing import TYPE_CHECKING

from esl_controller.simulator.freeswitch import wire
from esl_controller.simulator.freeswitch.session import Session
from esl_controller.simulator.freeswitch.wire import Command, CommandParser, Event

if TYPE_CHECKING:
    from esl_controller.simulator.freeswitch.switch import SwitchStandIn

MAX_UNSENT = 8 * 1024 * 1024
"""Bytes that a peer may leave unread; then its connection is cut, as lost events do it there."""

MYEVENTS = frozenset(
    {
        "CHANNEL_ANSWER",
        "CHANNEL_APPLICATION",
        "CHANNEL_BRIDGE",
        "CHANNEL_CREATE",
        "CHANNEL_DATA",
        "CHANNEL_DESTROY",
        "CHANNEL_EXECUTE",
        "CHANNEL_EXECUTE_COMPLETE",
        "CHANNEL_HANGUP",
        "CHANNEL_HANGUP_COMPLETE",
        "CHANNEL_ORIGINATE",
        "CHANNEL_UUID",
        "CHANNEL_OUTGOING",
        "CHANNEL_PARK",
        "CHANNEL_PROGRESS",
        "CHANNEL_PROGRESS_MEDIA",
        "CHANNEL_STATE",
        "CHANNEL_UNBRIDGE",
        "CHANNEL_UNPARK",
        "DETECTED_SPEECH",
        "DTMF",
        "NOTALK",
        "TALK",
    }
)
"""What ``myevents`` asks for (source)."""

_FORMATS = ("plain", "json", "xml")
_EVENT_NAME = re.compile(r"[A-Z_0-9]+\Z")


class Listener:
    """Commands in, replies and events out, for one peer."""

    def __init__(
        self,
        switch: SwitchStandIn,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        session: Session | None = None,
    ) -> None:
        self.switch = switch
        self.session = session
        self.running = True
        self._reader = reader
        self._writer = writer
        self._format = "plain"
        self._events: set[str] = set()
        self._subclasses: set[str] = set()
        self._filters: list[tuple[str, str]] = []
        self._myevents = False
        self._linger: int | None = None
        self._count = 0

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

    async def _answer(self, command: Command) -> None:
        self._count += 1
        faults = self.session.channel.faults if self.session else self.switch.faults
        if faults.socket_cut_after_commands == self._count:
            self.cut()
            return
        answer = await self.command(command)
        if faults.reply_delay:
            await asyncio.sleep(faults.reply_delay)
        if faults.garbage_after_commands == self._count:
            self.write(b"\xff\xfe garbage \x00\r\nContent-Length: many\n\n\n")
        self.write(answer)

    def write(self, data: bytes) -> None:
        """Send to the peer; one that reads nothing is cut off."""
        if not self.running or self._writer.is_closing() or not data:
            return
        self._writer.write(data)
        if self._writer.transport.get_write_buffer_size() > MAX_UNSENT:
            self.cut()

    def cut(self) -> None:
        """Reset the connection."""
        self.running = False
        self._writer.transport.abort()

    async def close(self) -> None:
        """Say goodbye and close."""
        uuid_ = self.session.channel.uuid if self.session else None
        if not self._writer.is_closing():
            self._writer.write(wire.goodbye_notice(uuid_))
            self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()

    def channel_down(self) -> None:
        """The call is over: a lingering peer is told and kept, another is sent away."""
        if self.session is None or not self.running:
            return
        if self._linger is None:
            self.running = False
            self._reader.feed_eof()
            return
        profile = self.session.channel.profile
        self.write(wire.linger_notice(profile.uuid, profile.channel_name, self._linger))
        if self._linger >= 0:
            asyncio.get_running_loop().call_later(self._linger, self._reader.feed_eof)

    # Events

    def event(self, event: Event) -> None:
        """Send an event if the peer asked for it."""
        if not self.running or not self._wanted(event):
            return
        self.write(event.json() if self._format == "json" else event.plain())

    def _wanted(self, event: Event) -> bool:
        if event.name == "CUSTOM" and "ALL" not in self._events:
            if event.subclass not in self._subclasses:
                return False
        elif not self._events & {event.name, "ALL"}:
            return False
        if self._filters and not any(event.get(n) == v for n, v in self._filters):
            return False
        if self._myevents and self.session is not None:
            return event.get("Unique-ID") == self.session.channel.uuid
        return True

    # Commands

    async def command(self, command: Command) -> bytes:
        """The answer to one command."""
        line = command.line
        name, _, rest = line.partition(" ")
        name = name.lower()
        if name in ("api", "bgapi") and rest:
            return await self._api(name, rest, command)
        if name.startswith(("exit", "...")):
            self.running = False
            self._writer.write(wire.reply("+OK bye"))
            return b""
        if name == "connect" and self.session:
            return self._connect()
        return wire.reply(self._simple(name, rest.strip(), command))

    def _simple(self, name: str, rest: str, command: Command) -> str:
        match name:
            case "linger" | "nolinger":
                return self._set_linger(name, rest)
            case "myevents":
                return self._set_myevents(rest)
            case "event":
                return self._set_events(rest.split())
            case "nixevent":
                return self._nix_events(rest.split())
            case "noevents":
                self._events.clear()
                self._subclasses.clear()
                return "+OK no longer listening for events"
            case "filter":
                return self._filter(rest)
            case "sendmsg":
                return self._sendmsg(rest or command.get("session-id"), command)
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
        if self._myevents:
            return "-ERR aready enabled."
        ident, _, form = rest.partition(" ")
        if self.session is None:
            self.session = self.switch.sessions.get(ident)
            if self.session is None:
                return "-ERR invalid uuid"
        self._set_format(form or ident)
        self._myevents = True
        self._events |= MYEVENTS
        return "+OK Events Enabled"

    def _set_format(self, word: str) -> None:
        if word.lower() in _FORMATS:
            self._format = word.lower()

    def _set_events(self, words: list[str]) -> str:
        if words and words[0].lower() in _FORMATS:
            self._set_format(words.pop(0))
        keys = 0
        custom = False
        for word in words:
            if custom:
                self._subclasses.add(word)
            elif _EVENT_NAME.match(word.upper()):
                keys += 1
                custom = word.upper() == "CUSTOM"
                self._events.add(word.upper())
        if not keys:
            return "-ERR no keywords supplied"
        return f"+OK event listener enabled {self._format}"

    def _nix_events(self, words: list[str]) -> str:
        if not words:
            return "-ERR no keywords supplied"
        custom = False
        for word in words:
            if custom:
                self._subclasses.discard(word)
            else:
                custom = word.upper() == "CUSTOM"
                self._events.discard(word.upper())
        return "+OK events nixed"

    def _filter(self, rest: str) -> str:
        name, _, value = rest.partition(" ")
        if name.lower() == "delete" and value:
            name, _, value = value.partition(" ")
            self._filters = [
                f
                for f in self._filters
                if not (name.lower() == "all" or (f[0] == name and value in ("", f[1])))
            ]
            return f"+OK filter deleted. [{name}][{value}]"
        if not value:
            return "-ERR invalid syntax"
        if name.lower() == "add":
            name, _, value = value.partition(" ")
        self._filters.append((name, value))
        return f"+OK filter added. [{name}]=[{value}]"

    def _sendmsg(self, ident: str, command: Command) -> str:
        session = self.switch.sessions.get(ident) if ident else self.session
        if session is None:
            return f"-ERR invalid session id [{ident}]"
        return "+OK" if session.queue(command) else "-ERR memory error"

    async def _api(self, name: str, rest: str, command: Command) -> bytes:
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
        self.switch.core.fire(Event("BACKGROUND_JOB", headers, result))

"""One call at FreeSWITCH: its commands as methods, its events as types.

For each call that reaches our extension, the dialplan's ``socket HOST:PORT async full`` makes
FreeSWITCH dial us: an outbound socket. Nothing arrives until we send ``connect``; its reply holds
the channel's data. ``async`` lets commands run while others do, ``full`` allows all of them, also
API commands. The channel is parked for as long as the connection lives; when the connection ends,
the dialplan goes on (docs/design/freeswitch.md#the-outbound-socket).

Replies come in order, and a reply proves only that the command was accepted:

- ``execute``: ``+OK`` before the application starts; CHANNEL_EXECUTE_COMPLETE tells how it ended.
- ``answer``: the same; media flows from CHANNEL_ANSWER on.
- ``unicast``: ``+OK`` even if the port could not be bound; the first datagram is the proof.
- ``uuid_audio_stream ... start``: ``+OK`` before the module has connected; its audio is the proof.

Genesis frames the messages and matches replies to commands; ``reader.py`` bounds what it gets. What
may be sent is checked in ``wire.py``; ``events.py`` reads what comes.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from typing import cast
from uuid import uuid4

import structlog

from esl_controller.call.events import Dtmf
from esl_controller.call.hops import Hops
from esl_controller.freeswitch import dialplan, events, wire
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.esl import (
    CommandStage,
    ConnectionLost,
    ESLEvent,
    GenesisError,
    Session,
)
from esl_controller.freeswitch.events import FilePlayed, FilePlaying, LaneCommanded, SwitchEvent
from esl_controller.freeswitch.keys import KeyPresses
from esl_controller.freeswitch.reader import BoundedReader
from esl_controller.freeswitch.wire import (
    CallGone,
    Command,
    Place,
    SwitchError,
    SwitchGone,
    UnsafeValue,
    word,
)

log = structlog.stdlib.get_logger(__name__)

LANE_CLOSED_S = 1.0
COMMAND_S = 5.0  # a reply takes 0.1-0.5 ms; a switch that needs longer than this is in trouble
EARLY_EVENTS = 100  # buffered without a handler; the oldest go, because the last may be a hangup
_CAUSE = re.compile(r"[A-Z_]{1,64}")
PING_S = 10.0  # how often the switch is asked whether the call exists
LINGER_S = 5  # of the switch, in whole seconds: time to read the last events of a call that is over


class SwitchConnection:
    """One call's connection. Use: ``async with SwitchConnection.over(reader, writer) as switch``.

    ``dropped`` counts events that were malformed or another call's. ``mute_since``: when the
    switch was asked something that it did not answer, by the loop's clock; None if it answers or
    the connection is gone (``wait_lost``).
    """

    def __init__(self, session: Session) -> None:
        self.channel: Channel | None = None
        self.dropped = 0
        self.mute_since: float | None = None
        self._session = session
        self._buffered: deque[SwitchEvent] = deque(maxlen=EARLY_EVENTS)
        self._handler: Callable[[SwitchEvent], None] = self._buffered.append
        self._lanes: dict[int, asyncio.Future[None]] = {}  # by port; done when it was carried out
        self._plays: dict[str, asyncio.Event] = {}  # by id; set when the file was played
        self._keys = KeyPresses()
        session.on("*", self._received)

    @classmethod
    @contextlib.asynccontextmanager
    async def over(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> AsyncIterator[SwitchConnection]:
        """Use a connection that was accepted with ``limit=BLOCK_LIMIT``; it is closed at the
        end."""
        bounded = cast(asyncio.StreamReader, BoundedReader(reader))
        async with Session(bounded, writer) as session:
            guard = asyncio.create_task(_stop_when_unreadable(session))
            try:
                yield cls(session)
            finally:
                guard.cancel()
                await asyncio.gather(guard, return_exceptions=True)

    def handle_events(self, handler: Callable[[SwitchEvent], None]) -> None:
        """Call ``handler`` in the event loop for each event, in the order of the wire, beginning
        with those that were buffered.

        Events are buffered until then: a caller may hang up while we look up who is calling, and
        FreeSWITCH reports that only once.
        """
        self._handler = handler
        while self._buffered:
            handler(self._buffered.popleft())

    def buffer_events(self) -> None:
        """Remove the handler: events are kept for the next one, at most ``EARLY_EVENTS``."""
        self._handler = self._buffered.append

    async def connect(self) -> Channel:
        """Get the channel's data and subscribe to its events; returns the data.

        ``linger`` keeps the connection open after the hangup, so that the last events are read. It
        has to have an end: without a number, a controller that is frozen by then would keep the
        channel for as long as it is (docs/design/freeswitch.md#linger). The four commands go out
        together; FreeSWITCH replies in order. Raises SwitchError.
        """
        replies = await asyncio.gather(
            self._send(wire.line("connect")),
            self._send(wire.line(f"linger {LINGER_S}")),
            self._send(wire.line("myevents")),
            self._send(wire.line(events.SUBSCRIPTION)),
            return_exceptions=True,
        )
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        first = replies[0]
        assert isinstance(first, ESLEvent)
        try:
            self.channel = Channel.parse(first)
        except ValueError as error:
            raise SwitchError(str(error)) from None
        return self.channel

    async def wait_lost(self) -> str:
        """Wait until the connection is gone, or the switch has not replied for ``PING_S +
        COMMAND_S``; returns the reason.

        The switch has to be asked: TCP does not notice a process that hangs, and a network that
        swallows packets only after a quarter of an hour.
        """
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    await self._session.wait_lost(CommandStage.ACCEPTED)
            except ConnectionLost:
                return "the Event Socket connection was lost"
            except TimeoutError:
                asked_at = asyncio.get_running_loop().time()
                try:
                    await self._api("uuid_exists", self._uuid)
                except SwitchError as error:
                    if not isinstance(error, CallGone):
                        self.mute_since = asked_at
                    return f"the switch no longer answers: {error}"

    async def exists(self) -> bool:
        """Whether the call is not over, as far as the switch says within ``COMMAND_S``. FreeSWITCH
        no longer finds a channel from the moment of its hangup on, so before it closes anything of
        the channel's (``switch_core_session_read_lock``, switch_core_rwlock.c)."""
        try:
            return await self._api("uuid_exists", self._uuid) != "false"
        except SwitchError as error:
            return not isinstance(error, CallGone)

    # --- commands ---------------------------------------------------------------------------------

    async def answer(self) -> None:
        """Answer the call. It is answered when ``Answered`` comes."""
        await self._execute("answer")

    async def hang_up(self, cause: str) -> None:
        """End the call with one of FreeSWITCH's causes, such as NORMAL_CLEARING."""
        await self._sendmsg({"call-command": "hangup", "hangup-cause": word("cause", cause)})

    async def set_variable(self, name: str, value: str) -> None:
        """Set a channel variable."""
        await self._api("uuid_setvar", self._uuid, word("variable", name), wire.text(name, value))

    async def confirm_taken(self) -> None:
        """Tell the dialplan that we have the call, so that its ladder begins anew if we are lost.

        To be sent once the caller is being served: a controller that is lost before counts as a try
        that failed. Does nothing if the dialplan has no ladder.
        """
        assert self.channel is not None, "connect first"
        if home := self.channel.variables.get("controller_home", ""):
            await self.set_variable("controller_again", home)

    async def start_stream(self, url: str, mix: str, rate: str, token: str) -> None:
        """Have mod_audio_stream send the caller's audio to the WebSocket ``url``.

        It connects after the reply, or ``StreamFailed`` comes. Raises NoSuchCommand if the module
        is not loaded.
        """
        headers = json.dumps({"Authorization": f"Bearer {token}"})
        await self.set_variable("STREAM_EXTRA_HEADERS", headers)
        words = word("url", url), word("mix", mix), word("rate", rate)
        await self._api("uuid_audio_stream", self._uuid, "start", *words)

    async def stop_stream(self) -> None:
        """Stop mod_audio_stream. Needed before another start, even if its WebSocket is gone."""
        await self._api("uuid_audio_stream", self._uuid, "stop")

    async def unicast(
        self, switch: tuple[str, int], controller: tuple[str, int]
    ) -> asyncio.Future[None]:
        """Have FreeSWITCH bind ``switch`` and exchange frames with ``controller``, see
        ``wire.unicast``. The result is done when the channel has carried that out, or has failed
        to: before, nobody knows whether a lane is going to open."""
        carried_out = asyncio.get_running_loop().create_future()
        self._lanes[switch[1]] = carried_out
        await self._sendmsg(wire.unicast(switch, controller))
        return carried_out

    def new_play_id(self) -> str:
        """An id for ``play``, which its events ``FilePlaying`` and ``FilePlayed`` will have."""
        play_id = str(uuid4())
        self._plays[play_id] = asyncio.Event()
        return play_id

    async def play(self, path: str, play_id: str) -> None:
        """Play a file that is on the switch, after those that wait to be played."""
        await self._execute("playback", path, event_uuid=play_id, lock=True)

    async def break_play(self) -> None:
        """Stop the file that is being played, and drop those that wait."""
        await self._api("uuid_break", self._uuid, "all")

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
        await self.set_variable("call_timeout", str(timeout_s))
        await self._api("uuid_setvar", self._uuid, "socket_resume")
        # What an earlier bridge left there must not be taken for what becomes of this one.
        await self._api("uuid_setvar", self._uuid, "originate_disposition")
        home = await self._home() if returns else None
        if home is None:
            await self._carry(hops)
            words = [str(to)]
        else:
            if await self._variable("transfer_ringback") == "":
                await self.set_variable("transfer_ringback", dialplan.RINGING)
            await self.set_variable(dialplan.HOPS, str(hops))
            way = dialplan.Way(to, home, timeout_s, returns, hops, only_unreached)
            words = [f"'{dialplan.bridge_and_return(way)}'", "inline"]
        with contextlib.suppress(SwitchError):
            await self.stop_stream()
        await self._api("sched_del", self._uuid)
        await self._close_lane()
        await self._api("uuid_transfer", self._uuid, *words)

    async def _home(self) -> Place | None:
        """Our own extension, for a caller who is to come back; None if that cannot be."""
        assert self.channel is not None, "connect first"
        try:
            home = Place.parse(self.channel.variables.get("controller_home", ""))
        except UnsafeValue:
            log.warning("the caller cannot come back: the dialplan sets no controller_home")
            return None
        if await self._api("module_exists", "mod_loopback") != "true":
            log.warning("the caller cannot come back: FreeSWITCH has not loaded mod_loopback")
            return None
        return home

    async def answered_instead(self, leg: str) -> str:
        """Why nobody answered a transferred caller who is bridged to ``leg``, if a mailbox or an
        announcement did; else empty. The channel keeps it, too (``Channel.instead``).

        The far end of our loopback call knows: its ``originate_disposition`` is the cause of a
        bridge that failed before its dialplan went on to answer by itself
        (docs/design/freeswitch.md#who-was-reached).
        """
        with contextlib.suppress(SwitchError):
            far = await self._variable("other_loopback_leg_uuid", word("leg", leg))
            cause = await self._variable("originate_disposition", word("leg", far))
            if _CAUSE.fullmatch(cause) and cause != "SUCCESS":
                await self.set_variable(dialplan.INSTEAD, cause)
                return cause
        return ""

    async def _carry(self, hops: Hops) -> None:
        """Have the channel carry the hops, and every leg that it makes from now on."""
        await self.set_variable(dialplan.HOPS, str(hops))
        exported = [name for name in (await self._variable("export_vars")).split(",") if name]
        if dialplan.HOPS not in exported:
            await self.set_variable("export_vars", ",".join([*exported, dialplan.HOPS]))

    async def _variable(self, name: str, uuid: str = "") -> str:
        """A variable of the channel, or of another one, as it is now; empty if it is not set."""
        value = await self._api("uuid_getvar", uuid or self._uuid, name)
        return "" if value == "_undef_" else value

    async def new_park(self, parks: int) -> None:
        """Have the switch dial us again for this call, where a lane can be opened anew; the channel
        then tells ``parks`` (``Channel.parks``). Not while the caller holds us: a transfer makes
        FreeSWITCH take the call off hold.

        This connection stays open beside the new one until the call is over
        (docs/design/freeswitch.md#a-replaced-connection-stays-open). If it breaks on the way there,
        that must not reset the channel, so `socket_resume` is unset in between
        (docs/design/freeswitch.md#a-connection-closed-after-a-transfer). Raises SwitchError.
        """
        assert self.channel is not None, "connect first"
        channel = self.channel
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
            self._api("uuid_setvar", self._uuid, "socket_resume"),
            self._api("uuid_transfer", self._uuid, f"'{line}'", "inline"),
            return_exceptions=True,
        )
        if isinstance(transferred, BaseException):
            if resumes and not isinstance(unset, BaseException):
                await self.set_variable("socket_resume", "true")
            raise transferred

    async def _close_lane(self) -> None:
        """Play a file of 20 ms, so that the channel's own thread closes the lane. ``uuid_transfer``
        would close it in another thread; if both do, they may wait for the lane's thread for good,
        and the caller with them (docs/design/freeswitch.md#two-threads-that-close-it)."""
        play_id = self.new_play_id()
        played = self._plays[play_id]
        await self.play("silence_stream://20", play_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LANE_CLOSED_S):
                await played.wait()

    async def send_dtmf(self, digits: str) -> None:
        """Send DTMF digits to the caller's side; w is a pause of half a second."""
        await self._api("uuid_send_dtmf", self._uuid, word("digits", digits))

    async def schedule_hangup(self, seconds: float) -> None:
        """Have the switch hang up after ``seconds``, whatever becomes of us. An earlier limit is
        lifted: FreeSWITCH would keep both."""
        await self._api("sched_del", self._uuid)
        await self._api("sched_hangup", f"+{seconds:.0f}", self._uuid)

    async def start_recording(self, folder: str, name: str) -> None:
        """Record the call into a file on the switch, the caller left and us right; what is in the
        file stays before it. FusionPBX shows the file in its call records if the channel names it
        in ``record_path`` and ``record_name``."""
        path = wire.quoted("file", f"{folder}/{name}")
        for variable in ("RECORD_STEREO", "RECORD_APPEND"):
            await self.set_variable(variable, "true")
        await self.set_variable("record_path", folder)
        await self.set_variable("record_name", name)
        await self._api("uuid_record", self._uuid, "start", path)

    async def stop_recording(self, path: str) -> None:
        """Stop a recording, and keep what is in the file."""
        await self._api("uuid_record", self._uuid, "stop", wire.quoted("file", path))

    # --- sending and receiving --------------------------------------------------------------------

    @property
    def _uuid(self) -> str:
        assert self.channel is not None, "connect first"
        return self.channel.uuid

    async def _execute(
        self, application: str, data: str = "", event_uuid: str = "", lock: bool = False
    ) -> None:
        headers = {"call-command": "execute", "execute-app-name": word("app", application)}
        if data:
            headers["execute-app-arg"] = wire.text(application, data)
        if event_uuid:
            headers["Event-UUID"] = event_uuid
        if lock:
            headers["event-lock"] = "true"
        await self._sendmsg(headers)

    async def _sendmsg(self, headers: Mapping[str, str]) -> None:
        reply = await self._send(wire.sendmsg(headers))
        wire.accepted(headers["call-command"], wire.header(reply, "Reply-Text"))

    async def _api(self, command: str, *arguments: str) -> str:
        reply = await self._send(wire.api(command, *arguments))
        return wire.accepted(command, (reply.body or "").strip())

    async def _send(self, command: Command) -> ESLEvent:
        name = wire.name_of(command)
        try:
            async with asyncio.timeout(COMMAND_S):
                return await self._session.send(command)
        except TimeoutError:
            raise SwitchError(f"no reply to {name} within {COMMAND_S:g} s") from None
        except (GenesisError, OSError) as error:
            raise SwitchGone(f"{name}: the connection is gone ({error})") from error

    async def _received(self, event: ESLEvent) -> None:
        """Called by Genesis for each event, each in its own task, started in the wire's order."""
        if self.channel is not None and wire.header(event, "Unique-ID") != self.channel.uuid:
            self.dropped += 1
            return
        try:
            typed = events.parse(event, event.body)
        except (ValueError, TypeError, KeyError) as error:
            self.dropped += 1
            name = wire.header(event, "Event-Subclass") or wire.header(event, "Event-Name")
            log.warning("an event of FreeSWITCH cannot be read", event_type=name, why=error)
            return
        if isinstance(typed, FilePlaying | FilePlayed) and typed.id not in self._plays:
            return  # an application that is not one of our files
        if isinstance(typed, Dtmf) and not self._keys.is_new(event):
            return  # the same press, told once more
        if isinstance(typed, FilePlayed):
            self._plays.pop(typed.id).set()
        if isinstance(typed, LaneCommanded):
            carried_out = self._lanes.pop(typed.port, None)
            if carried_out is not None and not carried_out.done():
                carried_out.set_result(None)
        elif typed is not None:
            self._handler(typed)


async def _stop_when_unreadable(session: Session) -> None:
    """Close the connection when bytes come that are no Event Socket message.

    Genesis' reader stops at them without telling anyone: commands would wait for replies in vain.
    """
    reader = session.producer
    assert reader is not None
    await asyncio.wait([reader])
    if not reader.cancelled() and (error := reader.exception()) is not None:
        log.warning("FreeSWITCH sent bytes that are no Event Socket message", reason=str(error))
        await session.stop()


def _is_place(transfer: str) -> bool:
    with contextlib.suppress(UnsafeValue):
        Place.parse(transfer)
        return True
    return False

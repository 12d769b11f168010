"""One call at FreeSWITCH: its commands as methods, its events as types.

For each call that reaches our extension, the dialplan's ``socket HOST:PORT async full`` makes
FreeSWITCH dial us: an outbound socket. Nothing arrives until we send ``connect``; its reply holds
the channel's data. ``async`` lets commands run while others do, ``full`` allows all of them, also
API commands. The channel is parked for as long as the connection lives; when the connection ends,
the dialplan goes on (docs/design/freeswitch.md#the-outbound-socket).

A reply proves only that the command was accepted:

- ``execute``: ``+OK`` before the application starts; CHANNEL_EXECUTE_COMPLETE tells how it ended.
- ``answer``: the same; media flows from CHANNEL_ANSWER on.
- ``unicast``: ``+OK`` even if the port could not be bound; the first datagram is the proof.
- ``uuid_audio_stream ... start``: ``+OK`` before the module has connected; its audio is the proof.

Genesis frames the messages; ``reader.py`` bounds what it gets. ``channel_commands.py`` sends and
awaits replies, ``channel_events.py`` takes what comes, ``transfers.py`` moves the call on.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable

import structlog

from esl_controller.freeswitch import dialplan, events, wire
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.channel_commands import ChannelCommands
from esl_controller.freeswitch.channel_events import ChannelEvents
from esl_controller.freeswitch.esl import (
    CommandStage,
    ConnectionLost,
    ESLEvent,
    Session,
)
from esl_controller.freeswitch.events import SwitchEvent
from esl_controller.freeswitch.reader import bounded_session
from esl_controller.freeswitch.transfers import Transfers
from esl_controller.freeswitch.wire import (
    CallGone,
    Place,
    SwitchError,
    word,
)

log = structlog.stdlib.get_logger(__name__)

PING_S = 10.0  # how often the switch is asked whether the call exists
LINGER_S = 5  # of the switch, in whole seconds: time to read the last events of a call that is over


class SwitchConnection:
    """One call's connection. Use: ``async with SwitchConnection.over(reader, writer) as switch``.

    ``mute_since``: when the switch was asked something that it did not answer, by the loop's clock;
    None if it answers or the connection is gone (``wait_lost``).
    """

    def __init__(self, session: Session) -> None:
        self.channel: Channel | None = None
        self.mute_since: float | None = None
        self._session = session
        self._commands = ChannelCommands(session)
        self._events = ChannelEvents()
        session.on("*", self._events.received)

    @classmethod
    @contextlib.asynccontextmanager
    async def over(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> AsyncIterator[SwitchConnection]:
        """Use a connection that was accepted with ``limit=BLOCK_LIMIT``; it is closed at the
        end."""
        async with bounded_session(reader, writer) as session:
            yield cls(session)

    @property
    def dropped(self) -> int:
        """How many events were malformed or another call's."""
        return self._events.dropped

    def handle_events(self, handler: Callable[[SwitchEvent], None]) -> None:
        """Call ``handler`` for each event, beginning with those that were buffered."""
        self._events.handle(handler)

    def buffer_events(self) -> None:
        """Remove the handler: events are kept for the next one."""
        self._events.buffer()

    async def connect(self) -> Channel:
        """Get the channel's data and subscribe to its events; returns the data.

        ``linger`` keeps the connection open after the hangup, so that the last events are read. It
        has to have an end: without a number, a controller that is frozen by then would keep the
        channel for as long as it is (docs/design/freeswitch.md#linger). The four commands go out
        together; FreeSWITCH replies in order. Raises SwitchError.
        """
        replies = await asyncio.gather(
            self._commands.send(wire.line("connect")),
            self._commands.send(wire.line("linger", str(LINGER_S))),
            self._commands.send(wire.line("myevents")),
            self._commands.send(wire.line(events.SUBSCRIPTION)),
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
        self._commands.uuid = self._events.uuid = self.channel.uuid
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
                    await self._commands.uuid_api("uuid_exists")
                except SwitchError as error:
                    if not isinstance(error, CallGone):
                        self.mute_since = asked_at
                    return f"the switch no longer answers: {error}"

    async def exists(self) -> bool:
        """Whether the call is not over, as far as the switch says within ``COMMAND_S``. FreeSWITCH
        no longer finds a channel from the moment of its hangup on, so before it closes anything of
        the channel's (``switch_core_session_read_lock``, switch_core_rwlock.c)."""
        try:
            return await self._commands.uuid_api("uuid_exists") != "false"
        except SwitchError as error:
            return not isinstance(error, CallGone)

    @property
    def transfers(self) -> Transfers:
        """The ways by which the call leaves its park."""
        assert self.channel is not None, "connect first"
        return Transfers(self.channel, self._commands, self._events)

    # --- commands ---------------------------------------------------------------------------------

    async def answer(self) -> None:
        """Answer the call. It is answered when ``Answered`` comes."""
        await self._commands.execute("answer")

    async def hang_up(self, cause: str) -> None:
        """End the call with one of FreeSWITCH's causes, such as NORMAL_CLEARING."""
        hangup = {"call-command": "hangup", "hangup-cause": word("cause", cause)}
        await self._commands.sendmsg(hangup)

    async def set_variable(self, name: str, value: str) -> None:
        """Set a channel variable."""
        await self._commands.set_variable(name, value)

    async def confirm_taken(self) -> None:
        """Tell the dialplan that we have the call, so that its ladder begins anew if we are lost.

        To be sent once the caller is being served: a controller that is lost before counts as a try
        that failed. Does nothing if the dialplan has no ladder.
        """
        assert self.channel is not None, "connect first"
        if home := self.channel.variables.get("controller_home", ""):
            await self.set_variable("controller_again", str(Place.parse(home)))

    async def start_stream(self, url: str, mix: str, rate: str, token: str) -> None:
        """Have mod_audio_stream send the caller's audio to the WebSocket ``url``.

        It connects after the reply, or ``StreamFailed`` comes. Raises NoSuchCommand if the module
        is not loaded.
        """
        headers = json.dumps({"Authorization": f"Bearer {token}"})
        await self.set_variable("STREAM_EXTRA_HEADERS", headers)
        words = word("url", url), word("mix", mix), word("rate", rate)
        await self._commands.uuid_api("uuid_audio_stream", "start", *words)

    async def stop_stream(self) -> None:
        """Stop mod_audio_stream. Needed before another start, even if its WebSocket is gone."""
        await self._commands.uuid_api("uuid_audio_stream", "stop")

    async def unicast(
        self, switch: tuple[str, int], controller: tuple[str, int]
    ) -> asyncio.Future[None]:
        """Have FreeSWITCH bind ``switch`` and exchange frames with ``controller``, see
        ``wire.unicast``. The result is done when the channel has carried that out, or has failed
        to: before, nobody knows whether a lane is going to open."""
        carried_out = self._events.expect_lane(switch[1])
        await self._commands.sendmsg(wire.unicast(switch, controller))
        return carried_out

    def new_play_id(self) -> str:
        """An id for ``play``, which its events ``FilePlaying`` and ``FilePlayed`` will have."""
        return self._events.expect_play()[0]

    async def play(self, path: str, play_id: str) -> None:
        """Play a file that is on the switch, after those that wait to be played."""
        await self._commands.play(path, play_id)

    async def break_play(self) -> None:
        """Stop the file that is being played, and drop those that wait."""
        await self._commands.uuid_api("uuid_break", "all")

    async def send_dtmf(self, digits: str) -> None:
        """Send DTMF digits to the caller's side; w is a pause of half a second."""
        await self._commands.uuid_api("uuid_send_dtmf", word("digits", digits))

    async def schedule_hangup(self, seconds: float) -> None:
        """Have the switch hang up after ``seconds``, whatever becomes of us. An earlier limit is
        lifted: FreeSWITCH would keep both."""
        await self._commands.uuid_api("sched_del")
        await self._commands.api("sched_hangup", f"+{seconds:.0f}", self._commands.uuid)

    async def start_recording(self, folder: str, name: str, *, ours_only: bool) -> None:
        """Record the call into a file on the switch, the caller left and us right; what is in the
        file stays before it. FusionPBX shows the file in its call records if the channel names it
        in ``record_path`` and ``record_name``. ``ours_only``: the dialplan stops it where no
        controller is left."""
        path = wire.quoted("file", f"{folder}/{name}")
        for variable in ("RECORD_STEREO", "RECORD_APPEND"):
            await self.set_variable(variable, "true")
        await self.set_variable("record_path", folder)
        await self.set_variable("record_name", name)
        await self._commands.unset_variable(dialplan.STOPPED)
        if ours_only:
            await self.set_variable(dialplan.UNRECORD, f"{self._commands.uuid} stop {path}")
        else:
            await self._commands.unset_variable(dialplan.UNRECORD)
        await self._commands.uuid_api("uuid_record", "start", path)

    async def stop_recording(self, path: str) -> None:
        """Stop a recording, and keep what is in the file."""
        await self._commands.uuid_api("uuid_record", "stop", wire.quoted("file", path))

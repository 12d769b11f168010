"""FreeSWITCH's commands and events as typed methods, over one outbound Event Socket connection.

Everything that goes onto the wire is checked here, because a line break in a value would start a
new header, that is, a new command (docs/design/freeswitch.md#the-outbound-socket); and everything
that comes from it is turned into ``events`` here. Genesis does the talking: framing, and matching
replies to commands under concurrency.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from uuid import uuid4

import structlog

from esl_controller.call.events import Answered, Dtmf, HungUp, StreamFailed
from esl_controller.freeswitch import dialplan
from esl_controller.freeswitch.channel import Channel, codec, one
from esl_controller.freeswitch.esl import (
    CommandStage,
    ConnectionLost,
    ESLEvent,
    GenesisError,
    Session,
)

log = structlog.stdlib.get_logger(__name__)

LANE_CLOSED_S = 1.0
COMMAND_S = 5.0  # a reply takes 0.1-0.5 ms; a switch that needs longer than this is in trouble
EARLY = 100  # events that wait for a listener; the oldest go, for the last may be the call's end
PING_S = 10.0  # so often it is asked, where nothing else would tell that it answers no more

DTMF_DIGITS = "0123456789*#ABCD"
STREAM_EVENTS = tuple(
    f"mod_audio_stream::{name}" for name in ("connect", "disconnect", "play", "json", "error")
)

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class SwitchError(Exception):
    """FreeSWITCH refused a command, did not reply in time, or the connection is gone."""


class SwitchGone(SwitchError):
    """The connection is gone: there is nobody to tell anything."""


class NoSuchCommand(SwitchError):
    """FreeSWITCH does not know the command: the module that brings it is not loaded."""


class UnsafeValue(ValueError):
    """Our own mistake: a value that must not go onto the wire."""


@dataclass(frozen=True)
class FilePlayed:
    """CHANNEL_EXECUTE_COMPLETE of a ``play``: ``ok`` says whether the file was found."""

    id: str
    ok: bool


@dataclass(frozen=True)
class FilePlaying:
    """CHANNEL_EXECUTE of a ``play``: the caller hears it from now on."""

    id: str


@dataclass(frozen=True)
class FileWritten:
    """``mod_audio_stream::play``: what we sent as streamAudio lies at ``path`` on the switch."""

    path: str


SwitchEvent = Answered | Dtmf | HungUp | StreamFailed | FilePlaying | FilePlayed | FileWritten


class SwitchConnection:
    """One call at FreeSWITCH. Use as ``async with Switch.over(reader, writer) as switch``.

    ``dropped`` counts events that were malformed or another call's.
    """

    def __init__(self, session: Session) -> None:
        self.channel: Channel | None = None
        self.dropped = 0
        self._session = session
        self._early: deque[SwitchEvent] = deque(maxlen=EARLY)
        self._tell: Callable[[SwitchEvent], None] = self._early.append
        self._plays: dict[str, asyncio.Event] = {}  # set at their ends
        session.on("*", self._received)

    @classmethod
    @contextlib.asynccontextmanager
    async def over(
        cls, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> AsyncIterator[SwitchConnection]:
        """Speak over an accepted connection; closes it at the end."""
        async with Session(reader, writer) as session:
            guard = asyncio.create_task(_stop_when_unreadable(session))
            try:
                yield cls(session)
            finally:
                guard.cancel()
                await asyncio.gather(guard, return_exceptions=True)

    def listen(self, tell: Callable[[SwitchEvent], None]) -> None:
        """Have ``tell`` called in the event loop for each event, in the order of the wire, and
        first for those that came while nobody listened: a caller may hang up while we look up who
        is calling, and that is told only once."""
        self._tell = tell
        while self._early:
            tell(self._early.popleft())

    def unheard(self) -> None:
        """Nobody listens any more: what comes waits for whoever does so next."""
        self._tell = self._early.append

    async def connect(self) -> Channel:
        """Take the call over: its data, its events and no other call's, and lingering.

        The four commands go out together; FreeSWITCH answers in order. Raises SwitchError.
        """
        replies = await asyncio.gather(
            self._send("connect"),
            self._send("linger"),
            self._send("myevents"),
            self._send(f"event plain CUSTOM {' '.join(STREAM_EVENTS)}"),
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
        """Return why once the connection is gone, whoever closed it or broke it; or is of no use:
        the switch, or the network to it, has been silent for ``PING_S + COMMAND_S``.

        TCP itself does not tell of a process that hangs, and of a network that swallows what we
        send only after a quarter of an hour.
        """
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    await self._session.wait_lost(CommandStage.ACCEPTED)
            except ConnectionLost:
                return "the Event Socket connection was lost"
            except TimeoutError:
                try:
                    await self._api("uuid_exists", self._uuid)
                except SwitchError as error:
                    return f"the switch answers no more: {error}"

    # --- commands ---------------------------------------------------------------------------------

    async def answer(self) -> None:
        """Answer the call. FreeSWITCH does it on the channel's next tick and says so by event."""
        await self._execute("answer")

    async def hang_up(self, cause: str) -> None:
        """End the call with one of FreeSWITCH's causes, such as NORMAL_CLEARING."""
        await self._sendmsg({"call-command": "hangup", "hangup-cause": _word("cause", cause)})

    async def set_variable(self, name: str, value: str) -> None:
        """Set a channel variable."""
        await self._api("uuid_setvar", self._uuid, _word("variable", name), _text(name, value))

    async def took(self) -> None:
        """Tell the dialplan that the call is ours, so that its ladder begins anew if we lose it.

        Give this once the call is held as it should be: a controller that is lost before counts as
        a try that failed. Without such a ladder nothing is done."""
        assert self.channel is not None, "connect first"
        if home := self.channel.variables.get("controller_home", ""):
            await self.set_variable("controller_again", home)

    async def start_stream(self, url: str, mix: str, rate: str, token: str) -> None:
        """Have mod_audio_stream send the caller's audio to ``url``.

        ``+OK`` does not mean connected: the WebSocket itself does, or a StreamFailed event. Raises
        NoSuchCommand where the module is not loaded.
        """
        headers = json.dumps({"Authorization": f"Bearer {token}"})
        await self.set_variable("STREAM_EXTRA_HEADERS", headers)
        await self._api(
            "uuid_audio_stream",
            self._uuid,
            "start",
            _word("url", url),
            _word("mix", mix),
            _word("rate", rate),
        )

    async def stop_stream(self) -> None:
        """Stop it. Needed before another ``start``, whatever became of the connection."""
        await self._api("uuid_audio_stream", self._uuid, "stop")

    async def open_lane(self, switch: tuple[str, int], controller: tuple[str, int]) -> None:
        """Ask FreeSWITCH to bind ``switch`` and exchange frames with ``controller`` over UDP.

        It says ``+OK`` in any case; the first datagram is the proof
        (docs/design/freeswitch.md#the-proof-that-it-is-open). Only after the answer: before, it
        aborts FreeSWITCH (docs/design/freeswitch.md#not-before-the-media). A lane that was closed
        is not opened again in the same park
        (docs/design/freeswitch.md#the-lane-opens-once-per-park).
        """
        await self._sendmsg(
            {
                "call-command": "unicast",
                "local-ip": _word("address", switch[0]),
                "local-port": str(switch[1]),
                "remote-ip": _word("address", controller[0]),
                "remote-port": str(controller[1]),
                "transport": "udp",
            }
        )

    def new_play(self) -> str:
        """An id for ``play``, which its FilePlaying and FilePlayed events will have."""
        play_id = str(uuid4())
        self._plays[play_id] = asyncio.Event()
        return play_id

    async def play(self, path: str, play_id: str) -> None:
        """Play a file on the switch after those already asked for."""
        await self._execute("playback", path, event_uuid=play_id, lock=True)

    async def break_play(self) -> None:
        """Stop the file that is being played and forget those that wait."""
        await self._api("uuid_break", self._uuid, "all")

    async def transfer(self, number: str, context: str, timeout_s: int, returns: int = 0) -> None:
        """Hand the caller to ``number`` in the dialplan's ``context``, and let go of the call.

        ``returns``: how often the caller will have come back after that, told by the channel then;
        0, or no ``controller_home`` in the dialplan: not at all. What is ours is undone before,
        for the caller may be back within 50 ms; with ``socket_resume`` set, closing our connection
        later would throw the caller out of there
        (docs/design/freeswitch.md#a-connection-closed-after-a-transfer).
        """
        assert self.channel is not None, "connect first"
        await self.set_variable("call_timeout", str(timeout_s))
        await self._api("uuid_setvar", self._uuid, "socket_resume")
        words = [_word("destination", number), "XML", _word("context", context)]
        home = self.channel.variables.get("controller_home", "")
        if returns and dialplan.HOME.fullmatch(home):
            if await self._api("uuid_getvar", self._uuid, "transfer_ringback") == "_undef_":
                await self.set_variable("transfer_ringback", dialplan.RINGING)
            way = dialplan.there_and_back(number, context, timeout_s, returns, home)
            words = [f"'{way}'", "inline"]
        elif returns:
            log.warning("the caller cannot come back: the dialplan sets no controller_home")
        with contextlib.suppress(SwitchError):
            await self.stop_stream()
        await self._api("sched_del", self._uuid)
        await self._close_lane()
        await self._api("uuid_transfer", self._uuid, *words)

    async def _close_lane(self) -> None:
        """Have the channel's own thread close the lane, by a file. ``uuid_transfer`` does it in
        another; if both do, they may wait for the lane's thread for good, and the caller with them
        (docs/design/freeswitch.md#two-threads-that-close-it)."""
        play_id = self.new_play()
        played = self._plays[play_id]
        await self.play("silence_stream://20", play_id)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LANE_CLOSED_S):
                await played.wait()

    async def send_dtmf(self, digits: str) -> None:
        """Press keys towards the caller; w is a pause of half a second."""
        await self._api("uuid_send_dtmf", self._uuid, _word("digits", digits))

    async def limit(self, seconds: float) -> None:
        """Have the switch hang up after so many seconds, whatever becomes of us."""
        await self._api("sched_hangup", f"+{seconds:.0f}", self._uuid)

    async def record(self, path: str) -> None:
        """Record the call, left the caller and right us, into a file on the switch."""
        await self.set_variable("RECORD_STEREO", "true")
        await self._api("uuid_record", self._uuid, "start", _word("file", path))

    # --- the wire ---------------------------------------------------------------------------------

    @property
    def _uuid(self) -> str:
        assert self.channel is not None, "connect first"
        return self.channel.uuid

    async def _execute(
        self, application: str, data: str = "", event_uuid: str = "", lock: bool = False
    ) -> None:
        headers = {"call-command": "execute", "execute-app-name": _word("app", application)}
        if data:
            headers["execute-app-arg"] = _text(application, data)
        if event_uuid:
            headers["Event-UUID"] = event_uuid
        if lock:
            headers["event-lock"] = "true"
        await self._sendmsg(headers)

    async def _sendmsg(self, headers: Mapping[str, str]) -> None:
        lines = [f"{name}: {_text(name, value)}" for name, value in headers.items()]
        reply = await self._send("\n".join(["sendmsg", *lines]))
        _accepted(headers["call-command"], one(reply.get("Reply-Text")))

    async def _api(self, command: str, *words: str) -> str:
        reply = await self._send(" ".join(["api", command, *words]))
        return _accepted(command, (reply.body or "").strip())

    async def _send(self, command: str) -> ESLEvent:
        """One command; line breaks in it were put there by us, as header ends."""
        try:
            async with asyncio.timeout(COMMAND_S):
                return await self._session.send(command)
        except TimeoutError:
            raise SwitchError(f"no reply to {_name(command)} within {COMMAND_S:g} s") from None
        except (GenesisError, OSError) as error:
            raise SwitchGone(f"{_name(command)}: the connection is gone ({error})") from error

    async def _received(self, event: ESLEvent) -> None:
        """Called by Genesis for each event, in a task each, started in the order of the wire."""
        uuid = one(event.get("Unique-ID"))
        if self.channel is not None and uuid != self.channel.uuid:
            self.dropped += 1
            return
        typed = self._typed(one(event.get("Event-Name")), event)
        if typed is not None:
            self._tell(typed)

    def _typed(self, name: str, event: ESLEvent) -> SwitchEvent | None:
        match name:
            case "CHANNEL_ANSWER":
                return Answered(*codec(event))
            case "CHANNEL_HANGUP" | "CHANNEL_HANGUP_COMPLETE":
                return HungUp(one(event.get("Hangup-Cause")) or "UNKNOWN")
            case "CHANNEL_EXECUTE" | "CHANNEL_EXECUTE_COMPLETE":
                return self._play_event(name, event)
            case "DTMF":
                digit = one(event.get("DTMF-Digit"))
                return Dtmf(digit) if digit in DTMF_DIGITS and len(digit) == 1 else None
            case "CUSTOM":
                return self._stream_event(one(event.get("Event-Subclass")), event.body)
        return None

    def _play_event(self, name: str, event: ESLEvent) -> FilePlaying | FilePlayed | None:
        play_id = one(event.get("Application-UUID"))
        if play_id not in self._plays:
            return None
        if name == "CHANNEL_EXECUTE":
            return FilePlaying(play_id)
        self._plays.pop(play_id).set()
        return FilePlayed(play_id, ok=one(event.get("Application-Response")) != "FILE NOT FOUND")

    def _stream_event(self, subclass: str, body: str | None) -> StreamFailed | FileWritten | None:
        """``connect`` and ``disconnect`` are told by the WebSocket itself; these two are not."""
        if subclass not in ("mod_audio_stream::error", "mod_audio_stream::play"):
            return None
        try:
            told = json.loads(body or "")
            if subclass == "mod_audio_stream::error":
                reason = _CONTROL.sub(" ", str(told["message"]["error"])).strip()
                return StreamFailed(reason)
            return FileWritten(_text("file", told["file"]))
        except (ValueError, TypeError, KeyError) as error:
            self.dropped += 1
            log.warning("an event of mod_audio_stream cannot be read", subclass=subclass, why=error)
            return None


async def _stop_when_unreadable(session: Session) -> None:
    """Close the connection when bytes come that are no Event Socket message.

    Genesis' reader ends at them, and nobody is told: commands would wait for replies in vain.
    """
    reader = session.producer
    assert reader is not None
    await asyncio.wait([reader])
    if not reader.cancelled() and (error := reader.exception()) is not None:
        log.warning("the Event Socket sent what cannot be read", error=str(error))
        await session.stop()


def _text(name: str, value: str) -> str:
    """``value`` if it can stand on the wire. Raises UnsafeValue."""
    if not isinstance(value, str) or _CONTROL.search(value):
        raise UnsafeValue(f"{name} has a line break or another control character in it")
    return value


def _word(name: str, value: str) -> str:
    """``value`` if it can stand on the wire as one word of a command. Raises UnsafeValue."""
    if not _text(name, value) or any(c.isspace() for c in value):
        raise UnsafeValue(f"{name} is empty or has a space in it")
    return value


def _name(command: str) -> str:
    """What a log may say of a command: its arguments can carry secrets."""
    words = command.split(None, 2)
    return " ".join(words[:2]) if words[0] == "api" else words[0]


def _accepted(command: str, reply: str) -> str:
    if "Command not found" in reply:
        raise NoSuchCommand(f"{command}: {reply}")
    if reply.startswith("-ERR"):
        raise SwitchError(f"{command}: {reply}")
    return reply

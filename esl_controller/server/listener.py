"""The Event Socket listener: admits FreeSWITCH's connections, and owns the live calls.

One connection is one call. What the dialplan does when a connection ends is the other half of
"a lost controller loses no call": see freeswitch/dialplan.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Awaitable, Callable
from ipaddress import IPv6Address, ip_address
from typing import Any

import structlog

from esl_controller.call.events import ShutDown
from esl_controller.call.outcome import TRANSFERRED
from esl_controller.call.records import Claimed
from esl_controller.config.settings import EslSettings
from esl_controller.freeswitch.away import Away
from esl_controller.freeswitch.channel import Channel
from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.freeswitch.events import Bridged, SwitchEvent
from esl_controller.freeswitch.leg import CallFailed
from esl_controller.freeswitch.probes import VARIABLE, Probes
from esl_controller.freeswitch.wire import SwitchError, SwitchGone
from esl_controller.server.door import Door
from esl_controller.server.record import identity
from esl_controller.session.session import CallSession
from esl_controller.store import NotThisCall
from esl_controller.store.identity import misfit
from media.stream import StreamLookup

log = structlog.stdlib.get_logger(__name__)

STOP_S = 5.0  # for everything that a stop does after its patience has ended
HAND_BACK_S = 3.0  # of these, for telling the switch, which may hang
OVER = 100  # calls that have ended and are still recognised by their media path
NO_CALL = "an Event Socket connection brought no call"
FULL = "there are [esl] max_calls calls already"
RETURN_S = 15.0  # calls of ours come back after a start: more than the dialplan's longest wait
APART_S = 0.03  # between two calls that are handed back: about what it costs to take one


class CallListener:
    """Listens for the dialplan's ``socket`` action; one ``CallSession`` a call.

    ``claim`` takes over what is known of a call that was answered before, and raises NotThisCall
    for a channel that only names its UUID. ``take_back`` moves a call away from a connection that
    is mute (``freeswitch/rescue.py``). ``refused`` counts the connections that were closed at once,
    ``last_refusal`` says whose the last one was, and why.
    ``taken`` counts the calls so far, ``taken_new`` those that no controller had had before;
    ``probes`` are the doctor's legs, which are no calls.
    Closing a connection ends no call: the dialplan goes on with its next action
    (captures/controller_lost.*.jsonl; ``socket_resume=true`` makes it do so at once,
    docs/design/freeswitch.md#when-the-controller-is-lost).
    """

    def __init__(
        self,
        settings: EslSettings,
        make_session: Callable[[SwitchConnection, Channel, Claimed | None], CallSession],
        claim: Callable[[Channel], Awaitable[Claimed | None]],
        take_back: Callable[[Channel, int], Awaitable[None]] | None = None,
    ) -> None:
        self.refused = 0
        self.last_refusal = ""
        self.taken = self.taken_new = 0
        self.probes = Probes()
        self.calls: dict[str, CallSession] = {}
        self._settings = settings
        self._make_session = make_session
        self._claim = claim
        self._take_back = take_back
        self._mute: dict[str, CallSession] = {}  # over here, and their connection is still open
        self._serving: dict[CallSession, asyncio.Task[None]] = {}
        self.door = Door(settings, self._accept, self._awaits)
        self._returning = False  # calls that another controller, or we before a restart, had
        # They may shut the door; called before a connection is admitted.
        self.checks: list[Callable[[], None]] = []
        self._connections: set[asyncio.Task[None]] = set()
        self._busy: set[asyncio.Task[None]] = set()  # connections that have a call of ours
        self._over: deque[str] = deque(maxlen=OVER)  # media paths of the last calls
        self._idle = asyncio.Event()
        self._stopping = asyncio.Event()

    async def start(self) -> None:
        """Listen. Raises OSError where the address cannot be had."""
        await self.door.open()

    def expect_returns(self) -> None:
        """Calls that we had before a restart, or that a controller had which is gone, may come to
        us now: for a while they find the port open, however much there is to do."""
        self._returning = True
        asyncio.get_running_loop().call_later(RETURN_S, self._returned)

    def _returned(self) -> None:
        self._returning = False
        self.door.mind()

    @property
    def port(self) -> int:
        """The port that we listen on."""
        return self.door.port

    @property
    def ready(self) -> bool:
        """Whether new calls are taken."""
        return self.door.is_open

    def close(self) -> None:
        """Take no more calls."""
        self.door.close()

    async def drain(self, limit_s: float) -> None:
        """Take no more calls, and wait until those that live are over, or ``limit_s`` seconds."""
        self.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(limit_s):
                while self._busy:
                    self._idle.clear()
                    await self._idle.wait()

    async def stop(self, patience_s: float = 0.0) -> None:
        """Take no more calls, and hand back the live ones without ending them: each when nobody
        speaks in it, or after ``patience_s``. Takes at most ``STOP_S`` longer than that."""
        self.door.close()
        time = asyncio.get_running_loop().time
        last = time() + patience_s
        # One after the other: a controller that takes up thirty at once lets each wait for all.
        turn, apart_s = asyncio.Lock(), min(APART_S, patience_s / 2 / (1 + len(self.calls)))

        async def hand_back(session: CallSession) -> None:
            while True:
                await session.wait_quiet(last - time())
                async with turn:
                    # While the others had their turn, somebody may have begun to speak.
                    if session.is_quiet or time() >= last:
                        await session.hand_back(last + HAND_BACK_S)
                        await asyncio.sleep(apart_s if time() < last + HAND_BACK_S else 0)
                        return

        await asyncio.gather(*map(hand_back, list(self.calls.values())))
        self._stopping.set()
        if self._connections:
            await asyncio.wait(self._connections, timeout=max(0.0, last + STOP_S - time()))
        for task in list(self._connections):
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        await self.door.wait_closed()

    def expected_stream(self, path: str) -> StreamLookup:
        """For the media server: the live call whose WebSocket path this is."""
        session = self.calls.get(path.rpartition("/")[2])
        if session is not None and session.channel.media_path == path:
            return session.expected_stream
        # When we close its connection, an sptmru build dials again, perhaps before it learns that
        # the call is over.
        return self.probes.expected_stream(path) or ("over" if path in self._over else None)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.get_running_loop().create_task(self._connection(reader, writer))
        self._connections.add(task)
        task.add_done_callback(self._connections.discard)
        self._busy.add(task)
        task.add_done_callback(self._not_busy)

    def _not_busy(self, task: asyncio.Task[None]) -> None:
        self._busy.discard(task)
        if not self._busy:
            self._idle.set()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer, *_ = writer.get_extra_info("peername") or ("",)  # empty: it has left already
            if reason := self._refusal(peer):
                self.refused += 1
                self.last_refusal = f"{peer}: {reason}"
                text = "Event Socket connection refused"
                log.warning(text, stranger=True, peer=peer, reason=reason)
                return
            async with SwitchConnection.over(reader, writer) as switch:
                await self._call(switch, peer)
        except SwitchGone as error:
            # FreeSWITCH may dial for a caller who is just hanging up (seen with loopback callers);
            # a port scan or a health check says nothing, either.
            log.info(NO_CALL, stranger=True, reason=str(error))
        except SwitchError as error:
            log.warning(NO_CALL, stranger=True, reason=str(error))
        except Exception:
            log.exception("a session ended by a bug; the dialplan goes on with the call")
        finally:
            writer.close()

    def _refusal(self, peer: str) -> str:
        """Why a connection is refused; empty if it is not."""
        if not peer:
            return "it has left already"
        address = ip_address(peer)
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address  # our socket listens on both
        if not any(address in network for network in self._settings.allow):
            return "its address is not within [esl] allow"
        for check in self.checks:
            check()
        return self.door.why_shut if self.door.shut_to_all else ""

    def _awaits(self) -> bool:
        """Whether calls of ours are about to come back."""
        parking = any(session.call.awaited_park for session in self.calls.values())
        return parking or self._returning

    def _mind_door(self) -> None:
        """Refuse new calls while there is no room for one, so that the dialplan's ``A|B`` tries B
        at once."""
        if 0 < self._settings.max_calls <= len(self.calls):
            self.door.shut(FULL, to_all=False)
        else:
            self.door.lift(FULL)

    def _takes(self, channel: Channel, peer: str) -> bool:
        """Whether the call can still be taken: while we waited, others may have come, or a stop.
        There is always room for one of ours."""
        ours = channel.comes_back or channel.uuid in self.calls
        reason = self.door.why_shut
        if not reason or (ours and not self.door.closed):
            return True
        self.refused += 1
        log.warning("call not taken", reason=reason, peer=peer)
        return False

    def _check_live(self, channel: Channel) -> None:
        """Raise NotThisCall if a live call of ours has the channel's UUID and is another one."""
        live = self.calls.get(channel.uuid)
        if live is not None and (reason := misfit(identity(live.channel), identity(channel))):
            raise NotThisCall(reason)

    def _refuse_rival(self, peer: str, reason: str) -> None:
        self.refused += 1
        self.last_refusal = f"{peer}: {reason}"
        text = "a call is refused: it is not the one that its UUID names"
        log.warning(text, stranger=True, peer=peer, reason=reason)

    async def _session(
        self, switch: SwitchConnection, channel: Channel, peer: str
    ) -> CallSession | None:
        """A session for the call that a connection brings; None if the call is not taken."""
        if f"/{channel.domain_uuid}/" not in channel.media_path:
            log.warning("the dialplan sets no valid domain_uuid", found=channel.domain_uuid)
        if channel.answered and await _has_left(switch):
            return None
        try:
            self._check_live(channel)
            claimed = await self._claim(channel)
            self._check_live(channel)  # it may have come while we waited
        except NotThisCall as error:
            self._refuse_rival(peer, str(error))
            return None
        return self._make_session(switch, channel, claimed) if self._takes(channel, peer) else None

    def _parked(self, switch: SwitchConnection, channel: Channel) -> CallSession | None:
        """The live call that comes back in the new park that it has asked for, and goes on there
        at once."""
        session = self.calls.get(channel.uuid)
        if session is None or misfit(identity(session.channel), identity(channel)):
            return None
        if not session.next_park.is_in(channel):
            return None
        session.next_park.enter(switch, channel)
        return session

    async def _call(self, switch: SwitchConnection, peer: str) -> None:
        channel = await switch.connect()
        if VARIABLE in channel.variables:
            with self.probes.live(channel):
                await self.probes.introduce(switch)
                await self._linger(switch)
            return
        if not self._takes(channel, peer):
            return
        task = asyncio.current_task()
        assert task is not None
        if parked := self._parked(switch, channel):
            # Stays open for as long as the session's first connection does, which lets go of the
            # call for both.
            self._not_busy(task)
            await asyncio.wait([self._serving[parked]])
            return
        with structlog.contextvars.bound_contextvars(
            call_uuid=channel.uuid, domain_uuid=channel.domain_uuid
        ):
            session = await self._session(switch, channel, peer)
            if session is None:
                return
            older = self.calls.get(channel.uuid) or self._mute.get(channel.uuid)
            self.calls[channel.uuid] = session
            session.next_park.on_change = self._mind_door
            served = session
            self._serving[served] = task
            task.add_done_callback(lambda _: self._serving.pop(served))
            self._mind_door()
            if older is not None:
                # The switch dialled again, so the older connection has no call any more.
                older.successor = session
                older.handle(ShutDown())
            self.taken += 1
            self.taken_new += not channel.comes_back
            session.log.info(
                "call",
                secretary_uuid=channel.secretary_uuid,
                caller=channel.caller,
                number=channel.number,
                codec=channel.codec,
                peer=peer,
            )
            try:
                await session.run()
            finally:
                if self.calls.get(channel.uuid) is session:
                    del self.calls[channel.uuid]
                    self._over.append(channel.media_path)
                    self._mind_door()
            await self._let_go(session)

    async def _let_go(self, session: CallSession) -> None:
        """Return when the connections of a session that is over may be closed."""
        switch = session.switch  # of its last park
        if switch.mute_since is not None and not session.stepped_back:
            await self._rescue(switch, session, switch.mute_since)
        elif session.call.cause == TRANSFERRED:
            session.left(await self._linger(switch))
        elif session.stepped_back:
            await self._linger(switch)
        # Closing a connection that a newer one has replaced would throw the call out of the newer
        # one's park, and the dialplan would dial once more (captures/transfer_back.*.jsonl).
        while session.successor is not None:
            session = session.successor
            await session.wait_over()

    async def _rescue(
        self, switch: SwitchConnection, session: CallSession, mute_since: float
    ) -> None:
        """Have a call taken back whose connection is mute, and hold that until the call is over."""
        if self._take_back is None:
            return
        channel = session.channel
        self._mute[channel.uuid] = session
        mute_s = asyncio.get_running_loop().time() - mute_since
        lost_at_us = channel.now_us + int((session.age_s - mute_s) * 1e6)
        try:
            await self._take_back(channel, lost_at_us)
            session.log.info("the call was taken back from a mute connection")
            await self._linger(switch)
        except CallFailed as error:
            session.log.warning("the call cannot be taken back", reason=str(error))
        finally:
            del self._mute[channel.uuid]

    async def _linger(self, switch: SwitchConnection) -> Away:
        """Wait until a call that somebody else has by now is over, or until we stop; returns what
        was seen of it.

        Closing the connection before that would throw the call out of wherever it is parked
        (docs/design/freeswitch.md#a-replaced-connection-stays-open).
        """
        over, away = asyncio.Event(), Away()
        looks: list[asyncio.Future[None]] = []

        async def look(leg: str) -> None:
            away.instead = await switch.transfers.answered_instead(leg)

        def watch(event: SwitchEvent) -> None:
            away.see(event)
            if isinstance(event, Bridged):
                looks.append(asyncio.ensure_future(look(event.leg)))
            if away.ended is not None:
                over.set()

        if task := asyncio.current_task():
            self._not_busy(task)
        switch.handle_events(watch)
        waits = [
            asyncio.ensure_future(wait)
            for wait in (over.wait(), switch.wait_lost(), self._stopping.wait())
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            pending: list[asyncio.Future[Any]] = [*waits, *looks]
            for each in pending:
                each.cancel()
            await asyncio.gather(*pending, return_exceptions=True)
        return away


async def _has_left(switch: SwitchConnection) -> bool:
    """Whether the caller has just hung up. FreeSWITCH may dial even then (seen with loopback
    callers), and the hangup that was reported before we listened is not reported again."""
    try:
        # Changes nothing, as the dialplan has done it already; but it fails without a channel.
        await switch.set_variable("controller_again", "")
    except SwitchError as error:
        log.info("call not taken", reason=f"it is over: {error}")
        return True
    return False

"""A call that we make ourselves: a telephone made of software, for tests of a whole installation.

The leg is originated through the Event Socket on which FreeSWITCH listens (an inbound socket, port
8021), parked, and given a lane. So it hears every frame that a caller would hear and speaks by
sending frames, without any file on the switch.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Callable, Mapping
from uuid import uuid4

from esl_controller.config.settings import FreeswitchSettings, MediaSettings
from esl_controller.freeswitch import wire
from esl_controller.freeswitch.esl import (
    AuthenticationError,
    ConnectionTimeoutError,
    ESLEvent,
    GenesisError,
    Inbound,
)
from esl_controller.freeswitch.wire import Command, UnsafeValue
from media.frame import Samples
from media.lane import Clock, Lane, Ports
from media.playout import Playout
from media.resample import convert

COMMAND_S = 5.0
LANE_S = 1.0
LIMIT_S = 3600  # of a leg; FreeSWITCH hangs it up then, if we are killed before we can


class CallFailed(Exception):
    """The call failed; the text says in one line what to look at."""


@contextlib.asynccontextmanager
async def event_socket(there: FreeswitchSettings) -> AsyncIterator[Inbound]:
    """A connection to the Event Socket on which FreeSWITCH listens. Raises CallFailed."""
    where = f"{there.host}:{there.port}"
    connection = Inbound(there.host, there.port, there.password.get_secret_value())
    try:
        # Genesis' own limit ends with the connect, but FreeSWITCH may accept and never greet us.
        async with asyncio.timeout(COMMAND_S):
            await connection.start()
    except AuthenticationError:
        raise CallFailed(
            f"FreeSWITCH at {where} refused the password: set FREESWITCH_PASSWORD to that of"
            " autoload_configs/event_socket.conf.xml"
        ) from None
    except (TimeoutError, ConnectionTimeoutError):
        await connection.stop()
        raise CallFailed(f"FreeSWITCH's Event Socket at {where} does not answer") from None
    except (GenesisError, OSError) as error:
        raise CallFailed(
            f"no connection to FreeSWITCH's Event Socket at {where}: {error}. Is FreeSWITCH"
            " running, mod_event_socket loaded, and our address in its apply-inbound-acl?"
        ) from None
    try:
        yield connection
    finally:
        await connection.stop()


class Leg:
    """One call that we make: ``await dial(...)``, then ``async with lane(): ...``.

    A leg needs a connection of its own, because ``originate`` blocks it until the answer.
    ``frames`` are those heard since the lane opened, linear at ``rate`` Hz; ``times`` are their
    arrivals in seconds of the event loop's clock. Both grow with the call. ``on_frame`` is called
    for each frame; ``ended`` gets the hangup cause.
    """

    def __init__(
        self, connection: Inbound, media: MediaSettings, clock: Clock | None = None
    ) -> None:
        self.uuid = str(uuid4())
        self.frames: list[bytes] = []
        self.times: list[float] = []
        self.on_frame: Callable[[bytes], None] = lambda frame: None
        self._loop = asyncio.get_running_loop()
        self.ended: asyncio.Future[str] = self._loop.create_future()
        self._connection = connection
        self._media = media
        self._clock = clock or Clock()
        self._playout: Playout | None = None
        self._said = 0

    async def dial(
        self, to: str, variables: Mapping[str, str], timeout: float, then: str = "park()"
    ) -> str:
        """Call the dial string ``to``; returns "" once answered, else FreeSWITCH's reason.

        ``then`` is the application that the leg runs. Early media is no answer. Raises CallFailed
        if FreeSWITCH does not reply within ``timeout`` seconds.
        """
        self._connection.on("*", self._event)
        own = {
            "origination_uuid": self.uuid,
            "ignore_early_media": "true",
            # Both have an end without us: the dialling, and what comes after the answer.
            "originate_timeout": f"{math.ceil(timeout)}",
            "execute_on_answer": f"sched_hangup:+{LIMIT_S}",
            # No call record of a call that nobody made, on this leg and those that it leads to
            # (source: switch_core_standard_on_reporting).
            "process_cdr": "false",
        }
        try:
            brackets = wire.variables({**own, **variables})
            originate = wire.api("originate", f"{brackets}{to}", f"&{then}")
        except UnsafeValue as error:
            raise CallFailed(str(error)) from None
        await self.command(wire.line("filter", "Unique-ID", self.uuid))
        await self.command(wire.line("event plain CHANNEL_HANGUP"))
        reply = await self.command(originate, timeout)
        return "" if reply.startswith("+OK") else reply.removeprefix("-ERR").strip()

    @contextlib.asynccontextmanager
    async def lane(self) -> AsyncIterator[None]:
        """Hear and speak within the block. Raises CallFailed if no audio comes."""
        media = self._media
        port = Ports(media.lane_ports.first, media.lane_ports.last).take()
        try:
            lane = Lane(self._clock, host=media.lane_host, switch=(media.lane_switch_host, port))
        except OSError as error:
            raise CallFailed(
                f"no UDP socket at {media.lane_host} towards {media.lane_switch_host}:"
                f" {error.strerror or error} ([media] lane_host is an address of this machine,"
                " lane_switch_host one that is reached from it)"
            ) from None
        try:
            await self.command(wire.sendmsg(wire.unicast(lane.switch, lane.local), self.uuid))
            try:
                async with asyncio.timeout(LANE_S):
                    rate = await lane.opened
            except TimeoutError:
                raise CallFailed(
                    f"FreeSWITCH sends no audio from {media.lane_switch_host}:{port}; is it on this"
                    " machine ([media] lane_host, lane_switch_host)?"
                ) from None
            self._playout = Playout(rate)
            lane.start(self._playout, self._hear)
            yield
        finally:
            lane.close()

    @property
    def rate(self) -> int:
        """The channel's rate in Hz; known once the lane is open."""
        assert self._playout is not None, "open the lane first"
        return self._playout.format.rate

    @property
    def speaking(self) -> bool:
        """Whether anything that ``say`` was given is still to be played."""
        return self._playout is not None and self._playout.speaking

    def say(self, values: Samples, rate: int) -> float:
        """Play samples at ``rate`` Hz after those that wait; returns their length in seconds."""
        assert self._playout is not None, "open the lane first"
        words = convert(values, rate, self.rate)
        self._said += 1
        item = f"words {self._said}"
        self._playout.push(item, words.tobytes())
        self._playout.complete(item)
        return words.size / self.rate

    async def hang_up(self) -> None:
        """End the call, if it has not ended already."""
        await self.command(wire.api("uuid_kill", self.uuid))

    async def command(self, command: Command, timeout: float = COMMAND_S) -> str:
        """Send a command; returns the text of its reply. Raises CallFailed."""
        try:
            async with asyncio.timeout(timeout):
                reply = await self._connection.send(command)
        except TimeoutError:
            raise CallFailed(f"FreeSWITCH did not reply within {timeout:g} s") from None
        except GenesisError as error:
            raise CallFailed(f"the connection to FreeSWITCH was lost: {error}") from None
        return (reply.body or str(reply.get("Reply-Text", ""))).strip()

    def _hear(self, frame: bytes) -> None:
        self.frames.append(frame)
        self.times.append(self._loop.time())
        self.on_frame(frame)

    async def _event(self, event: ESLEvent) -> None:
        if event.get("Unique-ID") != self.uuid:
            return
        if event.get("Event-Name") == "CHANNEL_HANGUP" and not self.ended.done():
            self.ended.set_result(str(event.get("Hangup-Cause")))

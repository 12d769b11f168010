"""A leg of our own at the switch: a telephone without a telephone.

The leg is originated through the Event Socket that FreeSWITCH listens on, parked, and gets a lane,
the same way in which the controller speaks to callers. So it needs no file on the switch: it hears
every frame that a caller would hear, and speaks by sending frames.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from uuid import uuid4

from esl_controller.config.settings import FreeswitchSettings, MediaSettings
from esl_controller.freeswitch.esl import (
    AuthenticationError,
    ConnectionTimeoutError,
    ESLEvent,
    GenesisError,
    Inbound,
)
from media.frame import Samples
from media.lane import Clock, Lane, Ports
from media.playout import Playout
from media.resample import convert

COMMAND_S = 5.0
LANE_S = 1.0


class CallFailed(Exception):
    """The call did not do what it should; one line that says what to look at."""


@contextlib.asynccontextmanager
async def event_socket(there: FreeswitchSettings) -> AsyncIterator[Inbound]:
    """A connection to FreeSWITCH's own Event Socket. Raises CallFailed."""
    where = f"{there.host}:{there.port}"
    connection = Inbound(there.host, there.port, there.password.get_secret_value())
    try:
        # Genesis limits the connecting only: FreeSWITCH may never greet us (5 wait at most there).
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

    A leg needs the connection for itself: the originate command holds it until the answer.
    ``frames`` are those heard since the lane opened, linear at ``rate`` Hz, and ``times`` when each
    came, in seconds of the event loop; both grow with the call. ``on_frame`` is called for each,
    ``ended`` gets the hangup cause.
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
        """Call the dial string ``to``; returns once answered: "", or why it was not, as told.

        ``then`` is the application that it runs. Early media is no answer. Raises CallFailed where
        FreeSWITCH does not reply.
        """
        self._connection.on("*", self._event)
        await self.command(f"filter Unique-ID {self.uuid}")
        await self.command("event plain CHANNEL_HANGUP")
        own = {"origination_uuid": self.uuid, "ignore_early_media": "true"}
        joined = ",".join(f"{name}={value}" for name, value in {**own, **variables}.items())
        reply = await self.command(f"api originate {{{joined}}}{to} &{then}", timeout)
        return "" if reply.startswith("+OK") else reply.removeprefix("-ERR").strip()

    @contextlib.asynccontextmanager
    async def lane(self) -> AsyncIterator[None]:
        """Hear and speak within the block. Raises CallFailed where no audio comes."""
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
            (switch_ip, switch_port), (ip, port) = lane.switch, lane.local
            await self.command(
                f"sendmsg {self.uuid}\ncall-command: unicast\nlocal-ip: {switch_ip}\n"
                f"local-port: {switch_port}\nremote-ip: {ip}\nremote-port: {port}\ntransport: udp"
            )
            try:
                async with asyncio.timeout(LANE_S):
                    rate = await lane.opened
            except TimeoutError:
                raise CallFailed(
                    f"FreeSWITCH sends no audio from {switch_ip}:{switch_port}; is it on this"
                    " machine ([media] lane_host, lane_switch_host)?"
                ) from None
            self._playout = Playout(rate)
            lane.start(self._playout, self._hear)
            yield
        finally:
            lane.close()

    @property
    def rate(self) -> int:
        """Samples a second of what is heard and said; known once the lane is open."""
        assert self._playout is not None, "open the lane first"
        return self._playout.format.rate

    @property
    def speaking(self) -> bool:
        """Whether what was asked of ``say`` is not over yet."""
        return self._playout is not None and self._playout.speaking

    def say(self, values: Samples, rate: int) -> float:
        """Speak after what is being said already; returns how many seconds it takes."""
        assert self._playout is not None, "open the lane first"
        words = convert(values, rate, self.rate)
        self._said += 1
        name = f"words {self._said}"
        self._playout.push(name, words.tobytes())
        self._playout.complete(name)
        return words.size / self.rate

    async def hang_up(self) -> None:
        """End the call. It may have ended already."""
        await self.command(f"api uuid_kill {self.uuid}")

    async def command(self, command: str, timeout: float = COMMAND_S) -> str:
        """One command; its reply in one line. Raises CallFailed."""
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

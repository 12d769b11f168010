"""A leg of the doctor's own at FreeSWITCH, with nobody on it, that is always hung up.

``null/`` is an endpoint of mod_loopback that answers at once and stays silent. Each leg has its own
Event Socket connection. FreeSWITCH hangs it up after a minute if we cannot (``sched_hangup``).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from secrets import token_hex

from esl_controller.config.settings import Settings
from esl_controller.freeswitch import wire
from esl_controller.freeswitch.esl import ESLEvent, Inbound
from esl_controller.freeswitch.leg import CallFailed, Leg, event_socket
from esl_controller.freeswitch.probes import VARIABLE

WAIT_S = 5.0
LIMIT_S = 60
STREAM_CONNECT = "mod_audio_stream::connect"
STREAM_ERROR = "mod_audio_stream::error"
EXECUTED = "CHANNEL_EXECUTE_COMPLETE"
DOMAIN_UUID = "00000000-0000-0000-0000-000000000000"
_EVENTS = f"{EXECUTED} CUSTOM {STREAM_CONNECT} {STREAM_ERROR}"
_MOST = 64


class ParkedLeg:
    """A leg, the events that it brings, and what can be done with it. Made by ``parked``."""

    def __init__(self, leg: Leg) -> None:
        self.leg = leg
        self.token = token_hex(16)
        # Far more events than a leg has; any beyond that are dropped.
        self._events: asyncio.Queue[ESLEvent] = asyncio.Queue(_MOST)

    def received(self, event: ESLEvent) -> None:
        """Keep an event of this leg until it is asked for, but none of the limit that ``Leg.dial``
        has the leg set at its answer: that is no sign of a controller."""
        ours = wire.header(event, "Application") == "sched_hangup"
        if not ours and not self._events.full():
            self._events.put_nowait(event)

    async def event(self, *names: str, timeout: float = WAIT_S) -> ESLEvent | None:
        """The next event with one of these names (of a CUSTOM event: subclasses); None if none
        comes in time. Events before it are dropped."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    event = await self._events.get()
                    if name_of(event) in names:
                        return event
        except TimeoutError:
            return None

    async def api(self, command: str, *arguments: str) -> str:
        """An API command's answer. Raises CallFailed."""
        return await self.leg.command(wire.api(command, *arguments))

    async def stream(self, base_url: str, mix: str, rate: str) -> str:
        """Have mod_audio_stream stream the leg to ``base_url`` with the leg's token; its answer.
        Raises CallFailed."""
        headers = json.dumps({"Authorization": f"Bearer {self.token}"})
        await self.api("uuid_setvar", self.leg.uuid, "STREAM_EXTRA_HEADERS", headers)
        url = f"{base_url}/stream/{DOMAIN_UUID}/{self.leg.uuid}"
        words = wire.word("url", url), wire.word("mix", mix), wire.word("rate", rate)
        return await self.api("uuid_audio_stream", self.leg.uuid, "start", *words)


def name_of(event: ESLEvent) -> str:
    """An event's name; of a CUSTOM event its subclass."""
    return wire.header(event, "Event-Subclass") or wire.header(event, "Event-Name")


@asynccontextmanager
async def parked(settings: Settings, then: str = "park()") -> AsyncIterator[ParkedLeg]:
    """An answered leg that is parked, or runs the application ``then``. Raises CallFailed."""
    async with event_socket(settings.freeswitch) as connection:
        leg = ParkedLeg(Leg(connection, settings.media))
        try:
            await _dial(connection, leg, then)
            yield leg
        finally:
            await leg.leg.hang_up()


async def _dial(connection: Inbound, leg: ParkedLeg, then: str) -> None:
    uuid = leg.leg.uuid

    async def receive(event: ESLEvent) -> None:
        if wire.header(event, "Unique-ID") == uuid:
            leg.received(event)

    connection.on("*", receive)
    await leg.leg.command(wire.line("event", "plain", _EVENTS))
    marked = {VARIABLE: leg.token, "domain_uuid": DOMAIN_UUID, "socket_resume": "true"}
    failure = await leg.leg.dial("null/doctor", marked, WAIT_S, then)
    if failure:
        raise CallFailed(f"FreeSWITCH cannot make a test call (null/doctor): {failure}")
    await leg.api("sched_hangup", f"+{LIMIT_S}", uuid)

"""The events of one channel, from the wire to whoever handles them.

``events.py`` reads them. Here they are dropped if they are another channel's, kept until somebody
handles them, and matched with the commands of ours that they tell of.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from uuid import uuid4

import structlog

from esl_controller.call.events import Dtmf
from esl_controller.freeswitch import events
from esl_controller.freeswitch.esl import ESLEvent
from esl_controller.freeswitch.events import FilePlayed, FilePlaying, LaneCommanded, SwitchEvent
from esl_controller.freeswitch.keys import KeyPresses
from esl_controller.freeswitch.wire import header

log = structlog.stdlib.get_logger(__name__)

EARLY_EVENTS = 100  # buffered without a handler; the oldest go, because the last may be a hangup


class ChannelEvents:
    """Takes the events of one channel.

    ``uuid``: the channel's, once it is known. ``dropped`` counts events that were malformed or
    another channel's.
    """

    def __init__(self) -> None:
        self.uuid = ""
        self.dropped = 0
        self._buffered: deque[SwitchEvent] = deque(maxlen=EARLY_EVENTS)
        self._handler: Callable[[SwitchEvent], None] = self._buffered.append
        self._lanes: dict[int, asyncio.Future[None]] = {}  # by port; done when it was carried out
        self._plays: dict[str, asyncio.Event] = {}  # by id; set when the file was played
        self._keys = KeyPresses()

    def handle(self, handler: Callable[[SwitchEvent], None]) -> None:
        """Call ``handler`` in the event loop for each event, in the order of the wire, beginning
        with those that were buffered.

        Events are buffered until then: a caller may hang up while we look up who is calling, and
        FreeSWITCH reports that only once.
        """
        self._handler = handler
        while self._buffered:
            handler(self._buffered.popleft())

    def buffer(self) -> None:
        """Remove the handler: events are kept for the next one, at most ``EARLY_EVENTS``."""
        self._handler = self._buffered.append

    def expect_lane(self, port: int) -> asyncio.Future[None]:
        """Done when the channel has carried out a ``unicast`` of its ``port``, or has failed to."""
        carried_out = self._lanes[port] = asyncio.get_running_loop().create_future()
        return carried_out

    def expect_play(self) -> tuple[str, asyncio.Event]:
        """An id for a file that is to be played, and what is set when it was."""
        play_id, played = str(uuid4()), asyncio.Event()
        self._plays[play_id] = played
        return play_id, played

    async def received(self, event: ESLEvent) -> None:
        """Called by Genesis for each event, each in its own task, started in the wire's order."""
        if self.uuid and header(event, "Unique-ID") != self.uuid:
            self.dropped += 1
            return
        try:
            typed = events.parse(event, event.body)
        except (ValueError, TypeError, KeyError) as error:
            self.dropped += 1
            name = header(event, "Event-Subclass") or header(event, "Event-Name")
            log.warning("an event of FreeSWITCH cannot be read", event_type=name, why=error)
            return
        match typed:
            case FilePlaying(play_id) | FilePlayed(play_id) if play_id not in self._plays:
                return  # an application that is not one of our files
            case Dtmf() if not self._keys.is_new(event):
                return  # the same press, told once more
            case FilePlayed(play_id):
                self._plays.pop(play_id).set()
            case LaneCommanded(port):
                carried_out = self._lanes.pop(port, None)
                if carried_out is not None and not carried_out.done():
                    carried_out.set_result(None)
                return
        if typed is not None:
            self._handler(typed)

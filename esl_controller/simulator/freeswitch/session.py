"""The thread of a channel: it walks the dialplan, parks, and executes what it is told.

One asyncio task per channel does what a session thread does in FreeSWITCH, at its 20 ms ticks.
Sources: switch_ivr.c (``switch_ivr_park``, ``switch_ivr_parse_event``), switch_core_session.c
(``switch_core_session_exec``), and every capture (captures/*.jsonl).
"""

from __future__ import annotations

import asyncio
import uuid
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

from esl_controller.simulator.freeswitch.channel import SimulatedChannel
from esl_controller.simulator.freeswitch.dialplan import DialplanAction, inline_actions
from esl_controller.simulator.freeswitch.events import Codec, Core, Profile
from esl_controller.simulator.freeswitch.faults import CallStep, Faults
from esl_controller.simulator.freeswitch.installation import Installation
from esl_controller.simulator.freeswitch.stream import Build
from esl_controller.simulator.freeswitch.text import atoi, expand, is_true
from esl_controller.simulator.freeswitch.wire import SocketCommand

MAX_PRIVATE_EVENTS = 2000
"""Commands that wait for a channel; FreeSWITCH refuses more with ``-ERR memory error``."""
MAX_FORWARDS = 70
"""Transfers of a call that brings no count of its own (``switch_ivr_session_transfer``)."""
_LEAD_FRAMES_FACTOR = 2
"""Frames without sound count half (captures/playback_break.jsonl: 5 took 200 ms)."""


class Switch(Protocol):
    """What sessions, applications and commands need of the switch that they belong to.

    The switch itself stands above all of them and fills in ``applications``.
    """

    core: Core
    sessions: dict[str, SwitchSession]
    """The live channels by uuid."""
    extensions: dict[str, Sequence[DialplanAction]]
    contexts: dict[str, str]
    installation: Installation
    memcached: tuple[str, int] | None
    endpoints: Mapping[str, str]
    applications: Mapping[str, Application]
    next_tick: float
    scheduled: dict[str, list[asyncio.TimerHandle]]
    """The tasks that wait for their time, by group."""

    @property
    def has_stream_module(self) -> bool:
        """Whether mod_audio_stream is loaded."""

    def build_for(self, channel: SimulatedChannel) -> Build | None:
        """The build of mod_audio_stream that a channel meets."""

    def channel(
        self, profile: Profile, audio: Codec, variables: dict[str, str], faults: Faults | None
    ) -> SimulatedChannel:
        """A new channel of this switch."""

    def start(self, channel: SimulatedChannel) -> object:
        """Let a channel run through the dialplan."""

    def forget(self, ident: str) -> None:
        """Drop a channel that is over."""

    def record(self, channel: SimulatedChannel, path: str) -> bool:
        """Start recording a channel; whether that path is being recorded now."""

    async def api(self, name: str, arg: str) -> str:
        """Run an API command."""

    def api_at_once(self, name: str, arg: str) -> str:
        """Run one that takes no time; empty for others."""

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a task, at most until the switch closes."""


class ControllerConnection(Protocol):
    """What a session needs of its connections to controllers."""

    closed: asyncio.Event
    """Nothing of the connection is left."""

    def channel_down(self) -> None:
        """The call is over."""

    def cut(self) -> None:
        """Reset the connection."""


class SwitchSession:
    """What a channel does, from its first dialplan action to its final report."""

    def __init__(self, switch: Switch, channel: SimulatedChannel) -> None:
        self.switch = switch
        self.channel = channel
        self.controlled = False
        """Parked, and under the control of a connection."""
        self.transferred = False
        self.reset = False
        """A controller went away and ``socket_resume`` is set: FreeSWITCH's CS_RESET."""
        self.broken = False
        self.connections: list[ControllerConnection] = []
        """The connections to controllers, in the order of dialling; old ones may linger."""
        self._spent: set[str] = set()
        self._private: deque[SocketCommand] = deque()
        self._locks = 0
        self._waiter: asyncio.Future[None] | None = None
        self._every_tick = False
        channel.on_hangup.append(self.wake)
        channel.on_step = self.step

    @property
    def ready(self) -> bool:
        """Whether an application may go on."""
        return self.channel.ready and not self.transferred and not self.reset

    def first(self, fault: str) -> bool:
        """True the first time it is asked for a fault that strikes once in a call."""
        known = fault in self._spent
        self._spent.add(fault)
        return not known

    def step(self, name: CallStep) -> None:
        """The call has come this far: hang up if ``hangup_at`` says so."""
        faults = self.channel.faults
        if faults.hangup_at == name and self.first("hangup"):
            delay, hangup = faults.hangup_after, self.channel.hangup
            asyncio.get_running_loop().call_later(delay, lambda: hangup(by_caller=True))

    # Ticks

    def tick(self) -> None:
        """Called every 20 ms; wakes the session when it has something to do."""
        commands = self._private and not self._locks
        if self._every_tick or self.transferred or self.channel.dtmf or commands:
            self.wake()

    def wake(self) -> None:
        """Let the session look at its state now."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def next_tick(self) -> None:
        """Wait for the next 20 ms tick, or less when the call ends."""
        self._every_tick = True
        try:
            await self._wait()
        finally:
            self._every_tick = False

    async def _wait(self) -> None:
        if not self.channel.ready:
            return
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    # Private events

    def queue(self, command: SocketCommand) -> bool:
        """Take a ``sendmsg`` for the next tick; False when too many wait."""
        if len(self._private) >= MAX_PRIVATE_EVENTS:
            return False
        self._private.append(command)
        return True

    def break_(self, *, flush: bool) -> None:
        """Stop what is playing; with ``flush`` also drop what waits."""
        if flush:
            self._private.clear()
        self.broken = True

    def transfer(self, number: str, dialplan: str, context: str) -> None:
        """Leave whatever is going on and route again, at the next tick."""
        self.channel.unhold()
        variables, profile = self.channel.variables, self.channel.profile
        by_session = "max_session_transfers"
        counted = by_session if by_session in variables else "max_forwards"
        left = atoi(variables[counted]) - 1 if counted in variables else MAX_FORWARDS
        if left <= 0:
            self.channel.hangup("EXCHANGE_ROUTING_ERROR")
            return
        profile.rdnis, profile.number = profile.number, number
        profile.dialplan, profile.context = dialplan or "XML", context or "default"
        profile.index += 1
        stamp, ident = profile.created // 1_000_000, uuid.uuid4()
        source = f"{stamp}:{ident}:bl_xfer:{number}/{profile.context}/{profile.dialplan}"
        profile.transfer_source = source
        variables |= {
            counted: str(left),
            "transfer_history": source,
            "transfer_source": source,
        }
        self.channel.state = "CS_ROUTING"
        self.transferred = True

    async def parse_all_events(self) -> None:
        """Run the commands that wait, unless an ``event-lock`` holds them back."""
        while self._private and not self._locks and self.channel.ready:
            await self._parse(self._private.popleft())

    async def _parse(self, command: SocketCommand) -> None:
        locked, told = is_true(command.get("event-lock")), self.channel.media_ready
        self._locks += locked
        try:
            for _ in range(atoi(command.get("lead-frames")) * _LEAD_FRAMES_FACTOR):
                await self.next_tick()
            await self._dispatch(command)
        finally:
            self._locks -= locked
        if told:  # the park of a channel without media tells of no command (switch_ivr_park)
            self.channel.fire("PRIVATE_COMMAND", [("Command", command.line), *command.headers])

    async def _dispatch(self, command: SocketCommand) -> None:
        match command.get("call-command"):
            case "execute":
                await self._execute_command(command)
            case "hangup":
                self.channel.hangup(command.get("hangup-cause") or "NORMAL_CLEARING")
            case "unicast":
                self._unicast(command)

    async def _execute_command(self, command: SocketCommand) -> None:
        app = command.get("execute-app-name")
        if not app:
            return
        arg = command.get("execute-app-arg") or command.body
        variables = self.channel.variables
        loops = atoi(command.get("loops") or "1")
        clock = asyncio.get_running_loop().time
        done = 0
        while loops < 0 or done < loops:
            done += 1
            variables |= {"current_loop": str(done), "total_loops": str(loops)}
            began = clock()
            await self.execute(app, arg, command.get("event-uuid") or None)
            if not self.ready or clock() - began < 0.5:
                break
        variables.pop("current_loop", None)
        variables.pop("total_loops", None)

    def _unicast(self, command: SocketCommand) -> None:
        local = (command.get("local-ip", "127.0.0.1"), atoi(command.get("local-port", "8025")))
        remote = (command.get("remote-ip", "127.0.0.1"), atoi(command.get("remote-port", "8026")))
        if command.get("transport", "udp").lower() in ("udp", "tcp"):
            self.channel.pre_answer()
            self.channel.unicast.activate(local, remote)

    # Applications

    async def execute(self, app: str, arg: str = "", app_uuid: str | None = None) -> None:
        """Run one application, between its two events."""
        run = self.switch.applications.get(app)
        if run is None:
            self.channel.hangup("DESTINATION_OUT_OF_ORDER")
            return
        variables = self.channel.variables
        variables["current_application"] = app
        variables.pop("current_application_data", None)
        if arg:
            variables["current_application_data"] = arg
        variables.pop("current_application_response", None)
        arg = self.expand(arg)
        ident = ("Application-UUID", app_uuid or str(uuid.uuid4()))
        rows = [("Application", app)] + ([("Application-Data", arg)] if arg else [])
        self.channel.fire("CHANNEL_EXECUTE", [*rows, ident])
        await run(self, arg)
        response = variables.get("current_application_response", "_none_")
        self.channel.fire(
            "CHANNEL_EXECUTE_COMPLETE", [*rows, ("Application-Response", response), ident]
        )

    def expand(self, text: str) -> str:
        """Replace variables and API commands in what a dialplan gives to an application."""
        channel = self.channel
        profile = {
            "context": channel.profile.context,
            "destination_number": channel.profile.number,
            "uuid": channel.uuid,
        }
        return expand(text, {**profile, **channel.variables}, self.switch.api_at_once)

    # Park and dialplan

    async def park(self) -> None:
        """Wait for commands until nobody controls the channel any more (``switch_ivr_park``).

        A channel that is parked already is not parked again.
        """
        if not self.ready or self.controlled:
            return
        self.controlled = True
        self.channel.unicast.new_park()
        await self.next_tick()
        if self.ready:
            self.channel.fire("CHANNEL_PARK")
        while self.ready and self.controlled:
            await self._wait()
            if not self.ready or not self.controlled:
                break
            await self.parse_all_events()
            self.take_dtmf()
        self.controlled = False
        self.channel.fire("CHANNEL_UNPARK")
        self.channel.unicast.reset()

    def take_dtmf(self) -> str:
        """Take one digit, if any, and fire its event (captures/conversation.jsonl)."""
        if not self.channel.dtmf:
            return ""
        digit = self.channel.dtmf.popleft()
        self.channel.digits_dialed += digit
        rows = [("DTMF-Digit", digit), ("DTMF-Duration", "2000"), ("DTMF-Source", "APP")]
        self.channel.fire("DTMF", rows)
        return digit

    def release_control(self, *, resume: bool) -> None:
        """A connection to a controller is gone: leave the park, even if another controls it.

        With ``resume`` the running application ends as well, whatever it is; without, it plays to
        its end first.
        """
        if resume and not self.transferred and self.channel.ready:
            self.reset = True
            self.channel.state = "CS_RESET"
        self.controlled = False
        self.wake()

    async def run(self, extensions: Mapping[str, Sequence[DialplanAction]]) -> None:
        """Walk the dialplan from the called number on, until the call is over."""
        channel = self.channel
        try:
            while channel.ready:
                actions = inline_actions(channel.profile) or extensions.get(channel.profile.number)
                self._route()
                if actions is None:
                    channel.hangup("NO_ROUTE_DESTINATION")
                    break
                for action in self._applying(actions):
                    await self.execute(action.app, action.arg)
                    if not self.ready:
                        break
                else:
                    channel.hangup("NORMAL_CLEARING")
                await self._stay_reset()
        finally:
            channel.hangup("MANAGER_REQUEST")
            channel.finish()
            for connection in self.connections:
                connection.channel_down()
            self.switch.forget(channel.uuid)
        # A connection that lingers keeps the channel from being destroyed.
        for connection in self.connections:
            await connection.closed.wait()
        channel.set_state("CS_DESTROY")
        channel.fire("CHANNEL_DESTROY")

    def _applying(self, actions: Sequence[DialplanAction]) -> list[DialplanAction]:
        variables = self.channel.variables
        return [action for action in actions if not action.given or action.given in variables]

    async def _stay_reset(self) -> None:
        """Reset outside the ``socket`` application, a channel does nothing until it is transferred.

        captures/transfer_reset.*.jsonl: the call is up, silent, and executes no command.
        """
        if not self.reset or self.transferred or not self.channel.ready:
            return
        self.channel.set_state("CS_RESET")
        while self.channel.ready and not self.transferred:
            await self._wait()

    def _route(self) -> None:
        """After a transfer the states are walked again (captures/transfer.jsonl)."""
        if not self.transferred:
            return
        channel = self.channel
        self.transferred = self.reset = False
        was, channel.call_state = channel.call_state, "RINGING"
        channel.set_state("CS_ROUTING")
        channel.call_state = was
        channel.set_state("CS_EXECUTE")


Application: TypeAlias = Callable[[SwitchSession, str], Awaitable[None]]
"""Runs a dialplan application with its argument."""

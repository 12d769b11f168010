"""Everything around a call's core, in a few lines: a model, a playout, a switch, a caller.

``World.perform`` checks each action against the state of that world; so every test that drives a
call through it also tests what must always hold.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from esl_controller.call import actions as do
from esl_controller.call import events as ev
from esl_controller.call.agent import Recovery, Said, ToolCall
from esl_controller.call.agent_events import (
    AgentFailed,
    AgentReady,
    ReplyRefused,
    ResponseDone,
    ResponseStarted,
    SpeechStarted,
    SpeechStopped,
)
from esl_controller.call.conversation import Conversation
from esl_controller.call.machine import Call
from esl_controller.call.snapshot import Resumption, Snapshot, StoredSnapshot, dump, load
from esl_controller.call.states import State
from esl_controller.call.timers import LAST_WORDS_S
from esl_controller.call.tools import Toolbox
from esl_controller.secretaries.functions import BUILT_INS
from esl_controller.secretaries.schema import Destination
from esl_controller.secretaries.secretary import Secretary

ALL_TOOLS = tuple(BUILT_INS)
SALES = Destination(name="Sales", aliases=("shop",), number="1001", come_back=False)
FAREWELL = do.RequestReply("Say exactly this to the caller, and nothing else: Bye now.")
HANGUP = do.Hangup("NORMAL_CLEARING")
LATE_S = 1e-6  # a timer may be so late


def secretary(**keys: Any) -> Secretary:
    """One that may do everything, in English; ``keys`` as in its file."""
    usual: dict[str, Any] = {
        "language": "en",
        "greeting": "Clinic, hello.",
        "farewell": "Bye now.",
        "destinations": [SALES],
        "tools": {
            "enabled": list(ALL_TOOLS),
            "webhooks": [
                {"name": "find", "description": "Find.", "url": "http://h/", "wait_say": "Wait."},
                {
                    "name": "check_pin",
                    "description": "Check.",
                    "url": "http://h/",
                    "secure": {"code": "pin"},
                },
            ],
        },
    }
    return Secretary(**{**usual, **keys})


def tool_call(name: str, call_id: str = "c1", /, **arguments: Any) -> ToolCall:
    """A function call of a model."""
    return ToolCall(call_id, name, json.dumps(arguments))


class World:
    """One call that is arriving; times in seconds, from 0 on."""

    def __init__(
        self,
        who: Secretary | None = None,
        *,
        closed: bool = False,
        takes_turns: bool = False,
        fallback: str = "",
    ) -> None:
        self.who = who = who or secretary()
        self.closed, self.fallback = closed, fallback
        self.takes_turns = takes_turns
        conversation = Conversation(who, Toolbox(who), closed=closed)
        max_call_s = who.limits.max_call_s
        self.call = Call(conversation, max_call_s=max_call_s, fallback=who.destination(fallback))
        self.now = 0.0
        self.actions: list[do.Action] = []
        self.model = "none"  # connecting, ready
        self.asked = False  # for a reply that has not begun
        self.response = ""
        self.cancelled = False
        self.items: list[str] = []  # in the playout
        self.paused = False
        self.music = False
        self.running: list[str] = []  # webhooks, by call_id
        self.transferring = False
        self.files_due = False
        self.over = False
        self.held = False
        self.gates = do.SetGates()
        self._leaving_since: float | None = None
        self._ran: set[tuple[str, str]] = set()  # in this turn of the caller
        self._count = 0
        self._last = ""  # response

    @property
    def words(self) -> list[str]:
        """Items of the model that wait to be heard."""
        return [item for item in self.items if item != "moment"]

    @property
    def in_flight(self) -> bool:
        """Whether the model replies, or was asked to."""
        return self.asked or bool(self.response)

    def feed(self, *events: ev.Event) -> list[do.Action]:
        """Tell the call; returns what it wants done, without its notes and its gates."""
        wanted: list[do.Action] = []
        for event in events:
            if isinstance(event, AgentReady):  # as the session completes it
                event = replace(event, takes_turns=self.takes_turns)
            self._notice(event)
            actions = self.call.handle(event, self.now)
            failed = isinstance(event, ev.TransferFailed)
            if self.transferring and (failed or self.call.state is not State.TRANSFERRING):
                self.transferring, self._leaving_since = False, None
            if self.call.conversation.leaving and self._leaving_since is None:
                self._leaving_since = self.now
            for action in actions:
                self._perform(action)
            wanted += [a for a in actions if not isinstance(a, do.Note | do.SetGates)]
            self._gates_are_right()
        self.actions += wanted
        return wanted

    def later(self, seconds: float) -> list[do.Action]:
        """Let time pass; every deadline is kept."""
        wanted: list[do.Action] = []
        until, at_once = self.now + seconds, 0
        while (deadline := self.call.next_deadline()) is not None and deadline <= until:
            at_once = at_once + 1 if deadline <= self.now else 0
            assert at_once < 20, "a deadline that never passes"
            self.now = max(self.now, deadline + LATE_S)
            wanted += self.feed(ev.TimeUp())
        self.now = max(self.now, until)
        return wanted

    # --- what usually happens ---------------------------------------------------------------------

    def talking(self) -> World:
        """The greeting is asked for."""
        self.feed(
            ev.Arrived(False),
            ev.Answered(),
            ev.StreamOpened(),
            ev.LaneOpened(8000),
            AgentReady(),
        )
        assert self.call.state is State.TALKING
        return self

    def crashed(
        self,
        *,
        away_s: float = 0.0,
        words_unknown: bool = False,
        snapshot: Snapshot | None = None,
        unreached: str = "",
    ) -> World:
        """The same call in another process, which has just got it; its clock began elsewhere.
        ``snapshot``: in the place of the present one."""
        stored = load(dump(StoredSnapshot(self.call.conversation.snapshot().shifted(7.0))))
        assert stored is not None
        heard = any(isinstance(action, do.RequestReply) for action in self.actions)
        other = World(
            self.who, closed=self.closed, takes_turns=self.takes_turns, fallback=self.fallback
        )
        other.now = self.now + 7.0
        other.call.setup.resumption = Resumption(
            snapshot or stored.memory,
            (Said("agent", "Clinic"),) if heard else (),
            cut=bool(self.words),
            words_unknown=words_unknown,
            away_s=away_s,
            unreached=unreached,
        )
        other._count = 1000 * (self._count + 1)
        other.feed(ev.Arrived(True))
        return other

    def resumed(self) -> World:
        """It goes on."""
        self.feed(ev.StreamOpened(), ev.LaneOpened(8000), AgentReady())
        return self

    def greeted(self) -> World:
        """The greeting was heard."""
        self.talking().reply()
        return self.hear_all()

    def lose(self, recovery: Recovery = Recovery.RECONNECT) -> list[do.Action]:
        """The model is gone."""
        return self.feed(AgentFailed("closed", recovery))

    def started(self) -> ev.Event:
        """The model begins a reply."""
        self._count += 1
        self._last = f"r{self._count}"
        return ResponseStarted(self._last)

    def queued(self) -> ev.Event:
        """The first audio of a reply."""
        self._count += 1
        return ev.ItemQueued(f"i{self._count}")

    def refused(self, **error: Any) -> ev.Event:
        """The model will not begin the reply that was requested."""
        return ReplyRefused("busy", **error)

    def done(self, *calls: ToolCall, status: str = "completed", **error: Any) -> ev.Event:
        """The reply in flight is over."""
        return ResponseDone(self._last, status, calls=calls, **error)

    def reply(self, *calls: ToolCall, speak: bool = True) -> list[do.Action]:
        """A whole reply of the model; its item waits to be heard."""
        wanted = self.feed(self.started())
        wanted += self.feed(self.queued()) if speak else []
        return wanted + self.feed(self.done(*calls))

    def hear(self) -> list[do.Action]:
        """The caller hears the next item to its end."""
        return self.feed(ev.ItemFinished(self.items[0], 500))

    def hear_all(self) -> World:
        """The caller hears all that waits."""
        while self.items:
            self.hear()
        return self

    def turn(self) -> list[do.Action]:
        """The caller says something while nobody else does."""
        return self.feed(SpeechStarted(0, "u1"), SpeechStopped(0, "u1"))

    def asks(self, *calls: ToolCall, speak: bool = False) -> list[do.Action]:
        """A turn of the caller, and a reply of the model that calls functions."""
        self.turn()
        return self.reply(*calls, speak=speak)

    # --- what must always hold --------------------------------------------------------------------

    def _notice(self, event: ev.Event) -> None:
        match event:
            case AgentReady():
                self.model = "ready"
            case AgentFailed():
                self.model, self.asked, self.response = "none", False, ""
            case ResponseStarted(response) if not self.response:
                self.asked, self.cancelled, self.response = False, False, response
            case ReplyRefused():
                self.asked = self.asked and bool(self.response)
            case ResponseDone(response) if response == self.response:
                self.response, self.cancelled = "", False
            case ev.ItemQueued(item):
                self.items.append(item)
            case ev.ItemFinished(item) if item in self.items:
                self.items.remove(item)
            case SpeechStopped() | ev.Dtmf():
                self._ran.clear()
            case ev.FilesReady():
                self.music = False

    def _perform(self, action: do.Action) -> None:
        over = self.over or self.transferring
        match action:
            case do.ConnectAgent():
                self.model = "connecting"
                self.asked, self.response = False, ""
            case do.RequestReply(words):
                assert self.model == "ready", "asked of a model that is not there"
                assert not self.in_flight, "two replies at once"
                assert not over, "said after the end"
                assert not self.music, "said into the music"
                assert not self.held, "asked for what nobody hears"
                assert words or not self.takes_turns, "asked for what the model does by itself"
                self.asked = True
            case do.CancelReply():
                assert self.response, "cancelled what has no name"
                assert not self.cancelled, "cancelled twice"
                self.cancelled = True
            case do.Pause():
                assert not self.paused
                self.paused = True
            case do.Unpause():
                assert self.paused
                self.paused = False
            case do.HoldSpeech():
                assert not self.held
                self.held = True
            case do.ReleaseSpeech():
                assert self.held
                self.held = False
            case do.Interrupt():
                self.items, self.paused = [], False
            case do.PlayMusic(on):
                assert on is not self.music
                assert not (on and (self.words or over))
                self.music = on
            case do.PlaySentence(name):
                assert not over, "said after the end"
                assert name == "sorry" or not (self.music or self.words)
                self.items, self.paused = [name], False
            case do.TellModel() | do.ForgetItem():
                assert self.model == "ready"
            case do.AskWebhook(call_id, request):
                assert not over
                key = request.tool.name, json.dumps(dict(request.arguments), sort_keys=True)
                assert key not in self._ran, "run twice in a turn"
                self._ran.add(key)
                self.running.append(call_id)
            case do.PlayFiles():
                self.files_due = True
            case do.Hangup() | do.Transfer():
                self._leave(action)
            case do.SetGates():
                assert action != self.gates, "set as they were"
                self.gates = action
            case do.Close():
                assert not self.over or self.call.state is State.ENDED
                self.over = True

    def _gates_are_right(self) -> None:
        talking, conversation = self.call.state is State.TALKING, self.call.conversation
        assert self.gates.agent is talking
        closed = not talking or conversation.music_playing
        silent = conversation.secret_digits or conversation.held
        assert self.gates.caller == ("closed" if closed else "silent" if silent else "open")

    def _leave(self, exit_: do.Hangup | do.Transfer) -> None:
        assert not self.over, "left after the end"
        assert not self.transferring, "left twice"
        assert not self.paused
        assert not self.music
        if self.call.conversation.leaving and exit_ != do.Hangup("NORMAL_TEMPORARY_FAILURE"):
            since = self._leaving_since
            assert since is not None
            abandoned = self.call.outcome == "model lost"
            said = not self.words or self.now >= since + LAST_WORDS_S or self.held
            assert said or abandoned, "the last words were cut off"
        self.over = isinstance(exit_, do.Hangup)
        self.transferring = not self.over
        if self.transferring:
            self._leaving_since = None


def output(actions: list[do.Action]) -> dict[str, Any]:
    """What the model gets for its first function call of these."""
    result = next(a for a in actions if isinstance(a, do.ToolResult))
    return json.loads(result.output)  # type: ignore[no-any-return]


def kinds(actions: Iterable[do.Action]) -> list[str]:
    """Their names, for a test that cares about nothing else."""
    return [type(action).__name__ for action in actions]

"""What the controller needs of a voice model: a ``Model`` per process, an ``Agent`` per call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from esl_controller.call.agent import Called, History, Usage
from esl_controller.call.agent_events import AgentEvent
from esl_controller.secretaries.persona import Persona
from media.frame import Format


class Model(Protocol):
    """The endpoint of a voice model, shared by all calls. ``factory.make_model`` makes it.

    ``service`` names the endpoint in messages: who runs it, or its URL.
    """

    service: str

    def agent(self, persona: Persona, history: History, *, g711: bool) -> Agent:
        """An agent that has not connected yet; ``history`` is what was said in the call so far,
        ``g711`` whether the caller's own codec is G.711."""

    async def loaded(self) -> None:
        """Return when an agent can connect without waiting for an import."""

    async def close(self) -> None:
        """Free what the agents shared, once none of them runs any more."""

    def remedy(self, reason: str) -> str:
        """What an operator can do about the ``reason`` of an ``AgentFailed``, in one line."""


class Agent(Protocol):
    """One connection to a voice model.

    ``takes_turns``: the model decides by itself when to answer and when to fall silent. Then
    ``respond`` without instructions, ``cancel`` and ``forget`` do nothing.

    An error is reported with what helps against it (``call.agent.Recovery``): a request to speak
    that is refused by ``ReplyRefused``, a response that fails by its ``ResponseDone``, what ends
    the connection by ``AgentFailed``. What can be done without is only counted and logged.
    ``AgentAudio`` holds whole samples, and nothing of a response that was cancelled or is over.

    ``run`` is its only task: it connects, reports ``AgentReady``, and returns once it has reported
    ``AgentFailed`` or was cancelled. All other methods return at once; ``run`` sends what they ask
    for, in order, once the session is ready. Events are reported in the event loop, through the
    ``on_event`` that ``run`` was given.
    """

    input: Format
    output: Format
    takes_turns: bool

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        """Connect and converse. Never raises for what the model or the network does."""

    def hear(self, audio: bytes) -> None:
        """The caller's audio in ``input`` format, any size. If too much waits to be sent, the
        oldest is dropped and counted in ``counters.dropped_ms``."""

    def respond(self, instructions: str = "") -> None:
        """Speak now: what the conversation asks for, or what ``instructions`` say. Reported by
        ``ResponseStarted`` or ``ReplyRefused``; not to be called while a response is in flight."""

    def cancel(self) -> None:
        """Stop the response in flight; after this only its ``ResponseDone`` is reported."""

    def truncate(self, item: str, heard_ms: int) -> None:
        """The caller heard only the first ``heard_ms`` of ``item``: forget the rest of it."""

    def forget(self, item: str) -> None:
        """The caller's ``item`` was not speech: take it out of the conversation."""

    def tool_result(self, call: Called, *, last: bool = False) -> None:
        """The result of a tool call, perhaps one that an earlier connection made. A model that
        takes turns itself goes on by itself, unless this is the ``last`` thing in the conversation;
        others answer only when asked to."""

    def tell(self, text: str) -> None:
        """Something the caller did that cannot be heard, such as a key pressed."""

    @property
    def unreported(self) -> Usage:
        """What was used since the last ``ResponseDone``, as far as it is known."""

    @property
    def counters(self) -> Counters:
        """How much went through, for the log and the benchmark."""


@dataclass
class Counters:
    """Totals of one agent. ``appends``: audio messages sent; ``deltas``: audio messages received;
    ``ignored``: unusable events; ``errors``: those the model reported."""

    appends: int = 0
    deltas: int = 0
    ignored: int = 0
    errors: int = 0
    dropped_ms: float = 0.0

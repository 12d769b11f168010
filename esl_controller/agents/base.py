"""What a call needs of a voice model."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from esl_controller.call.events import AgentEvent, Usage
from media.frame import Format


@dataclass(frozen=True)
class ServerVad:
    """The model ends a turn after silence. ``threshold``: 0 to 1, from eager to deaf; ``prefix_ms``
    of audio before the first loud frame belong to the turn."""

    threshold: float = 0.5
    silence_ms: int = 500
    prefix_ms: int = 300


@dataclass(frozen=True)
class SemanticVad:
    """The model ends a turn when the caller seems to have finished a thought."""

    eagerness: Literal["auto", "low", "medium", "high"] = "auto"


@dataclass(frozen=True)
class Tool:
    """A function that the model may call; ``parameters`` is a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Persona:
    """Who the model is to be in one call."""

    model: str
    voice: str
    language: str
    instructions: str
    tools: tuple[Tool, ...] = ()
    turn_detection: ServerVad | SemanticVad = ServerVad()
    noise_reduction: Literal["off", "near_field", "far_field"] = "off"


@dataclass(frozen=True)
class Said:
    """Something that was said before; of the agent only what the caller heard."""

    who: Literal["caller", "agent"]
    text: str


@dataclass(frozen=True)
class Called:
    """A function call with its result, both JSON texts."""

    call_id: str
    name: str
    arguments: str
    output: str


History: TypeAlias = Sequence[Said | Called]


@dataclass(frozen=True)
class Abilities:
    """What an agent can do; the core does without what it cannot.

    ``truncates``: it can be told how much of an item was heard, and forgets the rest.
    ``takes_turns``: it decides itself when to answer and when to fall silent. Then ``respond``
    without instructions, ``cancel`` and ``forget`` do nothing.
    """

    truncates: bool = True
    takes_turns: bool = False


class Agent(Protocol):
    """One connection to a voice model.

    ``run`` connects, reports ``AgentReady``, and returns after it has reported ``AgentFailed`` or
    was cancelled; it is the only task. All other methods return at once: what they ask for is sent
    by ``run``, in order, and nothing before the session is ready. Every event comes through the
    ``on_event`` given to ``run``, in the event loop.
    """

    input: Format
    output: Format
    abilities: Abilities

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        """Live. Never raises for what the model or the network does."""

    def hear(self, audio: bytes) -> None:
        """The caller's audio in ``input`` format, any size. The oldest is dropped if too much
        waits, counted in ``counters.dropped_ms``."""

    def respond(self, instructions: str = "") -> None:
        """Speak now, as the conversation asks for or as ``instructions`` say. Reported by
        ``ResponseStarted``; not to be called while a response is in flight."""

    def cancel(self) -> None:
        """Stop the response in flight; nothing more of it is reported but its ``ResponseDone``."""

    def truncate(self, item: str, heard_ms: int) -> None:
        """The caller heard only the first ``heard_ms`` of ``item``: forget the rest of it."""

    def forget(self, item: str) -> None:
        """``item`` of the caller was no speech: take it out of the conversation."""

    def tool_result(self, call: Called, *, last: bool = False) -> None:
        """What a function call came to. A model that takes turns itself goes on by itself, unless
        the conversation ends (``last``); others answer only when asked to. The call may have been
        another connection's."""

    def tell(self, text: str) -> None:
        """Something that the caller did and that cannot be heard, such as a key pressed."""

    @property
    def unreported(self) -> Usage:
        """What was used since the last ``ResponseDone``, as far as it is known."""

    @property
    def counters(self) -> Counters:
        """What went through, for the log and the benchmark."""


@dataclass
class Counters:
    """Totals of one agent. ``appends``: audio messages sent; ``ignored``: unusable events."""

    appends: int = 0
    deltas: int = 0
    ignored: int = 0
    errors: int = 0
    dropped_ms: float = 0.0

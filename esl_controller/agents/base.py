"""What a call needs of a voice model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from esl_controller.call.agent import Abilities, Called
from esl_controller.call.events import AgentEvent, Usage
from media.frame import Format


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

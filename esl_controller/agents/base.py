"""What a call needs of a voice model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from esl_controller.events import AgentEvent
from media.frame import Format


class Agent(Protocol):
    """One conversation with a voice model.

    ``run`` connects, reports ``AgentReady``, and returns after it has reported ``AgentFailed`` or
    was cancelled; it is the only task. All other methods return at once: what they ask for is sent
    by ``run``, in order, and nothing before the session is ready. Every event comes through the
    ``on_event`` given to ``run``, in the event loop.
    """

    input: Format
    output: Format

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        """Live. Never raises for what the model or the network does."""

    def hear(self, audio: bytes) -> None:
        """The caller's audio in ``input`` format, any size. The oldest is dropped if too much
        waits, counted in ``counters.dropped_ms``."""

    def greet(self) -> None:
        """Speak first."""

    def truncate(self, item: str, heard_ms: int) -> None:
        """The caller heard only the first ``heard_ms`` of ``item``: forget the rest of it."""

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

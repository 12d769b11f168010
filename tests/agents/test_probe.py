"""What a probe finds, of a model that confirms, refuses, or just ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from esl_controller.agents.probe import probe
from esl_controller.call.agent import Recovery
from esl_controller.call.agent_events import AgentEvent, AgentFailed, AgentReady
from esl_controller.secretaries.persona import Persona

PERSONA = Persona("m", "v", "en", "Be brief.")
REFUSED = AgentFailed("the key was refused", Recovery.NEXT_MODEL)


class Scripted:
    """A model whose agents report ``events``, then last or end."""

    def __init__(self, *events: AgentEvent, lasts: bool = False, raises: bool = False) -> None:
        self.events, self.lasts, self.raises = events, lasts, raises
        self.ended = False

    def agent(self, persona: Persona, history: Any, *, g711: bool) -> Any:
        assert persona is PERSONA
        assert not history
        return self

    async def run(self, on_event: Callable[[AgentEvent], None]) -> None:
        try:
            await asyncio.sleep(0)
            for event in self.events:
                on_event(event)
            if self.raises:
                raise RuntimeError("bug")
            if self.lasts:
                await asyncio.Event().wait()
        finally:
            self.ended = True


@pytest.mark.parametrize(
    ("model", "outcome"),
    [
        (Scripted(AgentReady(), lasts=True), AgentReady()),
        (Scripted(AgentReady(), REFUSED), AgentReady()),
        (Scripted(REFUSED), REFUSED),
        (Scripted(), AgentFailed("it ended without a word")),
        (Scripted(raises=True), AgentFailed("it ended without a word")),
    ],
)
async def test_the_first_word_counts_and_nothing_runs_on(model: Any, outcome: AgentEvent) -> None:
    async with asyncio.timeout(5):
        assert await probe(model, PERSONA) == outcome
    assert model.ended

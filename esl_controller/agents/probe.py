"""Does a model take us? Asked by ``esl-controller doctor``, of any vendor's model."""

from __future__ import annotations

import asyncio

from esl_controller.agents.base import Model
from esl_controller.call.agent_events import AgentEvent, AgentFailed, AgentReady
from esl_controller.secretaries.persona import Persona


async def probe(model: Model, persona: Persona) -> AgentReady | AgentFailed:
    """Open a session in which nothing is said, then close it: how it went."""
    outcome: asyncio.Future[AgentReady | AgentFailed] = asyncio.get_running_loop().create_future()

    def on_event(event: AgentEvent) -> None:
        if isinstance(event, AgentReady | AgentFailed) and not outcome.done():
            outcome.set_result(event)

    running = asyncio.create_task(model.agent(persona, (), g711=True).run(on_event))
    running.add_done_callback(lambda _: on_event(AgentFailed("it ended without a word")))
    try:
        return await outcome
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

"""The built-in stand-in for a voice model, for callers who come before anybody has set a key.

This is the only door from the controller to the simulator. A start with a key does not open it, and
so does not wait for its import.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator

from esl_controller.config.model_settings import AgentSettings


@contextlib.asynccontextmanager
async def stand_in(settings: AgentSettings) -> AsyncIterator[AgentSettings]:
    """Run the stand-in while the block runs; yields ``settings`` that lead to it."""
    from esl_controller.simulator.model import ModelStandIn

    async with ModelStandIn(language=settings.language, record=False) as server:
        yield settings.model_copy(update={"kind": "realtime", "base_url": server.base_url})

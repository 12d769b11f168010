"""A stand-in for a voice model that listens and speaks at once: GPT-Live over a WebSocket.

Here is what only this protocol has: its events, its endless voice, its delegations. What the
Realtime API has as well belongs in ``model_base``. Imports that and ``media``; nothing of
``model``, of the controller or of its agents. The `openai` package's types decide what is a right
event.
"""

from esl_controller.simulator.live.server import LiveStandIn
from esl_controller.simulator.live.session import LiveSession

__all__ = ["LiveSession", "LiveStandIn"]

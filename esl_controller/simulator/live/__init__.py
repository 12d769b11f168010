"""A stand-in for a voice model that listens and speaks at once: GPT-Live over a WebSocket."""

from esl_controller.simulator.live.server import LiveStandIn
from esl_controller.simulator.live.session import LiveSession

__all__ = ["LiveSession", "LiveStandIn"]

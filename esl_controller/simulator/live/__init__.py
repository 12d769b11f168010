"""A stand-in for a voice model that listens and speaks at once: GPT-Live over a WebSocket."""

from .server import LiveStandIn
from .session import LiveSession

__all__ = ["LiveSession", "LiveStandIn"]

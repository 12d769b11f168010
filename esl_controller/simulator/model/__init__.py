"""A stand-in for a realtime voice model: the GA OpenAI Realtime protocol over a WebSocket."""

from .behaviour import Behaviour, ModelFaults, ScriptedCall
from .record import Append, Delta, Record, Spoken
from .server import ModelStandIn
from .session import ModelSession

__all__ = [
    "Append",
    "Behaviour",
    "Delta",
    "ModelFaults",
    "ModelSession",
    "ModelStandIn",
    "Record",
    "ScriptedCall",
    "Spoken",
]

"""A stand-in for a realtime voice model: the GA OpenAI Realtime protocol over a WebSocket."""

from esl_controller.simulator.model.server import ModelStandIn
from esl_controller.simulator.model.session import ModelSession
from esl_controller.simulator.model_base.behaviour import Behaviour, ModelFaults, ScriptedCall
from esl_controller.simulator.model_base.record import Append, Delta, SessionRecord, Spoken

__all__ = [
    "Append",
    "Behaviour",
    "Delta",
    "ModelFaults",
    "ModelSession",
    "ModelStandIn",
    "ScriptedCall",
    "SessionRecord",
    "Spoken",
]

"""A stand-in for a realtime voice model: the GA OpenAI Realtime protocol over a WebSocket.

Here is what only this protocol has: its events, its conversation, its responses, its turns. What
GPT-Live has as well belongs in ``model_base``. Imports that and ``media``; nothing of ``live``, of
the controller or of its agents. The `openai` package's types decide what is a right event.
"""

from esl_controller.simulator.model.server import ModelStandIn
from esl_controller.simulator.model.session import ModelSession
from esl_controller.simulator.model_base.behaviour import (
    Behaviour,
    ModelFailure,
    ModelFaults,
    ScriptedCall,
)
from esl_controller.simulator.model_base.record import Append, Delta, SessionRecord, Spoken

__all__ = [
    "Append",
    "Behaviour",
    "Delta",
    "ModelFailure",
    "ModelFaults",
    "ModelSession",
    "ModelStandIn",
    "ScriptedCall",
    "SessionRecord",
    "Spoken",
]

"""Which class speaks to which kind of model. The one place to register another
vendor's class; its kind stands in ``config/model_settings.py``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from esl_controller.agents.base import Model
from esl_controller.agents.openai.gpt_live import GptLiveModel
from esl_controller.agents.openai.realtime import RealtimeModel
from esl_controller.call.agent import PATIENCE_S
from esl_controller.config.model_settings import AgentSettings

MODELS: Final[dict[str, Callable[[AgentSettings, float], Model]]] = {
    "realtime": RealtimeModel,
    "live": GptLiveModel,
}
"""By ``[agent] kind``; made of settings, and of the seconds that an agent waits for an endpoint
that is known to be down. The kind ``standin`` is no model of its own: ``server/stand_in.py`` starts
a server that speaks one of these."""


def make_model(settings: AgentSettings, *, alone: bool = True) -> Model:
    """The model that ``[agent]`` names. Call it in the event loop; ``close`` what it returns.

    ``alone``: calls have no other one, so an agent waits for an endpoint that is known to be down;
    else it reports at once that it is. Raises KeyError for the kind ``standin``.
    """
    return MODELS[settings.resolved_kind](settings, PATIENCE_S if alone else 0.0)

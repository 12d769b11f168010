"""Which class speaks to which kind of model. The one place to register another vendor's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from esl_controller.agents.base import Model
from esl_controller.agents.openai.gpt_live import GptLiveModel
from esl_controller.agents.openai.realtime import RealtimeModel
from esl_controller.config.settings import AgentSettings

MODELS: Final[dict[str, Callable[[AgentSettings], Model]]] = {
    "realtime": RealtimeModel,
    "live": GptLiveModel,
}
"""By ``[agent] kind``. The kind ``standin`` is no model of its own: ``server/stand_in.py`` starts a
server that speaks one of these."""


def make_model(settings: AgentSettings) -> Model:
    """The model that ``[agent]`` names. Call it in the event loop; ``close`` what it returns.

    Raises KeyError for the kind ``standin``.
    """
    return MODELS[settings.resolved_kind](settings)

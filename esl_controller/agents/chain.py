"""The models that a call may have: ``[agent]``'s, then those of ``[[models]]`` in their order.

A secretary may choose some of them, in an order of its own. Which of them a call has when is
decided by ``call/model_link.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from esl_controller.agents.base import Model
from esl_controller.agents.factory import make_model
from esl_controller.config.model_settings import FIRST_MODEL, AgentSettings, FurtherModel
from esl_controller.config.settings import Settings
from esl_controller.secretaries.persona import Persona

IMPATIENT_S: Final = 3.0  # that connecting may take where there is another model to go on with


@dataclass(frozen=True)
class ChainModel:
    """One of them. ``name``: what the log and the record call it; ``further``: what its table says
    if it is not the first."""

    name: str
    model: Model
    settings: AgentSettings
    further: FurtherModel | None = None

    @property
    def described(self) -> str:
        """For an operator: which model, where, and what the settings call it."""
        known = f"the model {self.settings.resolved_model!r} at {self.model.service}"
        return f"{self.name!r}, {known}" if self.further else known

    def remedy(self, reason: str) -> str:
        """What an operator can do about the ``reason`` of an ``AgentFailed``, in one line."""
        advice = self.model.remedy(reason)
        if self.further is None:
            return advice
        return advice.replace("OPENAI_API_KEY", self.further.key).replace(FIRST_MODEL, "[[models]]")

    def as_persona(self, persona: Persona) -> Persona:
        """Who it is in a call: the first is what the secretary wants, each other one is as near to
        that as its own names of models and voices are."""
        if self.further is None:
            return persona
        voice = self.further.voice or persona.voice
        return replace(persona, model=self.settings.resolved_model, voice=voice)


def open_chain(settings: Settings, first: AgentSettings | None = None) -> Sequence[ChainModel]:
    """Make all models of the settings; ``close`` each. ``first`` stands in for ``[agent]``. Call it
    in the event loop."""
    agent = first or settings.agent
    if not settings.models:
        return (ChainModel(FIRST_MODEL, make_model(agent), agent),)
    timeout_s = min(IMPATIENT_S, agent.connect_timeout_s)
    agent = agent.model_copy(update={"connect_timeout_s": timeout_s})
    chain = [ChainModel(FIRST_MODEL, make_model(agent, alone=False), agent)]
    for further in settings.models:
        own = further.in_place_of(agent)
        chain.append(ChainModel(further.name, make_model(own, alone=False), own, further))
    return chain


def of_secretary(chain: Sequence[ChainModel], names: Sequence[str]) -> Sequence[ChainModel]:
    """Those of ``chain`` that a secretary names, in its order; all of them where it names none that
    is there."""
    known = {each.name: each for each in chain}
    return tuple(known[name] for name in names if name in known) or chain

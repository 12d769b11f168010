"""Who the voice model is to be in one call: what a secretary comes to, for any vendor. [core]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class BySilence:
    """The model ends a turn after silence. ``threshold``: 0 to 1, from eager to deaf; ``prefix_ms``
    of audio before the first loud frame belong to the turn."""

    threshold: float = 0.5
    silence_ms: int = 500
    prefix_ms: int = 300


@dataclass(frozen=True)
class ByMeaning:
    """The model ends a turn when the caller seems to have finished a thought."""

    eagerness: Literal["auto", "low", "medium", "high"] = "auto"


@dataclass(frozen=True)
class Tool:
    """A function that the model may call; ``parameters`` is a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Persona:
    """Who the model is to be in one call."""

    model: str
    voice: str
    language: str
    instructions: str
    tools: tuple[Tool, ...] = ()
    turn_detection: BySilence | ByMeaning = BySilence()
    noise_reduction: Literal["off", "near_field", "far_field"] = "off"

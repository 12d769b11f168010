"""Who the voice model is in one call, in no vendor's words. [core]"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True)
class BySilence:
    """Silence ends a turn.

    ``threshold``: how loud speech must be, 0 to 1. ``prefix_ms``: how much audio before the first
    loud frame belongs to the turn.
    """

    threshold: float = 0.5
    silence_ms: int = 500
    prefix_ms: int = 300


@dataclass(frozen=True)
class ByMeaning:
    """A turn ends when the caller seems to have finished a thought."""

    eagerness: Literal["auto", "low", "medium", "high"] = "auto"


@dataclass(frozen=True)
class Tool:
    """A function that the model may call; ``parameters`` is a JSON schema of type object."""

    name: str
    description: str
    parameters: Mapping[str, Any]


@dataclass(frozen=True)
class Persona:
    """Who the model is in one call."""

    model: str
    voice: str
    language: str
    instructions: str
    tools: tuple[Tool, ...] = ()
    turn_detection: BySilence | ByMeaning = BySilence()
    noise_reduction: Literal["off", "near_field", "far_field"] = "off"

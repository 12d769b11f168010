"""The settings of the models: ``[agent]``, and each of ``[[models]]``. [core]"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import AfterValidator, Field, SecretStr, Strict, model_validator

from esl_controller.config.setting_types import (
    BaseUrl,
    Language,
    Line,
    Name,
    Secret,
    Section,
    Variable,
    secret_variable,
    shown,
)

GREETINGS = {
    "en": "Hello! How can I help you?",
    "pt": "Olá! Como posso ajudar?",
    "es": "¡Hola! ¿En qué puedo ayudarle?",
}

INSTRUCTIONS = """\
You are the receptionist on the telephone. Be friendly, calm and brief.
Speak in one or two short sentences, then let the caller speak. Ask one question at a time.
Keep to the language of your greeting unless the caller speaks another one.
Say numbers, times and names slowly, and repeat them to be sure that you understood.
If you did not hear the caller well, say so and ask again. Never invent facts.
"""


ModelKind: TypeAlias = Literal["realtime", "live"]
Kind: TypeAlias = Literal["auto", ModelKind, "standin"]


@dataclass(frozen=True)
class OfKind:
    """``model``: the name of the kind's usual model; ``key``: the setting of [agent] that has the
    key of its endpoint."""

    model: str
    key: str = "api_key"


KINDS: Final[dict[str, OfKind]] = {
    "realtime": OfKind("gpt-realtime-2.1"),
    "live": OfKind("gpt-live-1"),
}


class AgentSettings(Section):
    """The voice model that talks with the caller."""

    kind: Kind = Field(
        default="auto",
        description="realtime (the OpenAI Realtime API, or an endpoint that speaks it), live"
        " (GPT-Live, likewise), standin (built in, repeats what it hears, needs no key) or auto:"
        " realtime if there is a key or a base_url, else standin.",
    )
    api_key: Secret = Field(
        default=SecretStr(""),
        description="Key for the endpoint.",
        json_schema_extra={"variable": "OPENAI_API_KEY"},
    )
    base_url: BaseUrl = Field(
        default="",
        description="https:// or http:// URL of the endpoint, with /v1. Empty: OpenAI's.",
    )
    model: Name = Field(
        default=KINDS["realtime"].model,
        description="Name of the model. With kind live, gpt-live-1 if not set.",
    )
    backend_model: Name = Field(
        default="gpt-6-luna",
        description="With kind live: the model that thinks and calls functions for the speaking"
        " one.",
    )
    transcription_model: Line = Field(
        default="gpt-transcribe",
        description="With kind realtime: the model that writes down what callers say, for the call"
        " record and for a connection that replaces a broken one. Empty: none.",
    )
    voice: Name = Field(default="marin", description="Name of its voice.")
    language: Language = Field(
        default="en",
        description="Language tag, such as en or pt-BR, of the greeting, transcripts and prompts.",
    )
    instructions: str = Field(
        default=INSTRUCTIONS,
        min_length=1,
        max_length=50_000,
        description="What the model is, and how it speaks.",
    )
    greeting: Line = Field(
        default="", description="What it says first. Empty: a short greeting in the language."
    )
    audio: Literal["auto", "pcm", "pcmu"] = Field(
        default="auto",
        description="Audio to and from the model: pcm (24 kHz), pcmu (8 kHz G.711) or auto: pcmu if"
        " the caller's own codec is G.711, else pcm.",
    )
    connect_timeout_s: float = Field(
        default=10.0, ge=0.5, le=120.0, description="Seconds that connecting to the model may take."
    )

    @property
    def resolved_kind(self) -> Kind:
        """`kind`, with auto resolved."""
        if self.kind == "auto":
            return "realtime" if self.api_key.get_secret_value() or self.base_url else "standin"
        return self.kind

    @property
    def resolved_model(self) -> str:
        """`model`, or the default model of the kind if not set."""
        known = KINDS.get(self.kind)
        return known.model if known and "model" not in self.model_fields_set else self.model

    @property
    def spoken_greeting(self) -> str:
        """`greeting`, or ours in `language` (in English if we have none)."""
        language = self.language.partition("-")[0].lower()
        return self.greeting or GREETINGS.get(language, GREETINGS["en"])

    @model_validator(mode="after")
    def _has_key(self) -> AgentSettings:
        known = KINDS.get(self.kind)
        if known and not (getattr(self, known.key).get_secret_value() or self.base_url):
            variable = secret_variable(type(self).model_fields[known.key])
            raise ValueError(f'kind = "{self.kind}" needs a key: set {variable} in the environment')
        return self


class FurtherModel(Section):
    """A model that takes the calls over while those before it are away: [agent]'s is the first,
    then come these tables in their order. It is like [agent] in all that is not said here."""

    name: Name = Field(description="What the log and the record call it.")
    kind: Literal["", ModelKind] = Field(
        default="", description="The API that it speaks: realtime or live. Empty: that of [agent]."
    )
    base_url: BaseUrl = Field(
        default="",
        description="https:// or http:// URL of the endpoint, with /v1. Empty: OpenAI's.",
    )
    key: Variable = Field(
        default="OPENAI_API_KEY",
        description="The environment variable that holds its key.",
    )
    model: Line = Field(
        default="",
        description="Name of the model. Empty: that of [agent], or the usual one of another kind.",
    )
    voice: Line = Field(default="", description="Name of its voice. Empty: the secretary's.")
    # From the environment, never from a file.
    api_key: Secret = SecretStr("")

    def in_place_of(self, first: AgentSettings) -> AgentSettings:
        """These as [agent], where ``first`` is what it really is."""
        kind = self.kind or first.resolved_kind
        usual = KINDS[kind]
        known = first.resolved_model if kind == first.resolved_kind else usual.model
        own: dict[str, object] = {"kind": kind, "model": self.model or known}
        own |= {"base_url": self.base_url, usual.key: self.api_key}
        return first.model_copy(update={**own, "voice": self.voice or first.voice})

    @model_validator(mode="after")
    def _has_key(self) -> FurtherModel:
        if not (self.api_key.get_secret_value() or self.base_url):
            raise ValueError(f"needs a key: set {self.key} in the environment")
        return self


MODELS_LIMIT: Final = 8  # each has a client of its own, and a caller waits for no more than a few
FIRST_MODEL: Final = "[agent]"  # its name among the others


def _names_differ(models: tuple[FurtherModel, ...]) -> tuple[FurtherModel, ...]:
    names = [FIRST_MODEL, *(model.name for model in models)]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"the name {shown(twice)} is there twice")
    return models


FurtherModels = Annotated[
    tuple[FurtherModel, ...],
    Strict(False),
    Field(max_length=MODELS_LIMIT),
    AfterValidator(_names_differ),
]

"""The tables of a secretary's file: each key with its range, default and help. [core]

``secretary.py`` puts the tables together and has the rules between them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Final, Literal

import jsonschema
from pydantic import AfterValidator, Field, ValidationInfo, model_validator

from esl_controller.config.setting_types import (
    ComeBack,
    DialplanWord,
    Line,
    Mistakes,
    Name,
    OptionalDialplanWord,
    OptionalWebhookUrl,
    Section,
    Several,
    Text,
    WebhookUrl,
    shown,
)
from esl_controller.secretaries import functions
from esl_controller.secretaries.functions import EnabledName
from esl_controller.secretaries.patterns import Pattern
from esl_controller.secretaries.persona import ByMeaning, BySilence


def _function_name(value: str) -> str:
    """Check a name that every model API accepts for a function or an argument."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,63}", value):
        raise ValueError(f"{shown(value)} is not a name of a-z, 0-9 and _, a letter first")
    return value


def _collection_name(value: str) -> str:
    """Check a name that collect_digits accepts."""
    if not re.fullmatch(r"[a-z][a-z0-9_]{0,31}", value):
        raise ValueError(
            f"{shown(value)} is not a name of a-z, 0-9 and _, a letter first, of at most 32"
            " characters"
        )
    return value


CHECKED: Final = object()  # the context in which a text of ours is read, whose schemas were checked
SCHEMA_LIMIT = 20_000  # characters: as much as a voice model may be told of all its functions
_COSTLY = {
    "$ref": "write out what it refers to",
    "$dynamicRef": "write out what it refers to",
    "patternProperties": "name the properties",
    "unevaluatedItems": "use items",
    "unevaluatedProperties": "use additionalProperties",
}


def _json_schema(value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """Check a JSON schema for the arguments of a function.

    What is checked against it holds up all calls, so it may be neither long nor costly. With the
    context ``CHECKED`` that was seen before.
    """
    if info.context is CHECKED:
        return value
    try:
        size = len(json.dumps(value, allow_nan=False, ensure_ascii=False))
    except (TypeError, ValueError):
        raise ValueError("holds what JSON cannot: a date, a time, inf or nan") from None
    if size > SCHEMA_LIMIT:
        raise ValueError(f"has {size} characters as JSON, more than {SCHEMA_LIMIT}")
    try:
        jsonschema.Draft202012Validator.check_schema(value)
    except jsonschema.SchemaError as error:
        place = error.json_path.removeprefix("$").removeprefix(".")
        raise ValueError(
            f"is no JSON schema: {place + ': ' if place else ''}{error.message[:200]}"
        ) from None
    if value.get("type") != "object":
        raise ValueError(
            'must be a JSON schema of type object: type = "object", properties = { ... }'
        )
    for key, inner in _keys(value):
        if key in _COSTLY:
            raise ValueError(f"holds a {key}; {_COSTLY[key]}")
        if key == "pattern" and isinstance(inner, str):
            _linear(inner)
    unknown = set(value.get("required", ())) - set(value.get("properties", {}))
    if unknown:
        raise ValueError(f"requires {shown(min(unknown))}, which is not in its properties")
    return value


def _linear(pattern: str) -> None:
    try:
        Pattern(pattern)
    except ValueError as error:
        raise ValueError(f"holds the pattern {shown(pattern)}, which {error}") from None


def _keys(value: object) -> Iterator[tuple[str, object]]:
    """Every key of a JSON value with what it has, at any depth."""
    if isinstance(value, Mapping):
        yield from value.items()
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _keys(item)


class TurnDetection(Section):
    """How the model decides that the caller has begun or finished speaking."""

    kind: Literal["server_vad", "semantic_vad"] = Field(
        default="server_vad",
        description="server_vad (by silence) or semantic_vad (by what is said).",
    )
    threshold: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="server_vad: how loud speech must be, 0 to 1; raise it in a noisy place.",
    )
    silence_ms: int = Field(
        default=500,
        ge=100,
        le=5000,
        description="server_vad: milliseconds of silence that end the caller's turn.",
    )
    prefix_ms: int = Field(
        default=300,
        ge=0,
        le=2000,
        description="server_vad: milliseconds before the first loud moment that count as speech.",
    )
    eagerness: Literal["auto", "low", "medium", "high"] = Field(
        default="auto",
        description="semantic_vad: how soon it answers: low (waits longest), medium, high, auto.",
    )

    @property
    def vad(self) -> BySilence | ByMeaning:
        """The same for the agent."""
        if self.kind == "semantic_vad":
            return ByMeaning(self.eagerness)
        return BySilence(self.threshold, self.silence_ms, self.prefix_ms)

    @model_validator(mode="after")
    def _has_keys_of_its_kind(self) -> TurnDetection:
        others = {
            "server_vad": ("eagerness",),
            "semantic_vad": ("threshold", "silence_ms", "prefix_ms"),
        }[self.kind]
        fields = type(self).model_fields
        foreign = [key for key in others if getattr(self, key) != fields[key].default]
        if foreign:
            raise Mistakes([(key, f'means nothing with kind = "{self.kind}"') for key in foreign])
        return self


class BargeIn(Section):
    """What happens when the caller speaks while the secretary does."""

    confirm_ms: int = Field(
        default=240,
        ge=0,
        le=2000,
        description="The secretary pauses at once, and stops for good after this many milliseconds"
        " of speech. After anything shorter, such as a cough, it goes on.",
    )
    during_greeting: bool = Field(
        default=True, description="Whether the caller can interrupt the greeting, too."
    )


class Limits(Section):
    """How long a call may last, and when a silent caller is asked to speak."""

    max_call_s: int = Field(
        default=3600, ge=10, le=86_400, description="Seconds after which the call is ended."
    )
    warn_s: int = Field(
        default=30,
        ge=0,
        le=600,
        description="How many seconds before that the caller is told; 0: not at all.",
    )
    idle_s: float = Field(
        default=15.0,
        ge=0.0,
        le=600.0,
        description="Seconds of silence after which the caller is asked to go on; 0: never.",
    )
    idle_prompts: int = Field(
        default=2,
        ge=0,
        le=10,
        description="How often the caller is asked; then the secretary says goodbye.",
    )
    max_turns: int = Field(
        default=0,
        ge=0,
        le=1000,
        description="Turns of the caller after which the secretary says goodbye; 0: no limit.",
    )

    @model_validator(mode="after")
    def _warns_before_the_end(self) -> Limits:
        if self.warn_s >= self.max_call_s:
            key = "warn_s" if "warn_s" in self.model_fields_set else "max_call_s"
            raise Mistakes(
                [(key, f"warn_s ({self.warn_s}) must be less than max_call_s ({self.max_call_s})")]
            )
        return self


class Destination(Section):
    """Somebody whom callers can be transferred to; nobody else can be reached."""

    name: Name = Field(description="What callers and the model call it.", examples=["Reception"])
    aliases: Several[Name] = Field(
        default=(), description="Other names for it.", examples=[["front desk"]]
    )
    kind: Literal["extension", "ring_group", "queue", "external", "voicemail"] = Field(
        default="extension",
        description="extension, ring_group, queue, external or voicemail. The model tells callers"
        " what to expect.",
    )
    number: DialplanWord = Field(
        description="The number that FreeSWITCH's dialplan knows it by.", examples=["1001"]
    )
    context: OptionalDialplanWord = Field(
        default="", description="Its dialplan context. Empty: that of the call."
    )
    timeout_s: int = Field(default=30, ge=5, le=600, description="Seconds that it may ring.")
    come_back: ComeBack = Field(
        default="unreached",
        description='When callers return to the secretary: "unreached" (if nobody answers), true'
        " (also when the other side hangs up) or false (never). A mailbox that answers counts as"
        " somebody.",
    )


FunctionName = Annotated[str, AfterValidator(_function_name)]
CollectionName = Annotated[str, AfterValidator(_collection_name)]
Parameters = Annotated[dict[str, Any], AfterValidator(_json_schema)]


class WebhookTool(Section):
    """A webhook function: the model calls it, and we ask your server."""

    name: FunctionName = Field(
        description="Its name, of a-z, 0-9 and _, beginning with a letter.",
        examples=["find_appointment"],
    )
    description: Text = Field(
        min_length=1,
        description="Tells the model what it does and when to use it.",
        examples=["Find the next free appointment."],
    )
    url: WebhookUrl = Field(
        description="https:// or http:// URL that gets a POST with the arguments as JSON.",
        examples=["https://clinic.example/appointments"],
    )
    timeout_s: float = Field(
        default=10.0, ge=0.5, le=60.0, description="Seconds that the answer may take."
    )
    wait_say: Line = Field(
        default="", description="What the caller hears meanwhile. Empty: nothing."
    )
    parameters: Parameters = Field(
        default={"type": "object", "properties": {}},
        description="Its arguments, as a JSON schema of type object.",
    )
    secure: dict[FunctionName, CollectionName] = Field(
        default={},
        description="Arguments that we fill in with digits the caller typed: argument = name of a"
        " secure collection of digits. The model sees neither.",
    )


class Tools(Section):
    """What the secretary may do."""

    enabled: Several[EnabledName] | None = Field(
        default=None,
        description=functions.enabled_help(),
        examples=[list(functions.usual(destinations=False))],
    )
    webhooks: Several[WebhookTool] = ()


class Recording(Section):
    """Recordings of the calls, made by FreeSWITCH."""

    stereo: bool = Field(
        default=False,
        description="Record every call: the caller left, the secretary right.",
    )
    after_transfer: bool = Field(
        default=False,
        description="Whether the recording goes on while a transferred caller talks to somebody"
        " else. If not, it stops at the transfer, and goes on when the caller comes back.",
    )


class Events(Section):
    """Where events are posted to: signed, and sent again for a day until they are accepted."""

    message_url: OptionalWebhookUrl = Field(
        default="", description="http(s) URL that gets each message a caller leaves."
    )
    call_ended_url: OptionalWebhookUrl = Field(
        default="", description="http(s) URL that gets the record of each call when it ends."
    )

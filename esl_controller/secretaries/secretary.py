"""A secretary: who answers the phone, how, and what it may do. [core]

``schema.py`` has the tables of its file. Here are the keys at the top, the rules between keys, and
what follows from them. ``reading.py`` makes a secretary of a file.
"""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property, lru_cache
from typing import Literal, TypeAlias

from pydantic import Field, ValidationError, model_validator

from esl_controller.config.model_settings import GREETINGS, AgentSettings
from esl_controller.config.setting_types import (
    Line,
    Mistakes,
    Name,
    OptionalLanguage,
    OptionalUuid,
    Section,
    Several,
    Text,
    shown,
)
from esl_controller.secretaries import functions
from esl_controller.secretaries.hours import Hours
from esl_controller.secretaries.phrases import CLOSED, FAREWELLS, phrase
from esl_controller.secretaries.schema import (
    CHECKED,
    BargeIn,
    Destination,
    Events,
    Limits,
    Recording,
    Tools,
    TurnDetection,
)

RECALLED = 32  # secretaries: as many as calls can come at once with different ones, and more

Mistake: TypeAlias = tuple[str, str]
"""A dotted key, and what is wrong with it."""


def of_agent(agent: AgentSettings) -> dict[str, str]:
    """The values of [agent] for the keys that a secretary's file may leave out."""
    return {
        "model": agent.resolved_model,
        "voice": agent.voice,
        "language": agent.language,
        "instructions": agent.instructions,
    }


def folded(name: str) -> str:
    """``name`` for comparison: without case, accents and superfluous spaces."""
    plain = (c for c in unicodedata.normalize("NFKD", name) if not unicodedata.combining(c))
    return " ".join("".join(plain).casefold().split())


class Secretary(Section):
    """One persona. If its file has no model, voice, language or instructions, [agent]'s apply."""

    domain_uuid: OptionalUuid = Field(
        default="",
        description="The tenant whose calls it answers (channel variable domain_uuid).",
    )
    secretary_uuid: OptionalUuid = Field(
        default="",
        description="The persona that the dialplan asks for (channel variable secretary_uuid)."
        " Empty: it answers the tenant's other calls.",
    )
    name: Line = Field(default="", description="What it calls itself.")
    company: Line = Field(default="", description="The company it answers for.")
    language: OptionalLanguage = Field(
        default="", description="Language tag, such as en or pt-BR. Empty: that of [agent]."
    )
    voice: Line = Field(default="", description="Name of its voice. Empty: that of [agent].")
    model: Line = Field(default="", description="Name of its model. Empty: that of [agent].")
    models: Several[Name] = Field(
        default=(),
        description="The models that may have its calls, the first of them that is well: names of"
        ' [[models]] in the settings, and "[agent]". Empty: all of them, in that file\'s order.',
        examples=[["[agent]"]],
    )
    instructions: Text = Field(
        default="", description="What it is and how it speaks. Empty: those of [agent]."
    )
    business_info: Text = Field(
        default="",
        description="What it knows: address, services, prices, how to get there.",
        examples=["Address: 1 Example Street.\nA visit is 50 pounds.\n"],
    )
    greeting: Line = Field(
        default="", description="What it says first. Empty: a short greeting in the language."
    )
    farewell: Line = Field(
        default="", description="What it says last. Empty: a short goodbye in the language."
    )
    guardrails: Several[Name] = Field(
        default=(),
        description="Topics that it must not discuss.",
        examples=[["diagnoses", "other patients"]],
    )
    fallback: Line = Field(
        default="",
        description="Name of the destination that gets the calls when the model fails. Empty: an"
        " apology and the end of the call.",
    )
    noise_reduction: Literal["off", "near_field", "far_field"] = Field(
        default="off",
        description="What the model filters out: off, near_field (for a handset) or far_field"
        " (for hands-free).",
    )
    turn_detection: TurnDetection = TurnDetection()
    barge_in: BargeIn = BargeIn()
    limits: Limits = Limits()
    hours: Hours = Hours()
    destinations: Several[Destination] = ()
    tools: Tools = Tools()
    recording: Recording = Recording()
    events: Events = Events()

    @classmethod
    def from_agent(cls, agent: AgentSettings) -> Secretary:
        """The secretary for calls that no file is for."""
        return cls(greeting=agent.greeting).completed(agent)

    def completed(self, agent: AgentSettings) -> Secretary:
        """The same, with [agent]'s model, voice, language and instructions where it has none."""
        missing = {key: value for key, value in of_agent(agent).items() if not getattr(self, key)}
        whole = self.model_copy(update=missing)
        # Made where the file is read, in a thread: each call asks for it.
        vars(whole)["as_json"] = whole.model_dump_json()
        return whole

    @classmethod
    def from_json(cls, text: str) -> Secretary | None:
        """The one that ``as_json`` wrote; None if ``text`` is anything else.

        Its JSON schemas were checked when its file was read, and are not checked again: that takes
        up to 20 s. The rest takes up to 0.3 s, so do it in a thread.
        """
        try:
            return cls.model_validate_json(text, context=CHECKED)
        except ValidationError:
            return None

    @cached_property
    def as_json(self) -> str:
        """All of it as a JSON text, for the store."""
        return self.model_dump_json()

    @property
    def key(self) -> tuple[str, str]:
        """The calls that it answers: domain_uuid and secretary_uuid, empty for any."""
        return self.domain_uuid, self.secretary_uuid

    @property
    def spoken_greeting(self) -> str:
        """The first words during the opening hours."""
        return self.greeting or phrase(GREETINGS, self.language)

    @property
    def spoken_closed(self) -> str:
        """The first words outside the opening hours."""
        return self.hours.say or phrase(CLOSED, self.language)

    @property
    def spoken_farewell(self) -> str:
        """The last words."""
        return self.farewell or phrase(FAREWELLS, self.language)

    @property
    def enabled_tools(self) -> tuple[functions.Name, ...]:
        """The built-in functions that the model is offered."""
        if self.tools.enabled is not None:
            return self.tools.enabled
        return functions.usual(destinations=bool(self.destinations))

    def destination(self, name: str) -> Destination | None:
        """The destination with that name or alias, whatever its case, accents and spaces."""
        return self.names.get(folded(name))

    @cached_property
    def names(self) -> Mapping[str, Destination]:
        """The destinations by their folded names and aliases; the first of two with the same."""
        return {
            folded(name): destination
            for destination in reversed(self.destinations)
            for name in (destination.name, *destination.aliases)
        }

    def leading_to(self, number: str, context: str = "") -> dict[int, Destination]:
        """The destinations with that number, by their place in the file. One that names a context
        counts only if it is ``context``."""
        return {
            place: destination
            for place, destination in enumerate(self.destinations)
            if destination.number == number and destination.context in ("", context)
        }

    @property
    def told_secret_digits(self) -> dict[int, str]:
        """The webhook functions that are sent what callers type in secret, by their place in the
        file."""
        webhooks = enumerate(self.tools.webhooks)
        return {place: webhook.name for place, webhook in webhooks if webhook.secure}

    @model_validator(mode="after")
    def _is_consistent(self) -> Secretary:
        mistakes = [*_destination_mistakes(self), *_function_mistakes(self)]
        if len(set(self.models)) < len(self.models):
            mistakes.append(("models", "one of them is there twice"))
        if mistakes:
            raise Mistakes(mistakes)
        return self


@lru_cache(maxsize=RECALLED)
def recalled(text: str) -> Secretary | None:
    """As ``Secretary.from_json``, and remembered: the calls of a controller that is gone come at
    once, and most of them began with the same one."""
    return Secretary.from_json(text)


def identity(text: str) -> str:
    """The name in the store of a secretary whose ``as_json`` is ``text``."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _destination_mistakes(secretary: Secretary) -> Iterator[Mistake]:
    """Names that two destinations share, and references to none."""
    known = secretary.names  # from now on: folding them takes longer than a call may wait
    used: dict[str, str] = {}
    for index, destination in enumerate(secretary.destinations):
        names = [("name", destination.name), *(("aliases", a) for a in destination.aliases)]
        for key, name in names:
            if folded(name) in used:
                before = used[folded(name)]
                text = f"{shown(name)} is taken: {shown(before)} is its name or alias too"
                yield f"destinations.{index}.{key}", text
            else:
                used[folded(name)] = destination.name
    references = (
        ("fallback", secretary.fallback),
        ("hours.destination", secretary.hours.destination),
    )
    for key, name in references:
        if name and folded(name) not in known:
            yield key, f"{shown(name)} is not a destination; {_there_are(used.values())}"


def _function_mistakes(secretary: Secretary) -> Iterator[Mistake]:
    """Functions that are enabled twice, need what is missing, or have another one's name."""
    enabled = secretary.enabled_tools
    for name in sorted(name for name, times in Counter(enabled).items() if times > 1):
        yield "tools.enabled", f'"{name}" stands in it twice'
    for name in dict.fromkeys(enabled):
        if functions.BUILT_INS[name].needs_destinations and not secretary.destinations:
            yield "tools.enabled", f'"{name}" needs [[destinations]]'
    hours = secretary.hours
    if hours.do == "message" and not hours.always_open and "take_message" not in enabled:
        yield "hours.do", '"message" needs "take_message" in [tools] enabled'
    used: set[str] = set(functions.BUILT_INS)
    for index, webhook in enumerate(secretary.tools.webhooks):
        key = f"tools.webhooks.{index}"
        if webhook.name in used:
            whose = "a built-in function's" if webhook.name in functions.BUILT_INS else "another's"
            yield f"{key}.name", f"{shown(webhook.name)} is {whose} name"
        used.add(webhook.name)
        if webhook.secure and "collect_digits" not in enabled:
            yield f"{key}.secure", 'needs "collect_digits" in [tools] enabled'
        for argument in webhook.secure:
            if argument in webhook.parameters.get("properties", {}):
                yield (
                    f"{key}.secure.{argument}",
                    "is in parameters too: the model would be asked for it",
                )


def _there_are(names: Iterable[str]) -> str:
    unique = list(dict.fromkeys(names))
    return f"there are {', '.join(map(shown, unique))}" if unique else "there are none"

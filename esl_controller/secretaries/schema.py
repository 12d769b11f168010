"""A secretary: who answers the phone, what for, how, and what it may do. [core]

Every key of its file, with type, range, default and help. ``checks`` holds the rules between keys,
``reading`` makes one of a file.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from esl_controller.config.setting_types import (
    DialplanWord,
    Line,
    Mistakes,
    Name,
    OptionalDialplanWord,
    OptionalLanguage,
    OptionalUuid,
    OptionalWebhookUrl,
    Text,
    WebhookUrl,
    listed,
)
from esl_controller.config.settings import GREETINGS, AgentSettings, Section
from esl_controller.secretaries import checks, prompt
from esl_controller.secretaries.checks import BuiltIn
from esl_controller.secretaries.hours import Hours
from esl_controller.secretaries.persona import ByMeaning, BySilence, Persona, Tool
from esl_controller.secretaries.phrases import CLOSED, FAREWELLS, phrase


def of_agent(agent: AgentSettings) -> dict[str, str]:
    """The keys that a secretary may leave to [agent], with its values."""
    return {
        "model": agent.resolved_model,
        "voice": agent.voice,
        "language": agent.language,
        "instructions": agent.instructions,
    }


class TurnDetection(Section):
    """How the model decides that the caller begins and has finished."""

    kind: Literal["server_vad", "semantic_vad"] = Field(
        default="server_vad",
        description="server_vad (by silence) or semantic_vad (by what is said).",
    )
    threshold: float = Field(
        default=0.5,
        ge=0.0,
        le=1.0,
        description="server_vad: how loud speech has to be, 0 to 1; more for a noisy place.",
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
        description="server_vad: milliseconds before the first loud moment that belong to it.",
    )
    eagerness: Literal["auto", "low", "medium", "high"] = Field(
        default="auto",
        description="semantic_vad: how soon it answers: low (waits longest), medium, high, auto.",
    )

    @property
    def vad(self) -> BySilence | ByMeaning:
        """What the agent is told."""
        if self.kind == "semantic_vad":
            return ByMeaning(self.eagerness)
        return BySilence(self.threshold, self.silence_ms, self.prefix_ms)

    @model_validator(mode="after")
    def _of_one_kind(self) -> TurnDetection:
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
    """The caller speaks while the secretary does."""

    confirm_ms: int = Field(
        default=240,
        ge=0,
        le=2000,
        description="The secretary pauses at once, and falls silent for good after so many"
        " milliseconds of speech; what is shorter (a cough) lets it go on.",
    )
    during_greeting: bool = Field(
        default=True, description="Whether the greeting can be interrupted as well."
    )


class Limits(Section):
    """How long, how often."""

    max_call_s: int = Field(
        default=3600, ge=10, le=86_400, description="Seconds after which the call is ended."
    )
    warn_s: int = Field(
        default=30,
        ge=0,
        le=600,
        description="Seconds before that end at which the caller is told; 0: not at all.",
    )
    idle_s: float = Field(
        default=15.0,
        ge=0.0,
        le=600.0,
        description="Seconds of silence after which the caller is asked to go on; 0: never.",
    )
    idle_prompts: int = Field(
        default=2, ge=0, le=10, description="So many times; then it says goodbye."
    )
    max_turns: int = Field(
        default=0, ge=0, le=1000, description="Turns of the caller, then goodbye; 0: no limit."
    )

    @model_validator(mode="after")
    def _warned_in_time(self) -> Limits:
        if self.warn_s >= self.max_call_s:
            key = "warn_s" if "warn_s" in self.model_fields_set else "max_call_s"
            raise Mistakes(
                [(key, f"warn_s ({self.warn_s}) must be less than max_call_s ({self.max_call_s})")]
            )
        return self


class Destination(Section):
    """Somebody whom callers can be transferred to; nobody else can be reached."""

    name: Name = Field(description="As callers and the model call it.", examples=["Reception"])
    aliases: Annotated[tuple[Name, ...], listed] = Field(
        default=(), description="Other names for it.", examples=[["front desk"]]
    )
    kind: Literal["extension", "ring_group", "queue", "external", "voicemail"] = Field(
        default="extension",
        description="extension, ring_group, queue, external or voicemail: what callers are told.",
    )
    number: DialplanWord = Field(
        description="What FreeSWITCH's dialplan is asked for.", examples=["1001"]
    )
    context: OptionalDialplanWord = Field(
        default="", description="Context of the dialplan. Empty: that of the call."
    )
    timeout_s: int = Field(
        default=30, ge=5, le=600, description="Seconds that it may ring until we give up."
    )
    come_back: bool = Field(
        default=False,
        description="Whether callers come back to the secretary when the other side hangs up or"
        " cannot be reached.",
    )


Function = Annotated[str, AfterValidator(checks.function_name)]
Collection = Annotated[str, AfterValidator(checks.collection_name)]
Parameters = Annotated[dict[str, Any], AfterValidator(checks.json_schema)]


class WebhookTool(Section):
    """A function of your own: the model calls it, we ask your server."""

    name: Function = Field(
        description="Its name: a-z, 0-9 and _, a letter first.", examples=["find_appointment"]
    )
    description: Text = Field(
        min_length=1,
        description="What it does and when to use it, for the model.",
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
    secure: dict[Function, Collection] = Field(
        default={},
        description="Arguments that we fill in with what the caller typed: argument = name of a"
        " secure collection of digits. The model sees neither.",
    )


class Tools(Section):
    """What the secretary may do."""

    enabled: Annotated[tuple[BuiltIn, ...], listed] | None = Field(
        default=None,
        description="Of end_call, transfer_call, hold, unhold, send_dtmf, collect_digits and"
        " take_message. Not set: end_call, take_message, and transfer_call where there are"
        " destinations.",
        examples=[["end_call", "take_message"]],
    )
    webhooks: Annotated[tuple[WebhookTool, ...], listed] = ()


class Recording(Section):
    """Recordings of its calls, made by FreeSWITCH."""

    stereo: bool = Field(
        default=False, description="Record every call, left the caller, right the secretary."
    )


class Events(Section):
    """Your servers that are told; with retries, and signed."""

    message_url: OptionalWebhookUrl = Field(
        default="", description="http(s) URL that gets each message that was taken."
    )
    call_ended_url: OptionalWebhookUrl = Field(
        default="", description="http(s) URL that gets the record of each call."
    )


class Secretary(Section):
    """One persona. What its file leaves empty of model, voice, language and instructions is
    [agent]'s."""

    domain_uuid: OptionalUuid = Field(
        default="", description="The tenant whose calls it takes (channel variable domain_uuid)."
    )
    secretary_uuid: OptionalUuid = Field(
        default="",
        description="The persona that the dialplan asks for (channel variable secretary_uuid)."
        " Without it, it takes the tenant's other calls.",
    )
    name: Line = Field(default="", description="What it calls itself.")
    company: Line = Field(default="", description="For whom it answers.")
    language: OptionalLanguage = Field(
        default="", description="Language tag, such as en or pt-BR. Empty: that of [agent]."
    )
    voice: Line = Field(default="", description="Name of its voice. Empty: that of [agent].")
    model: Line = Field(default="", description="Name of its model. Empty: that of [agent].")
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
    guardrails: Annotated[tuple[Name, ...], listed] = Field(
        default=(),
        description="Topics that it must not discuss.",
        examples=[["diagnoses", "other patients"]],
    )
    fallback: Line = Field(
        default="",
        description="Where calls go when the model fails: the name of a destination. Empty: an"
        " apology and the end of the call.",
    )
    noise_reduction: Literal["off", "near_field", "far_field"] = Field(
        default="off",
        description="Of the model: off, near_field (a handset) or far_field (hands-free).",
    )
    turn_detection: TurnDetection = TurnDetection()
    barge_in: BargeIn = BargeIn()
    limits: Limits = Limits()
    hours: Hours = Hours()
    destinations: Annotated[tuple[Destination, ...], listed] = ()
    tools: Tools = Tools()
    recording: Recording = Recording()
    events: Events = Events()

    @classmethod
    def from_agent(cls, agent: AgentSettings) -> Secretary:
        """The one for calls that no file is for."""
        return cls(greeting=agent.greeting).completed(agent)

    def completed(self, agent: AgentSettings) -> Secretary:
        """With [agent]'s model, voice, language and instructions where it has none itself."""
        left = {key: value for key, value in of_agent(agent).items() if not getattr(self, key)}
        return self.model_copy(update=left)

    @property
    def key(self) -> tuple[str, str]:
        """The calls that it is for: domain_uuid and secretary_uuid, empty where any will do."""
        return self.domain_uuid, self.secretary_uuid

    @property
    def spoken_greeting(self) -> str:
        """The first words while it is open."""
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
    def enabled_tools(self) -> tuple[BuiltIn, ...]:
        """The built-in functions that the model is offered."""
        if self.tools.enabled is not None:
            return self.tools.enabled
        usual: tuple[BuiltIn, ...] = ("end_call", "take_message")
        return (*usual, "transfer_call") if self.destinations else usual

    def destination(self, name: str) -> Destination | None:
        """The destination of that name or alias, whatever its case, accents and spaces."""
        wanted = checks.folded(name)
        for destination in self.destinations:
            if wanted in map(checks.folded, (destination.name, *destination.aliases)):
                return destination
        return None

    def persona(
        self, tools: tuple[Tool, ...], *, closed: bool = False, opens_at: float | None = None
    ) -> Persona:
        """Who the model is to be, in a call that came while the company was open or ``closed``;
        then ``opens_at``, Unix time, is when it opens.

        Where messages are taken instead then, it is not offered ``transfer_call``.
        """
        if closed and self.hours.do == "message":
            tools = tuple(tool for tool in tools if tool.name != "transfer_call")
        return Persona(
            model=self.model,
            voice=self.voice,
            language=self.language,
            instructions=prompt.compose(
                self, [tool.name for tool in tools], closed=closed, opens_at=opens_at
            ),
            tools=tools,
            turn_detection=self.turn_detection.vad,
            noise_reduction=self.noise_reduction,
        )

    @model_validator(mode="after")
    def _consistent(self) -> Secretary:
        if mistakes := list(checks.between_keys(self)):
            raise Mistakes(mistakes)
        return self

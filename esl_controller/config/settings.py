"""Every setting of the controller, with its type, range, default and help. [core]

A TOML file overrides the defaults, and the environment (``ESL_CONTROLLER_<SECTION>_<KEY>``, unless
empty) overrides the file. Secrets come from the environment only. ``loading.py`` reads and prints
the settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Final, Literal, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    Strict,
    model_validator,
)
from pydantic.fields import FieldInfo

from esl_controller.config.setting_types import (
    Address,
    BaseUrl,
    FolderThere,
    Host,
    HostNames,
    Language,
    Line,
    ListenPort,
    Mix,
    Name,
    Networks,
    OptionalNetworks,
    Port,
    PortRange,
    Ports,
    PublicUrl,
    Rate,
    Secret,
    StoreUrl,
    Variable,
    shown,
)

PREFIX = "ESL_CONTROLLER_"


class SettingsError(Exception):
    """Mistakes in the settings; the text has one line for each."""


class Section(BaseModel):
    """One table of a file. The docstring of a subclass is the help of its table."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def _reached(host: str) -> str:
    """The ``host`` of a listener, as this machine puts it into a URL to dial it."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


class EslSettings(Section):
    """The outbound Event Socket, where FreeSWITCH's `socket` action hands over calls."""

    host: Host = Field(default="127.0.0.1", description="Address that we listen on.")
    port: ListenPort = Field(
        default=8022, description="TCP port that we listen on; 0: any free port."
    )
    allow: Networks = Field(
        default=(ip_network("127.0.0.0/8"), ip_network("::1/128")),
        description="Networks that may connect. Any other connection is closed at once: in this"
        " direction the Event Socket has no password.",
    )
    share: bool = Field(
        default=False,
        description="Let other controllers listen on the same [esl] port, so that a new process"
        " takes calls before the old one has ended. Each takes the next free port for [media] and"
        " for [web].",
    )
    max_calls: int = Field(
        default=0,
        ge=0,
        le=100_000,
        description="How many calls we take at once. While so many live, our port is closed (the"
        " dialplan tries the next host, or goes on) and /readyz says 503. Calls that come back to a"
        " controller that has just started are taken all the same. 0: no limit.",
    )

    max_load: float = Field(
        default=0.85,
        ge=0.0,
        le=1.0,
        description="Share of one processor from which on no more calls are taken, as with"
        " max_calls: all would be late. Also while our clock is late by others. 0: no limit.",
    )

    @property
    def dialled(self) -> str:
        """HOST:PORT, as the `socket` action of a FreeSWITCH on this machine dials it; with any free
        port, the usual one."""
        host = "127.0.0.1" if self.host in ("0.0.0.0", "::") else self.host  # noqa: S104
        return f"{host}:{self.port or EslSettings.model_fields['port'].default}"


class MediaSettings(Section):
    """Audio: the caller's by WebSocket from mod_audio_stream, ours by UDP or as files."""

    host: Host = Field(default="127.0.0.1", description="Address that the WebSocket listens on.")
    port: ListenPort = Field(default=8085, description="Its TCP port; 0: any free port.")
    public_url: PublicUrl = Field(
        default="",
        description="The URL that FreeSWITCH dials: ws:// or wss://, host and port. We append the"
        " path /stream/{domain_uuid}/{call_uuid}. Empty: ws:// with the host and port above.",
    )
    mix: Mix = Field(
        default="mono",
        description="What mod_audio_stream sends: mono (only the caller; recommended), mixed"
        " (caller and reply together: the model may hear itself) or stereo.",
    )
    rate: Rate = Field(default="16k", description="Sample rate of mod_audio_stream: 8k or 16k.")
    playback: Literal["lane", "file"] = Field(
        default="lane",
        description="How replies reach the caller: lane (UDP frames, without delay; files if the"
        " lane cannot be opened) or file (always files).",
    )
    lane_host: Address = Field(
        default="127.0.0.1",
        description="Our IP address, as FreeSWITCH reaches it for the lane.",
    )
    lane_switch_host: Address = Field(
        default="127.0.0.1",
        description="IP address that FreeSWITCH binds for the lane. Whoever can reach it can speak"
        " to the caller, so use loopback or a private network.",
    )
    lane_ports: Ports = Field(
        default=PortRange(40000, 48000),
        description="UDP ports for FreeSWITCH's end of the lane, chosen at random.",
    )

    def base_url(self, bound_port: int | None = None) -> str:
        """The ws:// or wss:// URL that FreeSWITCH dials, without a path.

        `bound_port` is the port that the listener got, in case `port` is 0.
        """
        if self.public_url:
            return self.public_url
        return f"ws://{_reached(self.host)}:{self.port if bound_port is None else bound_port}"


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
FurtherModels = Annotated[tuple[FurtherModel, ...], Strict(False), Field(max_length=MODELS_LIMIT)]


def _names_differ(models: tuple[FurtherModel, ...]) -> tuple[FurtherModel, ...]:
    names = [model.name for model in models]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"the name {shown(twice)} is there twice")
    return models


class SecretariesSettings(Section):
    """The personas that answer calls: a TOML file each, chosen by the UUIDs of the call."""

    folder: Line = Field(
        default="",
        description="Folder with their files; changes take effect without a restart. Empty: [agent]"
        " answers every call. To write a file: esl-controller secretary new NAME",
    )


class FreeswitchSettings(Section):
    """FreeSWITCH's own Event Socket (mod_event_socket): for `esl-controller call` and `doctor`, and
    for taking back calls whose connection is dead."""

    host: Host = Field(default="127.0.0.1", description="Host of FreeSWITCH.")
    port: Port = Field(default=8021, description="TCP port of the Event Socket.")
    password: Secret = Field(
        default=SecretStr("ClueCon"),
        description="Password of the Event Socket. Not set: FreeSWITCH's default.",
        json_schema_extra={"variable": "FREESWITCH_PASSWORD"},
    )
    recordings: FolderThere = Field(
        default="/var/lib/freeswitch/recordings",
        description="Folder on FreeSWITCH's machine for recordings, which secretaries can ask for.",
    )


class StoreSettings(Section):
    """The record of the calls: who called, what was said and done."""

    url: StoreUrl = Field(
        default="sqlite:///esl-controller.db",
        description="sqlite:///FILE in the working directory, sqlite:////FILE with an absolute"
        " path, or postgresql://USER:PASSWORD@HOST:PORT/DATABASE, which several controllers can"
        " share. Keep a password out of this file: set this, or PGPASSWORD, in the environment."
        " Empty: there is no record, and no event is delivered.",
    )


class WebhookSettings(Section):
    """Webhook functions and deliveries: what is posted to the URLs in the secretaries' files."""

    allow: OptionalNetworks = Field(
        default=(),
        description="Networks that are not public and that these URLs may lead to, such as"
        " 127.0.0.0/8 for servers on this machine. Public addresses always may.",
    )
    secret: Secret = Field(
        default=SecretStr(""),
        description="Key of their signature (HMAC-SHA256). Not set: they are not signed.",
        json_schema_extra={"variable": "ESL_CONTROLLER_WEBHOOK_SECRET"},
    )


class WebSettings(Section):
    """HTTP: /healthz, /readyz, the list of calls, and /drain."""

    host: Host = Field(default="127.0.0.1", description="Address that we listen on.")
    port: ListenPort = Field(
        default=8023, description="TCP port that we listen on; 0: any free port."
    )
    allowed_hosts: HostNames = Field(
        default=(),
        description="Names by which we may be asked for /calls, such as that of a proxy. localhost"
        " and addresses always may: a page in a browser cannot make them point to us.",
    )
    token: Secret = Field(
        default=SecretStr(""),
        description="Asked of everyone who comes over TCP, but for /healthz and /readyz, as"
        " `Authorization: Bearer TOKEN`. Not set: /drain is not served there, and /calls is only"
        " where we listen on loopback. `esl-controller calls` and `drain` need none on the"
        " controller's machine.",
        json_schema_extra={"variable": "ESL_CONTROLLER_WEB_TOKEN"},
    )

    def base_url(self, bound_port: int | None = None) -> str:
        """The http:// URL for this machine, without a path; ``bound_port`` as in MediaSettings."""
        return f"http://{_reached(self.host)}:{self.port if bound_port is None else bound_port}"


class LogSettings(Section):
    """The log, on standard error. Secrets are masked at every level."""

    format: Literal["auto", "json", "console"] = Field(
        default="auto", description="json, console, or auto: console on a terminal, json elsewhere."
    )
    level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", description="Lowest level that is logged: debug, info, warning or error."
    )


class Settings(Section):
    """All settings; immutable."""

    esl: EslSettings = EslSettings()
    media: MediaSettings = MediaSettings()
    agent: AgentSettings = AgentSettings()
    models: Annotated[FurtherModels, AfterValidator(_names_differ)] = ()
    secretaries: SecretariesSettings = SecretariesSettings()
    freeswitch: FreeswitchSettings = FreeswitchSettings()
    store: StoreSettings = StoreSettings()
    webhook: WebhookSettings = WebhookSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()


@dataclass(frozen=True)
class Loaded:
    """Settings, and where each value came from.

    `origins` maps "section.key" to "default", "FILE:LINE" or "environment VARIABLE". `ignored` has
    the variables that begin like ours and name no section.
    """

    settings: Settings
    origins: Mapping[str, str]
    path: Path | None = None
    ignored: tuple[str, ...] = ()


def secret_variable(field: FieldInfo) -> str | None:
    """The environment variable of a secret setting, None for any other setting."""
    extra = field.json_schema_extra
    return str(extra["variable"]) if isinstance(extra, dict) else None


def schema() -> Iterator[tuple[str, str, FieldInfo]]:
    """Section, key and field of every setting, in the order of the file, but for [[models]], of
    which there may be any number."""
    for section, table in Settings.model_fields.items():
        if isinstance(table.default, Section):
            for key, field in type(table.default).model_fields.items():
                yield section, key, field


def secrets(settings: Settings) -> list[str]:
    """The values of all secret settings, empty ones included, in the order of the schema."""
    own = [
        getattr(getattr(settings, section), key)
        for section, key, field in schema()
        if secret_variable(field)
    ]
    keys = [model.api_key for model in settings.models]
    return [secret.get_secret_value() for secret in (*own, *keys)]

"""Every setting of the controller, with its type, range, default and help; those of the models are
in ``model_settings.py``. [core]

A TOML file overrides the defaults, and the environment (``ESL_CONTROLLER_<SECTION>_<KEY>``, unless
empty) overrides the file. Secrets come from the environment only. ``loading.py`` reads and prints
the settings.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic.fields import FieldInfo

from esl_controller.config.model_settings import FIRST_MODEL, AgentSettings, FurtherModels
from esl_controller.config.setting_types import (
    Address,
    FolderThere,
    Host,
    HostNames,
    Line,
    ListenPort,
    Mix,
    Networks,
    OptionalNetworks,
    Port,
    PortRange,
    Ports,
    PublicUrl,
    Rate,
    Secret,
    Section,
    StoreUrl,
    secret_variable,
)

PREFIX = "ESL_CONTROLLER_"


class SettingsError(Exception):
    """Mistakes in the settings; the text has one line for each."""


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
    models: FurtherModels = ()
    secretaries: SecretariesSettings = SecretariesSettings()
    freeswitch: FreeswitchSettings = FreeswitchSettings()
    store: StoreSettings = StoreSettings()
    webhook: WebhookSettings = WebhookSettings()
    web: WebSettings = WebSettings()
    log: LogSettings = LogSettings()

    @property
    def model_names(self) -> tuple[str, ...]:
        """What a secretary, the log and the record call the models, in their order."""
        return FIRST_MODEL, *(model.name for model in self.models)


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

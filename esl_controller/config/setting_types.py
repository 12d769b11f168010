"""The types of single settings: what they accept, and what they say about anything else; and what
all their tables have in common. [core]

A message names the mistake and what to write instead. It never repeats a value that could contain
a password.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Network, ip_network
from typing import Annotated, Literal, NamedTuple, TypeVar
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    SecretStr,
    Strict,
)
from pydantic.fields import FieldInfo

Network = IPv4Network | IPv6Network


class PortRange(NamedTuple):
    """UDP ports from `first` to `last`, both included."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"


class Mistakes(ValueError):
    """What is wrong between keys of one table: a dotted key and a text for each mistake."""

    def __init__(self, mistakes: Sequence[tuple[str, str]]) -> None:
        super().__init__("; ".join(f"{key} {text}" for key, text in mistakes))
        self.mistakes = tuple(mistakes)


def shown(value: object) -> str:
    """`value` as a person would write it: one line of at most 60 characters, no URL's password."""
    text = re.sub("//[^@]*@", "//…@", json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= 60 else text[:57] + "..."


def without_password(text: str) -> str:
    """`text` with the password masked if it is the URL of a database."""
    return re.sub(r"^(postgresql\S*?://[^:@/]*):.*@", r"\1:…@", text)


def _one_line(value: str) -> str:
    if not value.isprintable():
        raise ValueError("has a line break or another control character in it")
    return value


def _host(value: str) -> str:
    if not re.fullmatch(r"[\w.:%-]+", value, re.ASCII):
        raise ValueError(f"{shown(value)} is not a host name or an address (no port, no URL)")
    return value


def _address(value: str) -> str:
    try:
        unspecified = IPv4Address(value).is_unspecified
    except ValueError:
        raise ValueError(f"{shown(value)} is not an IPv4 address") from None
    if unspecified:
        raise ValueError(f"{value} is not an address that a datagram can be sent to")
    return value


def _networks(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError('must be a list of networks such as ["127.0.0.0/8", "10.1.0.0/16"]')
    if not value:
        raise ValueError("an empty list would let nobody connect")
    try:
        return tuple(n if isinstance(n, Network) else ip_network(str(n)) for n in value)
    except ValueError as error:
        raise ValueError(
            f"{error}; a network is written as 10.1.0.0/16, a host as 10.1.2.3"
        ) from None


def _networks_or_none(value: object) -> object:
    return () if value in ((), []) else _networks(value)


def _host_names(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise ValueError('must be a list of names such as ["calls.example.net"]')
    for name in value:
        if not (isinstance(name, str) and re.fullmatch(r"[\w.-]+", name, re.ASCII)):
            raise ValueError(f"{shown(name)} is not a host name (no port, no URL)")
    return tuple(name.lower() for name in value if name)


def _port_range(value: object) -> object:
    if isinstance(value, PortRange):
        return value
    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", value) if isinstance(value, str) else None
    ports = PortRange(int(match[1]), int(match[2])) if match else PortRange(0, 0)
    if not 1024 <= ports.first <= ports.last <= 65535:
        raise ValueError(f'{shown(value)} is not a range such as "40000-48000" in 1024-65535')
    return ports


def _url(value: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(_one_line(value))
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid or re.search(r"[\s${}]", value):
        raise ValueError(
            "must be a URL that begins with " + " or ".join(f"{s}://" for s in schemes)
        )
    if "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError("must hold no user, password, ? or #")
    return value.rstrip("/")


def _public_url(value: str) -> str:
    if not value:
        return value
    url = _url(value, ("ws", "wss"))
    if urlsplit(url).path:
        raise ValueError(
            f"must end after the host and port, as {url[: url.index('/', 6)]} does: we append the"
            " path /stream/{domain_uuid}/{call_uuid}"
        )
    return url


def _webhook_url(value: str) -> str:
    url, question, query = value.partition("?")
    _url(url, ("https", "http"))
    if question and not (query.isascii() and re.fullmatch(r"[^\s#]+", query)):
        raise ValueError("must have no space or # behind its ?")
    return value


def _base_url(value: str) -> str:
    return _url(value, ("https", "http")) if value else value


_SQLITE = re.compile(r"sqlite:///(?!:memory:)[^?#]*[^?#/]")
_POSTGRESQL = re.compile(
    r"postgresql(\+asyncpg)?://([^\s:/@]*(:[^\s@]*)?@)?(\[[\da-fA-F:]+\]|[^\s:/@?#\[\]]*)(:\d{1,5})?"
    r"/[^\s/@?#]+(\?[^\s@#]+)?"
)


def _store_url(value: str) -> str:
    if value.startswith("postgresql") and not _POSTGRESQL.fullmatch(value):
        raise ValueError(
            "must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE; in a password, @ is written %40"
        )
    if value and not (_POSTGRESQL.fullmatch(value) or _SQLITE.fullmatch(_one_line(value))):
        raise ValueError(
            "must be sqlite:///FILE, sqlite:////FILE with an absolute path,"
            " postgresql://USER:PASSWORD@HOST/DATABASE, or empty"
        )
    return value


def _secret(value: SecretStr) -> SecretStr:
    text = value.get_secret_value()
    if not (text.isascii() and text.isprintable()):
        raise ValueError("holds a character that is not printable ASCII")
    return value


def _variable(value: str) -> str:
    if not re.fullmatch(r"[A-Z][A-Z0-9_]*", value, re.ASCII):
        raise ValueError(f"{shown(value)} is not the name of an environment variable")
    return value


def _mix(value: object) -> object:
    if value not in ("mono", "mixed", "stereo"):
        raise ValueError(
            f"{shown(value)} is not a mix type of mod_audio_stream; write"
            ' "mono" (recommended: only the caller), "mixed" or "stereo"'
        )
    return value


def _rate(value: object) -> object:
    if value not in ("8k", "16k"):
        fix = {"16000": '; write "16k"', "8000": '; write "8k"'}.get(
            str(value), ', which takes "8k" or "16k"'
        )
        raise ValueError(f"{shown(value)} is not a sample rate of mod_audio_stream{fix}")
    return value


def _language(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8})*", value):
        raise ValueError(f"{shown(value)} is not a language tag such as en or pt-BR")
    return value


UUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")


def _uuid(value: str) -> str:
    if not UUID.fullmatch(value):
        raise ValueError(f"{shown(value)} is not a UUID")
    return value.lower()


def _dialplan_word(value: str) -> str:
    # It becomes one word of an Event Socket command, which a space or a line break would end.
    if not re.fullmatch(r"[\w*#+.-]{1,64}", value, re.ASCII):
        raise ValueError(
            f"{shown(value)} may hold letters, digits and _ * # + . - only, and at most 64"
        )
    return value


def _folder_there(value: str) -> str:
    # It stands in a command of FreeSWITCH, which knows no other way to write these.
    if not _one_line(value).startswith("/") or re.search(r"""['"\\${}\[\]]""", value):
        raise ValueError(
            f"{shown(value)} is not the absolute path of a folder, without quotation marks,"
            " brackets, \\ and $"
        )
    return value.rstrip("/") or "/"


def _come_back(value: object) -> bool | Literal["unreached"]:
    if value is True or value is False or value == "unreached":
        return value
    raise ValueError(f'{shown(value)} is not one of true, false and "unreached"')


def _text(value: str) -> str:
    if not value.replace("\n", "").replace("\t", "").isprintable():
        raise ValueError("has a control character in it")
    return value


def _or_empty(check: Callable[[str], str]) -> AfterValidator:
    """`check` for any text that is not empty."""
    return AfterValidator(lambda value: check(value) if value else value)


_Item = TypeVar("_Item")
LIST_LIMIT = 500  # entries; some rules compare them with each other

# Accepts TOML's lists for tuples; their items are still checked strictly.
Several = Annotated[tuple[_Item, ...], Strict(False), Field(max_length=LIST_LIMIT)]

Host = Annotated[str, AfterValidator(_host)]
Address = Annotated[str, AfterValidator(_address)]
Line = Annotated[str, Field(max_length=1000), AfterValidator(_one_line)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_one_line)]
Port = Annotated[int, Field(ge=1, le=65535)]
ListenPort = Annotated[int, Field(ge=0, le=65535)]
Networks = Annotated[tuple[Network, ...], BeforeValidator(_networks)]
OptionalNetworks = Annotated[tuple[Network, ...], BeforeValidator(_networks_or_none)]
HostNames = Annotated[tuple[str, ...], BeforeValidator(_host_names)]
Ports = Annotated[PortRange, BeforeValidator(_port_range)]
Mix = Annotated[Literal["mono", "mixed", "stereo"], BeforeValidator(_mix)]
Rate = Annotated[Literal["8k", "16k"], BeforeValidator(_rate)]
Secret = Annotated[SecretStr, AfterValidator(_secret)]
Variable = Annotated[str, Field(max_length=100), AfterValidator(_variable)]
PublicUrl = Annotated[str, AfterValidator(_public_url)]
BaseUrl = Annotated[str, AfterValidator(_base_url)]
StoreUrl = Annotated[str, AfterValidator(_store_url)]
Language = Annotated[str, AfterValidator(_language)]
OptionalLanguage = Annotated[str, _or_empty(_language)]
WebhookUrl = Annotated[str, AfterValidator(_webhook_url)]
OptionalWebhookUrl = Annotated[str, _or_empty(_webhook_url)]
OptionalUuid = Annotated[str, _or_empty(_uuid)]
DialplanWord = Annotated[str, AfterValidator(_dialplan_word)]
OptionalDialplanWord = Annotated[str, _or_empty(_dialplan_word)]
Text = Annotated[str, Field(max_length=50_000), AfterValidator(_text)]
FolderThere = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_folder_there)]
ComeBack = Annotated[bool | Literal["unreached"], PlainValidator(_come_back)]


class Section(BaseModel):
    """One table of a file. The docstring of a subclass is the help of its table."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


def secret_variable(field: FieldInfo) -> str | None:
    """The environment variable of a secret setting, None for any other setting."""
    extra = field.json_schema_extra
    return str(extra["variable"]) if isinstance(extra, dict) else None

"""FusionPBX's own configuration file: where its database, cache and Event Socket are.

Its lines are ``key = value`` (docs/design/fusionpbx.md#its-configuration).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from esl_controller.fusionpbx.errors import FusionError, shown

DEFAULT_FILES = (
    Path("/etc/fusionpbx/config.conf"),
    Path("/usr/local/etc/fusionpbx/config.conf"),
)
_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


@dataclass(frozen=True)
class EventSocket:
    """How FusionPBX reaches FreeSWITCH; empty or None where its file does not say."""

    host: str = ""
    port: int | None = None
    password: str = field(default="", repr=False)


@dataclass(frozen=True)
class Config:
    """Where FusionPBX's database, cache and switch are."""

    path: Path
    host: str
    port: int
    database: str
    username: str
    password: str = field(repr=False)
    sslmode: str
    cache_method: str
    """"file" or "memcache"."""
    cache_location: Path
    event_socket: EventSocket


def is_here(named: Path | None) -> bool:
    """Whether FusionPBX's configuration is on this machine: at its usual place, or at ``named``."""
    return named is not None or any(path.exists() for path in DEFAULT_FILES)


def read(path: Path | None) -> Config:
    """The file at ``path``, or at FusionPBX's usual place. Raises FusionError."""
    path = path or next((file for file in DEFAULT_FILES if file.exists()), DEFAULT_FILES[0])
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise FusionError(
            f"cannot read {shown(path)}: {reason}; is FusionPBX on this machine, and may this user"
            " read its file (--fusionpbx FILE)?"
        ) from None
    values = _values(text)
    if (kind := values.get("database.0.type", "pgsql")) != "pgsql":
        raise FusionError(f"{shown(path)}: database.0.type is {kind!r}, only pgsql is supported")
    for key in ("database.0.name", "database.0.username"):
        if not values.get(key):
            raise FusionError(f"{shown(path)}: {key} is missing")
    sslmode = values.get("database.0.sslmode") or "prefer"
    if sslmode not in _SSL_MODES:
        raise FusionError(
            f"{shown(path)}: database.0.sslmode is not one of {', '.join(_SSL_MODES)}"
        )
    # If the file does not say, the Lua that serves the dialplan uses memcache.
    method = values.get("cache.method") or "memcache"
    if method not in ("file", "memcache"):
        raise FusionError(f"{shown(path)}: cache.method is neither file nor memcache")
    return Config(
        path=path,
        host=values.get("database.0.host") or "127.0.0.1",
        port=_port(path, values, "database.0.port") or 5432,
        database=values["database.0.name"],
        username=values["database.0.username"],
        password=values.get("database.0.password", ""),
        sslmode=sslmode,
        cache_method=method,
        cache_location=Path(values.get("cache.location") or "/var/cache/fusionpbx"),
        event_socket=EventSocket(
            values.get("switch.event_socket.host", ""),
            _port(path, values, "switch.event_socket.port"),
            values.get("switch.event_socket.password", ""),
        ),
    )


def _values(text: str) -> dict[str, str]:
    values: dict[str, str] = {}
    for line in text.splitlines():
        key, equals, value = line.partition("=")
        if equals and not key.lstrip().startswith(("#", ";")):
            value = value.strip()
            quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'"
            values[key.strip()] = value[1:-1] if quoted else value
    return values


def _port(path: Path, values: dict[str, str], key: str) -> int | None:
    text = values.get(key, "")
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:6]) <= 65535):
        raise FusionError(f"{shown(path)}: {key} is not a port")
    return int(text)

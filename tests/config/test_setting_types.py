"""What single settings accept, and what they say about anything else."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import SecretStr, TypeAdapter, ValidationError

from esl_controller.config.setting_types import (
    Address,
    BaseUrl,
    DialplanWord,
    Host,
    Language,
    Line,
    ListenPort,
    Mix,
    Name,
    Networks,
    OptionalDialplanWord,
    OptionalLanguage,
    OptionalUuid,
    OptionalWebhookUrl,
    Port,
    PortRange,
    Ports,
    PublicUrl,
    Rate,
    Secret,
    StoreUrl,
    Text,
    WebhookUrl,
    shown,
    without_password,
)


def message(kind: Any, value: object) -> str:
    with pytest.raises(ValidationError) as caught:
        TypeAdapter(kind).validate_python(value)
    [error] = caught.value.errors()
    return error["msg"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Host, "127.0.0.1"),
        (Host, "::1"),
        (Host, "switch-1.example.net"),
        (Address, "10.1.2.3"),
        (Line, ""),
        (Line, "Olá! ¿Qué tal?"),
        (Name, "gpt-realtime-2.1"),
        (Port, 65535),
        (ListenPort, 0),
        (Mix, "stereo"),
        (Rate, "8k"),
        (PublicUrl, ""),
        (StoreUrl, ""),
        (StoreUrl, "sqlite:////var/lib/calls.db"),
        (StoreUrl, "postgresql://me:pass%40word@db.example.net:5432/calls"),
        (StoreUrl, "postgresql+asyncpg://me@[::1]/calls?sslmode=require"),
        (StoreUrl, "postgresql:///calls?host=/run/postgresql"),
        (PublicUrl, "wss://voice.example.net:8443"),
        (PublicUrl, "ws://[::1]:8085"),
        (BaseUrl, "https://models.example.net/v1"),
        (Language, "pt-BR"),
        (OptionalLanguage, ""),
        (WebhookUrl, "https://a.example/hooks/?token=a%20b&x=1"),
        (OptionalWebhookUrl, ""),
        (OptionalUuid, ""),
        (DialplanWord, "+441174960123"),
        (DialplanWord, "*99101"),
        (DialplanWord, "clinic-1.example"),
        (OptionalDialplanWord, ""),
        (Text, "Two\n\tlines — é"),
    ],
)
def test_is_taken_as_it_stands(kind: Any, value: object) -> None:
    assert TypeAdapter(kind).validate_python(value) == value


def test_a_slash_at_the_end_of_a_url_means_nothing() -> None:
    assert TypeAdapter(PublicUrl).validate_python("ws://h:1/") == "ws://h:1"


def test_networks_and_hosts_are_networks() -> None:
    networks = TypeAdapter(Networks).validate_python(["10.1.0.0/16", "::1"])
    assert [str(network) for network in networks] == ["10.1.0.0/16", "::1/128"]


def test_ports_are_a_range() -> None:
    ports: PortRange = TypeAdapter(Ports).validate_python("40000-40010")
    assert ports == (40000, 40010)
    assert str(ports) == "40000-40010"


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (Host, "h:x/y", "not a host name"),
        (Host, "", "not a host name"),
        (Host, "a\nb", "not a host name"),
        (Address, "localhost", "not an IPv4 address"),
        (Address, "0.0.0.0", "not an address that a datagram can be sent to"),
        (Address, "::", "not an IPv4 address"),
        (Line, "a\nb", "line break"),
        (Line, "a\x1bb", "control character"),
        (Port, 0, "greater than or equal to 1"),
        (Port, 65536, "less than or equal to 65535"),
        (ListenPort, -1, "greater than or equal to 0"),
        (Networks, [], "nobody"),
        (Networks, "127.0.0.1", "must be a list"),
        (Networks, ["10.1.2.3/8"], "host bits set"),
        (Networks, ["localhost"], "written as 10.1.0.0/16"),
        (Ports, "8000", "not a range"),
        (Ports, "5000-4000", "not a range"),
        (Ports, "80-90", "not a range"),
        (Ports, "60000-70000", "not a range"),
        (Ports, 40000, "not a range"),
        (Mix, "both", "not a mix type of mod_audio_stream"),
        (Mix, "Mono", 'write "mono" (recommended'),
        (Rate, "16000", 'write "16k"'),
        (Rate, 16000, 'write "16k"'),
        (Rate, 8000, 'write "8k"'),
        (Rate, "24k", 'takes "8k" or "16k"'),
        (PublicUrl, "ws://h:8085/ws/x", "must end after the host and port, as ws://h:8085 does"),
        (PublicUrl, "ws://h/stream", "/stream/{domain_uuid}/{call_uuid}"),
        (PublicUrl, "http://h:8085", "ws:// or wss://"),
        (PublicUrl, "h:8085", "ws:// or wss://"),
        (PublicUrl, "ws://", "ws:// or wss://"),
        (PublicUrl, "ws://h:99999", "ws:// or wss://"),
        (PublicUrl, "ws://h mono", "ws:// or wss://"),
        (PublicUrl, "ws://${host}", "ws:// or wss://"),
        (PublicUrl, "ws://h:1?key=1", "must hold no user"),
        (BaseUrl, "wss://h/v1", "https:// or http://"),
        (BaseUrl, "https://[x", "https:// or http://"),
        (
            StoreUrl,
            "calls.db",
            "sqlite:///FILE, sqlite:////FILE with an absolute path, postgresql://",
        ),
        (StoreUrl, "sqlite:///:memory:", "must be sqlite:///FILE"),
        (StoreUrl, "postgresql://me:p@ss@h/db", "@ is written %40"),
        (StoreUrl, "postgresql://h", "must be postgresql://USER:PASSWORD@HOST:PORT/DATABASE"),
        (StoreUrl, "postgresql://h:port/db", "must be postgresql://"),
        (StoreUrl, "postgresql://h/a b", "must be postgresql://"),
        (StoreUrl, "postgresql+psycopg://h/db", "must be postgresql://"),
        (Language, "english", "not a language tag"),
        (Language, "pt_BR", "not a language tag"),
    ],
)
def test_is_refused_with_what_to_write_instead(kind: Any, value: object, words: str) -> None:
    assert words in message(kind, value)


def test_the_password_of_a_database_is_not_repeated() -> None:
    for url in ("postgresql://me:hunter2@h:x/db", "postgresql://me:a@hunter2@h/db"):
        assert "hunter2" not in message(StoreUrl, url)
        assert without_password(url).startswith("postgresql://me:…@h")
        assert "hunter2" not in without_password(url)
    for url in ("sqlite:///a:b@c", "postgresql://me@h/db", "see postgresql://me:you@h/db"):
        assert without_password(url) == url


@pytest.mark.parametrize("kind", [PublicUrl, BaseUrl, Host])
def test_a_password_in_a_url_is_refused_and_not_repeated(kind: Any) -> None:
    scheme = "https" if kind is BaseUrl else "ws"
    assert "hunter2" not in message(kind, f"{scheme}://me:hunter2@host/")


def test_a_secret_that_would_break_a_header_or_a_command_is_refused_and_not_repeated() -> None:
    assert "hunter2" not in message(Secret, SecretStr("hunter2\nexit"))


def test_a_shown_value_is_short_and_one_line() -> None:
    text = shown("a\n" * 100)
    assert len(text) == 60
    assert "\n" not in text


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (WebhookUrl, "", "must be a URL that begins with https:// or http://"),
        (WebhookUrl, "ftp://a.example", "must be a URL that begins with https:// or http://"),
        (WebhookUrl, "https://u:secret@a.example", "must hold no user, password"),
        (WebhookUrl, "https://a.example/?a b", "must have no space or # behind its ?"),
        (OptionalUuid, "abc", '"abc" is not a UUID'),
        (DialplanWord, "", "may hold letters, digits"),
        (DialplanWord, "600 XML", "may hold letters, digits"),
        (DialplanWord, "600\n", "may hold letters, digits"),
        (DialplanWord, "9" * 65, "at most 64"),
        (Text, "a\x00", "has a control character in it"),
    ],
)
def test_what_a_secretary_may_not_hold(kind: Any, value: str, text: str) -> None:
    assert text in message(kind, value)
    assert "secret" not in message(kind, value)

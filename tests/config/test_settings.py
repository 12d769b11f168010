"""The schema: defaults that work without a file, and values derived from others."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from pydantic import SecretStr, ValidationError

from esl_controller.config.model_settings import AgentSettings
from esl_controller.config.setting_types import secret_variable
from esl_controller.config.settings import EslSettings, MediaSettings, Settings, WebSettings, schema


def test_every_setting_has_a_help_text_and_a_default_on_this_machine() -> None:
    for section, key, field in schema():
        assert field.description, f"[{section}] {key}"
        if key.endswith("host"):
            assert ip_address(field.default).is_loopback
    assert all(type(table.default).__doc__ for table in Settings.model_fields.values())


def test_every_number_has_a_range() -> None:
    for section, key, field in schema():
        if isinstance(field.default, int | float) and field.annotation is not bool:
            limits = [
                name for item in field.metadata for name in ("ge", "le") if hasattr(item, name)
            ]
            assert sorted(limits) == ["ge", "le"], f"[{section}] {key}"


def test_only_what_proves_who_one_is_is_a_secret() -> None:
    secrets = {f"{s}.{k}": v for s, k, field in schema() if (v := secret_variable(field))}
    assert secrets == {
        "agent.api_key": "OPENAI_API_KEY",
        "freeswitch.password": "FREESWITCH_PASSWORD",
        "webhook.secret": "ESL_CONTROLLER_WEBHOOK_SECRET",
        "web.token": "ESL_CONTROLLER_WEB_TOKEN",
    }


def test_settings_cannot_be_changed_and_do_not_show_secrets() -> None:
    settings = Settings(agent=AgentSettings(api_key=SecretStr("sk-hidden")))
    with pytest.raises(ValidationError, match="frozen"):
        settings.agent.model = "other"
    assert "sk-hidden" not in repr(settings) + str(settings.model_dump())


@pytest.mark.parametrize(
    ("given", "dialled"),
    [
        (EslSettings(), "127.0.0.1:8022"),
        (EslSettings(port=8062), "127.0.0.1:8062"),
        (EslSettings(host="::", port=0), "127.0.0.1:8022"),
        (EslSettings(host="10.0.0.5"), "10.0.0.5:8022"),
    ],
)
def test_where_the_dialplan_dials(given: EslSettings, dialled: str) -> None:
    assert given.dialled == dialled


@pytest.mark.parametrize(
    ("media", "url"),
    [
        (MediaSettings(), "ws://127.0.0.1:8085"),
        (MediaSettings(host="::1", port=1), "ws://[::1]:1"),
        (MediaSettings(host="0.0.0.0"), "ws://127.0.0.1:8085"),
        (MediaSettings(host="::"), "ws://[::1]:8085"),
        (MediaSettings(public_url="wss://voice.example.net"), "wss://voice.example.net"),
    ],
)
def test_the_media_url_is_one_that_can_be_dialled(media: MediaSettings, url: str) -> None:
    assert media.base_url() == url


@pytest.mark.parametrize(
    ("web", "url"),
    [
        (WebSettings(), "http://127.0.0.1:8023"),
        (WebSettings(host="0.0.0.0"), "http://127.0.0.1:8023"),
        (WebSettings(host="::"), "http://[::1]:8023"),
        (WebSettings(host="::1", port=1), "http://[::1]:1"),
    ],
)
def test_the_web_url_is_one_that_this_machine_can_ask(web: WebSettings, url: str) -> None:
    assert web.base_url() == url


def test_the_media_url_has_the_port_that_the_listener_got() -> None:
    assert MediaSettings(port=0).base_url(40123) == "ws://127.0.0.1:40123"

"""Settings from a file and the environment: values, places of mistakes, and printing."""

from __future__ import annotations

import re
import time
import tomllib
from pathlib import Path

import pytest

from esl_controller.config.loading import describe, example, load
from esl_controller.config.setting_types import secret_variable
from esl_controller.config.settings import Settings, SettingsError, schema, secrets
from esl_controller.config.toml_file import MISTAKES_LIMIT
from tests.paths import ROOT

KEY = "sk-proj-0123456789abcdef"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "esl-controller.toml"


def mistakes(path: Path | None, text: str = "", **environ: str) -> list[str]:
    if path:
        path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        load(path, environ)
    return str(caught.value).replace(f"{path}:", "FILE:").split("\n")


def test_without_a_file_everything_has_its_default() -> None:
    loaded = load(None, {"PATH": "/bin", "HOME": "/root"})
    assert loaded.settings == Settings()
    assert set(loaded.origins.values()) == {"default"}


def test_the_environment_goes_over_the_file_and_the_file_over_the_default(path: Path) -> None:
    path.write_text('[media]\nmix = "mixed"\nrate = "8k"\n[esl]\nport = 1\n')
    loaded = load(path, {"ESL_CONTROLLER_MEDIA_RATE": "16k", "ESL_CONTROLLER_WEB_PORT": "0"})
    assert loaded.settings.media.mix == "mixed"
    assert loaded.settings.media.rate == "16k"
    assert loaded.settings.web.port == 0
    assert loaded.origins["media.mix"] == f"{path}:2"
    assert loaded.origins["media.rate"] == "environment ESL_CONTROLLER_MEDIA_RATE"
    assert loaded.origins["esl.port"] == f"{path}:5"
    assert loaded.origins["esl.host"] == "default"


def test_the_environment_holds_values_of_any_type() -> None:
    settings = load(
        None,
        {
            "ESL_CONTROLLER_ESL_ALLOW": "10.0.0.0/8, fd00::/8",
            "ESL_CONTROLLER_ESL_PORT": "8030",
            "ESL_CONTROLLER_MEDIA_LANE_PORTS": "30000-30100",
            "ESL_CONTROLLER_AGENT_CONNECT_TIMEOUT_S": "2.5",
            "ESL_CONTROLLER_AGENT_GREETING": "Olá!",
            "OPENAI_API_KEY": f"{KEY}\n",
            "FREESWITCH_PASSWORD": "Chave",
        },
    ).settings
    assert [str(network) for network in settings.esl.allow] == ["10.0.0.0/8", "fd00::/8"]
    assert settings.esl.port == 8030
    assert settings.media.lane_ports == (30000, 30100)
    assert settings.agent.connect_timeout_s == 2.5
    assert settings.agent.greeting == "Olá!"
    assert settings.agent.api_key.get_secret_value() == KEY
    assert settings.freeswitch.password.get_secret_value() == "Chave"


def test_an_empty_variable_is_not_set() -> None:
    environ = {"OPENAI_API_KEY": "", "ESL_CONTROLLER_ESL_PORT": " ", "FREESWITCH_PASSWORD": ""}
    assert load(None, environ).settings == Settings()


def test_every_mistake_is_one_line_with_its_place(path: Path) -> None:
    text = """\
[media]
mix = "both"
rate = 16000
pubic_url = "ws://h"

[esl]
port = 70000
max_calls = "3"
allow = [
    "10.0.0.1/8",
]
mix = "mono"
[agent]
kind = "realtim"
instructions = \"\"\"
[media]
mix = "both"
\"\"\"
connect_timeout_s = nan
voice = ""
"""
    assert mistakes(path, text, ESL_CONTROLLER_WEB_PORT="http") == [
        'FILE:2: [media] mix: "both" is not a mix type of mod_audio_stream; write "mono"'
        ' (recommended: only the caller), "mixed" or "stereo"',
        'FILE:3: [media] rate: 16000 is not a sample rate of mod_audio_stream; write "16k"',
        "FILE:4: [media] pubic_url: unknown; did you mean public_url?",
        "FILE:7: [esl] port: must be from 0 to 65535, not 70000",
        'FILE:8: [esl] max_calls: must be a whole number, not "3"',
        "FILE:9: [esl] allow: 10.0.0.1/8 has host bits set; a network is written as 10.1.0.0/16,"
        " a host as 10.1.2.3",
        "FILE:12: [esl] mix: unknown; it belongs in [media]",
        'FILE:14: [agent] kind: "realtim" is not one of "auto", "realtime", "live" or "standin"',
        "FILE:19: [agent] connect_timeout_s: must be from 0.5 to 120.0, not NaN",
        "FILE:20: [agent] voice: must not be empty",
        'environment ESL_CONTROLLER_WEB_PORT: [web] port: must be a whole number, not "http"',
    ]


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("[mdia]\n", "FILE:1: [mdia]: unknown; did you mean media?"),
        ("\nport = 1\n", "FILE:2: [port]: unknown; it belongs in"),
        ("\nmedia = 3\n", "FILE:2: [media]: must be a table"),
        ("[[media]]\n", "FILE:1: [media]: must be a table"),
        ("[media.lane]\nports = 3\n", "FILE:1: [media] lane: unknown; did you mean lane_"),
        ("\nmedia.mix = 'both'\n", "FILE:2: [media] mix: "),
        ("\nmedia = { mix = 'both' }\n", "FILE:2: [media] mix: "),
        ("[media]\n'mix' = [\n'both' ]\n", "FILE:2: [media] mix: "),
        ("[log]\nlevel = 3\n", 'FILE:2: [log] level: 3 is not one of "debug", '),
        ("[web]\nhost = 3\n", "FILE:2: [web] host: must be text, not 3"),
        ("[agent]\ngreeting = '" + "a" * 1001 + "'", "FILE:2: [agent] greeting: must have at most"),
        ("[agent]\nkind = 'realtime'\n", 'FILE:1: [agent]: kind = "realtime" needs a key'),
        ("[agent]\nzzz = 1\n", "FILE:2: [agent] zzz: unknown; there are audio, backend_model, "),
        ("[media]\n\nmix = both\n", "FILE:3: not valid TOML: "),
        ("[media]\nmix = 'mono'\nmix = 'mono'\n", "FILE:3: not valid TOML: "),
    ],
)
def test_a_mistake_names_its_line(path: Path, text: str, mistake: str) -> None:
    [line] = mistakes(path, text)
    assert line.startswith(mistake)


@pytest.mark.parametrize(
    ("text", "variable"),
    [
        ("[agent]\napi_key = 'hunter2'\n", "OPENAI_API_KEY"),
        ("[agent]\nkey = 'hunter2'\n", "OPENAI_API_KEY"),
        ("[agent]\nopenai_api_key = 'hunter2'\n", "OPENAI_API_KEY"),
        ("[freeswitch]\npassword = 'hunter2'\n", "FREESWITCH_PASSWORD"),
        ("[esl]\npassword = 'hunter2'\n", "FREESWITCH_PASSWORD"),
        ("\nOPENAI_API_KEY = 'hunter2'\n", "OPENAI_API_KEY"),
    ],
)
def test_a_secret_in_the_file_is_refused_and_not_repeated(
    path: Path, text: str, variable: str
) -> None:
    [line] = mistakes(path, text)
    assert line.startswith("FILE:2: ")
    assert line.endswith(f"a secret does not belong in a file; set {variable} in the environment")


def test_a_secret_that_breaks_a_command_is_refused_and_not_repeated() -> None:
    [line] = mistakes(None, FREESWITCH_PASSWORD="hunter2\nexit")
    assert line.startswith("environment FREESWITCH_PASSWORD: [freeswitch] password: ")
    assert "hunter2" not in line


def test_a_variable_that_is_almost_ours_is_refused_and_a_stranger_is_only_reported() -> None:
    [line] = mistakes(None, ESL_CONTROLLER_MEDIA_MIKS="mono")
    assert line == (
        "environment ESL_CONTROLLER_MEDIA_MIKS: unknown setting;"
        " did you mean ESL_CONTROLLER_MEDIA_MIX?"
    )
    # Kubernetes sets such a variable for a service that is called esl-controller.
    stranger = load(None, {"ESL_CONTROLLER_SERVICE_PORT": "tcp://10.0.0.1"})
    assert stranger.ignored == ("ESL_CONTROLLER_SERVICE_PORT",)
    assert "Ignored: ESL_CONTROLLER_SERVICE_PORT" in describe(stranger)


def test_a_file_that_cannot_be_read_is_one_line(path: Path) -> None:
    with pytest.raises(SettingsError, match=r"esl-controller\.toml: No such file"):
        load(path, {})
    with pytest.raises(SettingsError, match="Is a directory"):
        load(path.parent, {})
    path.write_bytes(b"[media]\nmix = '\xff'\n")
    with pytest.raises(SettingsError, match="is not UTF-8 text"):
        load(path, {})


def test_the_description_is_toml_of_the_effective_settings(path: Path) -> None:
    path.write_text('[agent]\ninstructions = """Say "hi" \\\\ \\u0007\nthen wait."""\n')
    loaded = load(path, {"ESL_CONTROLLER_ESL_ALLOW": "10.0.0.0/8", "OPENAI_API_KEY": KEY})
    text = describe(loaded)
    assert 'mix = "mono"  # default\n' in text
    assert 'allow = ["10.0.0.0/8"]  # environment ESL_CONTROLLER_ESL_ALLOW\n' in text
    assert f'then wait."""  # {path}:2\n' in text
    again = path.with_name("again.toml")
    again.write_text(text, encoding="utf-8")
    assert load(again, {"OPENAI_API_KEY": KEY}).settings == loaded.settings


@pytest.mark.parametrize(
    ("secret", "shown"),
    [(KEY, "# api_key: set (…cdef)  #"), ("short-key", "# api_key: set  #"), ("", ": not set  #")],
)
def test_the_description_masks_secrets(secret: str, shown: str) -> None:
    text = describe(load(None, {"OPENAI_API_KEY": secret, "FREESWITCH_PASSWORD": "hunter2"}))
    assert shown in text
    assert "# password: set  # environment FREESWITCH_PASSWORD\n" in text
    assert "hunter2" not in text
    assert not secret or secret not in text


def test_the_description_masks_the_password_of_the_database() -> None:
    variable = "ESL_CONTROLLER_STORE_URL"
    text = describe(load(None, {variable: "postgresql://me:hunter2@h:5432/calls"}))
    assert f'url = "postgresql://me:…@h:5432/calls"  # environment {variable}' in text
    assert "hunter2" not in text


def test_the_example_in_the_tree_is_the_one_that_the_schema_gives() -> None:
    assert (ROOT / "esl-controller.example.toml").read_text(encoding="utf-8") == example()


def test_the_example_holds_every_default(path: Path) -> None:
    text = example()
    assert max(len(line) for line in text.splitlines()) <= 100
    path.write_text(text, encoding="utf-8")
    assert set(load(path, {}).origins.values()) == {"default"}
    path.write_text(re.sub(r"^#(?! )", "", text, flags=re.MULTILINE), encoding="utf-8")
    loaded = load(path, {})
    assert loaded.settings == Settings()
    for section, key, field in schema():
        inside = key in tomllib.loads(path.read_text(encoding="utf-8"))[section]
        assert inside is (secret_variable(field) is None)


# --- [[models]] -----------------------------------------------------------------------------------

TWO = """
[agent]
model = "best"

[[models]]
name = "Europe"
base_url = "https://eu.example.net/v1"
key = "EU_KEY"

[[models]]
name = "cheap"
model = "mini"
"""
KEYS = {"OPENAI_API_KEY": "sk-0123456789abcdef", "EU_KEY": "sk-fedcba9876543210"}


def test_further_models_have_their_keys_from_the_environment(path: Path) -> None:
    path.write_text(TWO)
    loaded = load(path, KEYS)
    europe, cheap = loaded.settings.models
    assert (europe.name, europe.base_url) == ("Europe", "https://eu.example.net/v1")
    assert europe.api_key.get_secret_value() == KEYS["EU_KEY"]
    assert cheap.api_key.get_secret_value() == KEYS["OPENAI_API_KEY"]
    assert set(KEYS.values()) <= set(secrets(loaded.settings))
    assert not any(key in repr(loaded.settings) for key in KEYS.values())


def test_further_models_are_shown_so_that_they_can_be_read_again(path: Path) -> None:
    path.write_text(TWO)
    loaded = load(path, KEYS)
    text = describe(loaded)
    assert "# its key: set (…3210)  # environment EU_KEY\n" in text
    path.write_text(text)
    assert load(path, KEYS).settings == loaded.settings


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ('[models]\nname = "x"', ":1: [models]: may be several: write [[models]] on a line"),
        ("models = [1]", ":1: [[models]]: may be several: write [[models]] on a line of its own"),
        ("[[models]]\nmodel = 'x'", ":1: [[models]] name: is missing"),
        (
            "[[models]]\nname = 'x'\nmodle = 'y'",
            ":3: [[models]] modle: unknown; did you mean model?",
        ),
        (
            "[[models]]\nname = 'x'\napi_key = 'y'",
            ":3: [[models]] api_key: a secret does not belong",
        ),
        (
            "[[models]]\nname = 'x'\nkey = 'a b'",
            ':3: [[models]] key: "a b" is not the name of an env',
        ),
        ("[[models]]\nname = 'x'\nkey = 'K'", ":1: [[models]]: needs a key: set K in the environm"),
        ("models = [{name = 'x', modle = 'y'}]", ":1: [[models]] modle: unknown; did you mean mo"),
        ("models = [{name = 'x', voice = 1}]", ":1: [[models]] voice: must be text, not 1"),
        ("[[models]]\nname = 'x'\n" * 9, ":1: [[models]]: must have at most 8 entries"),
        ("[[models]]\nname = 3", ":2: [[models]] name: must be text, not 3"),
        (
            "[[models]]\nname='x'\n[[models]]\nname='x'",
            ':1: [[models]]: the name "x" is there twice',
        ),
    ],
)
def test_mistakes_in_further_models(path: Path, text: str, mistake: str) -> None:
    (line,) = mistakes(path, text, OPENAI_API_KEY="sk-1")
    assert mistake in line


@pytest.mark.parametrize("text", ["[[models]]\n{}\n{}", "models = [{{ {}, {} }}]"])
def test_nobody_takes_over_from_the_stand_in(path: Path, text: str) -> None:
    (line,) = mistakes(path, text.format("name = 'x'", "base_url = 'http://x/v1'"))
    assert line.startswith("FILE:1: [[models]]: take over from the model of [agent], which has")


def test_no_more_mistakes_are_told_than_anybody_reads(path: Path) -> None:
    path.write_text("[agent]\n" + "".join(f"modle{number} = 1\n" for number in range(3000)))
    began = time.thread_time()
    with pytest.raises(SettingsError) as caught:
        load(path, {})
    assert time.thread_time() - began < 0.2
    *told, last = str(caught.value).splitlines()
    assert len(told) == MISTAKES_LIMIT
    assert all("did you mean model?" in line for line in told)
    assert last == f"and {3000 - MISTAKES_LIMIT} more"

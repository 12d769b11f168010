"""Files of secretaries: every single mistake gives one line that names its place and its key."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from esl_controller.secretaries.reading import read, tables
from esl_controller.secretaries.secretary import Secretary
from tests.secretaries.rig import AGENT, CLINIC, CLINICA, values, written

UUID = "b1d2f7a4-5c3e-4f60-8a9b-0c1d2e3f4a5b"

Place = tuple[str | int, ...]


def mistakes(path: Path, text: str) -> list[str]:
    path.write_text(text, encoding="utf-8")
    reading = read(path, AGENT)
    assert bool(reading.mistakes) is (reading.secretary is None)
    return [line.replace(f"{path}:", "FILE:") for line in reading.mistakes]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "default.toml"


# --- each single key, wrong in turn ---------------------------------------------------------------


def places(table: dict[str, Any], before: Place = ()) -> Iterator[Place]:
    """Every key of the file's tables, not those within a JSON schema or ``secure``."""
    for key, value in table.items():
        yield (*before, key)
        if isinstance(value, dict) and key not in ("parameters", "secure"):
            yield from places(value, (*before, key))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            for index, item in enumerate(value):
                yield from places(item, (*before, key, index))


def changed(path: Path, place: Place, value: Any) -> str:
    whole = copy.deepcopy(values(path))
    table: Any = whole
    for part in place[:-1]:
        table = table[part]
    table[place[-1]] = value
    return written(whole)


WRONG_TYPE = [(path, place) for path in (CLINICA, CLINIC) for place in places(values(path))]


def test_the_examples_have_every_key() -> None:
    have = {
        tuple(part for part in place if isinstance(part, str))
        for path in (CLINICA, CLINIC)
        for place in places(values(path))
    }
    exist = {
        (*(part for part in title.strip("[]").split(".") if part), key)
        for title, table in tables()
        for key in table.model_fields
    }
    assert exist == have


@pytest.mark.parametrize(("example", "place"), WRONG_TYPE)
def test_a_value_of_the_wrong_type(example: Path, place: Place, path: Path) -> None:
    for wrong in ({"x": 1}, -99.5):
        if wrong == {"x": 1} and place[-1] == "secure":
            continue
        [line] = mistakes(path, changed(example, place, wrong))
        key = str(place[-1])
        if key in Secretary.model_fields and isinstance(wrong, dict):
            assert key in line
        else:
            assert line.startswith("FILE:")
            assert f" {key}: " in line


OUT_OF_RANGE: list[tuple[Place, Any]] = [
    (("domain_uuid",), "clinica"),
    (("secretary_uuid",), UUID[:-1]),
    (("name",), "A\nna"),
    (("company",), "x" * 1001),
    (("language",), "pt_BR"),
    (("voice",), "\x00"),
    (("model",), "a\u2028b"),
    (("models",), ["[agent]", "[agent]"]),
    (("instructions",), "x" * 50_001),
    (("business_info",), "a\x07b"),
    (("greeting",), "a\nb"),
    (("farewell",), "x" * 1001),
    (("guardrails",), ["ok", ""]),
    (("fallback",), "Nobody"),
    (("noise_reduction",), "near"),
    (("turn_detection", "kind"), "vad"),
    (("turn_detection", "threshold"), 1.1),
    (("turn_detection", "silence_ms"), 99),
    (("turn_detection", "prefix_ms"), 2001),
    (("turn_detection", "eagerness"), "high"),
    (("barge_in", "confirm_ms"), 2001),
    (("barge_in", "during_greeting"), "yes"),
    (("limits", "max_call_s"), 9),
    (("limits", "max_call_s"), 60),
    (("limits", "warn_s"), 900),
    (("limits", "idle_s"), 601),
    (("limits", "idle_s"), float("nan")),
    (("limits", "idle_prompts"), 11),
    (("limits", "max_turns"), 1001),
    (("hours", "zone"), "Sao_Paulo"),
    (("hours", "zone"), ""),
    *((("hours", day), ["25:00-26:00"]) for day in ("monday", "tuesday", "wednesday", "thursday")),
    *((("hours", day), ["12:00-08:00"]) for day in ("friday", "saturday", "sunday")),
    (("hours", "holidays"), ["12-25", "12-32"]),
    (("hours", "say"), "x" * 1001),
    (("hours", "do"), "sleep"),
    (("hours", "destination"), "Recepção"),
    (("destinations", 1, "come_back"), "always"),
    (("destinations", 0, "name"), ""),
    (("destinations", 1, "name"), "RECEPCAO"),
    (("destinations", 1, "aliases"), ["Débito", "Debito"]),
    (("destinations", 0, "kind"), "user"),
    (("destinations", 0, "number"), "600 XML default"),
    (("destinations", 0, "number"), ""),
    (("destinations", 1, "number"), "600\nsendmsg"),
    (("destinations", 0, "context"), "a b"),
    (("destinations", 0, "context"), "${x}"),
    (("destinations", 0, "timeout_s"), 4),
    (("tools", "enabled"), ["end_call", "dance"]),
    (("tools", "enabled"), ["end_call", "end_call", "collect_digits", "take_message"]),
    (("tools", "webhooks", 0, "name"), "Find Slots"),
    (("tools", "webhooks", 0, "name"), "end_call"),
    (("tools", "webhooks", 1, "name"), "find_slots"),
    (("tools", "webhooks", 0, "description"), ""),
    (("tools", "webhooks", 0, "url"), "ftp://a.example"),
    (("tools", "webhooks", 0, "url"), ""),
    (("tools", "webhooks", 0, "url"), "https://user:pass@a.example"),
    (("tools", "webhooks", 0, "timeout_s"), 61),
    (("tools", "webhooks", 0, "wait_say"), "a\nb"),
    (("tools", "webhooks", 0, "parameters"), {"type": "array"}),
    (("tools", "webhooks", 0, "parameters"), {"type": "object", "properties": 3}),
    (("tools", "webhooks", 1, "parameters"), {"type": "object", "properties": {"cpf": {}}}),
    (("tools", "webhooks", 1, "secure"), {"CPF": "cpf"}),
    (("tools", "webhooks", 1, "secure"), {"cpf": "C P F"}),
    (("events", "message_url"), "agenda.example"),
    (("events", "call_ended_url"), "https://a.example/x#y"),
]


@pytest.mark.parametrize(("place", "value"), OUT_OF_RANGE)
def test_a_value_out_of_range(place: Place, value: Any, path: Path) -> None:
    [line] = mistakes(path, changed(CLINICA, place, value))
    assert line.startswith("FILE:")
    # What is wrong between two keys is said of one of them.
    other = {"parameters": "cpf", "max_call_s": "warn_s"}.get(str(place[-1]), "secure")
    assert f" {place[-1]}: " in line or f".{place[-1]}] " in line or f" {other}: " in line
    assert "pass@" not in line


def tables_of(path: Path) -> Iterator[Place]:
    found = {place[:-1] for place in places(values(path))}
    yield from sorted(found, key=str)


@pytest.mark.parametrize("place", [*tables_of(CLINICA)])
def test_an_unknown_key(place: Place, path: Path) -> None:
    [line] = mistakes(path, changed(CLINICA, (*place, "zzz"), 1))
    assert " zzz: unknown; there are " in line


@pytest.mark.parametrize(
    ("array", "key"),
    [
        (array, key)
        for array, table in (t for t in tables() if t[0].startswith("[["))
        for key, field in table.model_fields.items()
        if field.is_required()
    ],
)
def test_a_missing_key(array: str, key: str, path: Path) -> None:
    whole = values(CLINICA)
    parent: Any = whole
    for part in array.strip("[]").split("."):
        parent = parent[part]
    del parent[1][key]
    [line] = mistakes(path, written(whole))
    assert line.endswith(f" {array} {key}: is missing")


def test_every_key_was_wrong_in_turn() -> None:
    tried = {tuple(part for part in place if isinstance(part, str)) for place, _ in OUT_OF_RANGE}
    # true or false: only its type can be wrong
    free = {("recording", "stereo"), ("recording", "after_transfer")}
    models = {title.strip("[]") for title, _ in tables()}
    exist = {
        tuple(f"{title.strip('[]')}.{key}".strip(".").split("."))
        for title, table in tables()
        for key in table.model_fields
        if f"{title.strip('[]')}.{key}".strip(".") not in models
    }
    assert exist - tried == free


# --- what is said ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "mistake"),
    [
        ("\nnam = 'x'\n", "FILE:2: nam: unknown; did you mean name?"),
        (
            "[limits]\nfallback = 'x'\n",
            "FILE:2: [limits] fallback: unknown; it belongs in the top, before the first [table]",
        ),
        ("idle_s = 3\n", "FILE:1: idle_s: unknown; it belongs in [limits]"),
        (
            "\nlimits = 3\n",
            "FILE:2: limits: must be a table: write [limits] on a line of its own, its keys below"
            " it",
        ),
        (
            "[destinations]\nname = 'a'\n",
            "FILE:1: destinations: must be a list of tables: write [[destinations]] on a line of"
            " its own before each",
        ),
        (
            "[turn_detection]\nkind = 'semantic_vad'\nsilence_ms = 700\nthreshold = 0.9\n",
            'FILE:3: [turn_detection] silence_ms: means nothing with kind = "semantic_vad"\n'
            'FILE:4: [turn_detection] threshold: means nothing with kind = "semantic_vad"',
        ),
        (
            "fallback = 'b'\n[[destinations]]\nname = 'a'\nnumber = '1'\n",
            'FILE:1: fallback: "b" is not a destination; there are "a"',
        ),
        (
            "[tools]\nenabled = ['transfer_call']\n",
            'FILE:2: [tools] enabled: "transfer_call" needs [[destinations]]',
        ),
        (
            "[tools]\nenabled = []\n[hours]\nzone = 'UTC'\nholidays = ['12-25']\n",
            'FILE:3: [hours] do: "message" needs "take_message" in [tools] enabled',
        ),
        (
            "[[tools.webhooks]]\nname = 'a'\ndescription = 'd'\nurl = 'https://a.example'\n"
            "secure = { pin = 'pin' }\n",
            'FILE:5: [[tools.webhooks]] secure: needs "collect_digits" in [tools] enabled',
        ),
        ("name = \n", "FILE:1: not valid TOML: Invalid value"),
    ],
)
def test_what_is_said(text: str, mistake: str, path: Path) -> None:
    assert "\n".join(mistakes(path, text)).startswith(mistake)


@pytest.mark.parametrize(
    ("parameters", "why"),
    [
        ({"type": "objec"}, "is no JSON schema: type: "),
        ({"properties": {}}, "must be a JSON schema of type object"),
        ({"type": "object", "properties": {"a": {"pattern": "("}}}, "is no JSON schema: "),
        ({"type": "object", "properties": {"a": {"$ref": "https://x/"}}}, "holds a $ref"),
        ({"type": "object", "properties": {"a": {"pattern": "(a)\\1"}}}, "holds the pattern "),
        ({"type": "object", "patternProperties": {"a": {}}}, "holds a patternProperties; name the"),
        ({"type": "object", "description": "x" * 20_000}, "has 20037 characters as JSON, more"),
        ({"type": "object", "required": ["a"]}, 'requires "a", which is not in its properties'),
    ],
)
def test_a_schema_of_arguments_is_checked(parameters: dict[str, Any], why: str, path: Path) -> None:
    [line] = mistakes(path, changed(CLINICA, ("tools", "webhooks", 0, "parameters"), parameters))
    assert f" [[tools.webhooks]] parameters: {why}" in line


def test_a_date_in_a_schema_is_no_json(path: Path) -> None:
    text = changed(CLINICA, ("tools", "webhooks", 0, "parameters"), {"type": "object"})
    [line] = mistakes(
        path, text.replace('{ type = "object" }', '{ type = "object", default = 2026-01-01 }')
    )
    assert line.endswith("parameters: holds what JSON cannot: a date, a time, inf or nan")


def test_several_mistakes_are_in_the_order_of_the_file(path: Path) -> None:
    text = "nam = 1\n[limits]\nidle_s = -1\nwarn = 3\n[hours]\ndo = 'transfer'\n"
    lines = [line.split(":")[1] for line in mistakes(path, text)]
    assert lines == ["1", "3", "4", "5"]


# --- whose calls, and where values come from ------------------------------------------------------


def test_a_file_is_for_calls_by_its_keys_or_its_name(tmp_path: Path) -> None:
    def key(name: str, text: str = "") -> tuple[str, str] | None:
        path = tmp_path / name
        path.write_text(text)
        own = read(path, AGENT).secretary
        return own.key if own else None

    assert key("default.toml") == ("", "")
    assert key(f"{UUID.upper()}.toml") == ("", UUID)
    assert key(f"{UUID}.toml", f"domain_uuid = '{UUID}'") == (UUID, "")
    assert key("ana.toml", f"secretary_uuid = '{UUID}'") == ("", UUID)
    assert key("ana.toml") is None
    assert "no call would find it" in read(tmp_path / "ana.toml", AGENT).mistakes[0]


def test_a_value_is_known_by_its_line_or_as_the_agents(path: Path) -> None:
    path.write_text("name = 'a'\nvoice = ''\nmodel = 'm'\n[limits]\nidle_s = 3\n")
    where = read(path, AGENT).places
    assert where["name"] == f"{path}:1"
    assert where["model"] == f"{path}:3"
    assert where["limits.idle_s"] == f"{path}:5"
    assert where["voice"] == where["language"] == "[agent]"


def test_a_file_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    [line] = read(tmp_path / "x.toml", AGENT).mistakes
    assert line.endswith("x.toml: No such file or directory")


@pytest.mark.parametrize("example", [CLINICA, CLINIC])
def test_an_example_that_is_written_anew_reads_the_same(example: Path, tmp_path: Path) -> None:
    copied = tmp_path / "copy.toml"
    copied.write_text(written(values(example)), encoding="utf-8")
    assert read(copied, AGENT).secretary == read(example, AGENT).secretary is not None

"""TOML files: the line of every key, mistakes in words, and values written."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from esl_controller.config.toml_file import KEYS_LIMIT, TomlError, comment, read, toml


def lines(path: Path, text: str) -> dict[str, int]:
    path.write_text(text, encoding="utf-8")
    return {name: int(place.rpartition(":")[2]) for name, place in read(path)[1].items()}


def test_every_key_has_its_line_also_in_arrays_of_tables(tmp_path: Path) -> None:
    text = '''\
name = "Ana"
about = """
[trap]
name = 1
"""

[[destinations]] # one
name = "a"
[[destinations]]
name = "b"
aliases = [
    "c",
]
[tools]
enabled = []
[[tools.webhooks]]
url = "https://a"
[tools.webhooks.parameters]
type = "object"
[[tools.webhooks]]
[tools.webhooks.parameters]
properties.day = { type = "string" }
'''
    assert lines(tmp_path / "a.toml", text) == {
        "name": 1,
        "about": 2,
        "destinations": 7,
        "destinations.0": 7,
        "destinations.0.name": 8,
        "destinations.1": 9,
        "destinations.1.name": 10,
        "destinations.1.aliases": 11,
        "tools": 14,
        "tools.enabled": 15,
        "tools.webhooks": 16,
        "tools.webhooks.0": 16,
        "tools.webhooks.0.url": 17,
        "tools.webhooks.0.parameters": 18,
        "tools.webhooks.0.parameters.type": 19,
        "tools.webhooks.1": 20,
        "tools.webhooks.1.parameters": 21,
        "tools.webhooks.1.parameters.properties": 22,
        "tools.webhooks.1.parameters.properties.day": 22,
        "tools.webhooks.1.parameters.properties.day.type": 22,
    }


def test_a_file_that_is_no_toml_is_one_line_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    with pytest.raises(TomlError, match=r"a\.toml: No such file or directory"):
        read(path)
    path.write_text("a = 1\nb = \n")
    with pytest.raises(TomlError, match=r"a\.toml:2: not valid TOML: Invalid value"):
        read(path)


def test_a_file_without_end_in_depth_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "a.toml"
    path.write_text("a = " + "[" * 100_000)
    with pytest.raises(TomlError, match="too deep"):
        read(path)


def test_a_file_has_so_many_keys_at_most(tmp_path: Path) -> None:
    many = "".join(f"k{number} = 1\n" for number in range(KEYS_LIMIT))
    assert len(lines(tmp_path / "a.toml", many)) == KEYS_LIMIT
    with pytest.raises(TomlError, match=r"a\.toml:5001: has more than 5000 tables and keys"):
        lines(tmp_path / "a.toml", many + "more = 1\n")


@pytest.mark.parametrize(
    "value",
    [
        'a "b" \\ \x7f é',
        'two\n"""lines"""',
        True,
        0.5,
        3,
        ["a", "b"],
        {"type": "object", "a b": {"enum": ["x", 1], "deep": [{"a": False}]}},
    ],
)
def test_a_value_that_is_written_reads_the_same(value: object) -> None:
    assert tomllib.loads(f"a = {toml(value)}") == {"a": value}


def test_comments_are_wrapped() -> None:
    assert comment("word " * 30) == ["# " + "word " * 18 + "word", "# " + "word " * 10 + "word"]

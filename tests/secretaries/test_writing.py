"""A secretary written for people is TOML that reads as the same secretary."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from esl_controller.secretaries.reading import read, tables
from esl_controller.secretaries.writing import describe, template
from tests.secretaries.rig import AGENT, CLINIC, CLINICA


@pytest.mark.parametrize("example", [CLINICA, CLINIC])
def test_a_description_reads_as_the_same_secretary(example: Path, tmp_path: Path) -> None:
    reading = read(example, AGENT)
    assert reading.secretary is not None
    text = describe(reading.secretary, "the file x", reading.places)
    assert text.startswith("# Effective values: the defaults, the file x.\n")
    again = tmp_path / "again.toml"
    again.write_text(text, encoding="utf-8")
    assert read(again, AGENT).secretary == reading.secretary


def test_each_value_has_its_source(tmp_path: Path) -> None:
    path = tmp_path / "default.toml"
    path.write_text("name = 'Ana'\n[limits]\nidle_s = 3.0\n")
    reading = read(path, AGENT)
    assert reading.secretary is not None
    lines = describe(reading.secretary, "", reading.places).splitlines()
    assert f'name = "Ana"  # {path}:1' in lines
    assert f"idle_s = 3.0  # {path}:3" in lines
    assert 'voice = "cedar"  # [agent]' in lines
    assert "max_call_s = 3600  # default" in lines
    assert 'enabled = ["end_call", "take_message"]  # default' in lines


def test_a_template_has_every_key_with_its_help_and_is_right(tmp_path: Path) -> None:
    text = template({"name": "Ana", "language": "pt-BR"})
    assert max(map(len, text.splitlines())) <= 100
    assert {key for key, value in tomllib.loads(text).items() if value} == {"name", "language"}
    for title, table in tables():
        assert title in text
        for key, field in table.model_fields.items():
            assert not field.description or re.search(rf"^#?{key} = ", text, re.MULTILINE)
    path = tmp_path / "default.toml"
    for written in (text, re.sub(r"^#(?! )", "", text, flags=re.MULTILINE)):
        path.write_text(written.replace("domain_uuid = ", "# domain_uuid = "), encoding="utf-8")
        assert read(path, AGENT).mistakes == ()

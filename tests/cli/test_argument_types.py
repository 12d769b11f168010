"""What single arguments accept, and what they say about anything else."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path

import pytest

from esl_controller.cli import argument_types as kinds

UUID = "B1D2F7A4-5C3E-4F60-8A9B-0C1D2E3F4A5B"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (kinds.number, "+5511*#_.-", "+5511*#_.-"),
        (kinds.uuid, UUID, UUID.lower()),
        (kinds.call_uuid, UUID, UUID),
        (kinds.person, "Ana Lúcia", "Ana Lúcia"),
        (kinds.language, "pt-BR", "pt-BR"),
        (kinds.domain, "pbx.example.net", "pbx.example.net"),
        (kinds.order, "200", 200),
        (kinds.http_url, "https://h:1/x", "https://h:1/x"),
        (kinds.limit, "9999", 9999),
        (kinds.seconds, "9.5", 9.5),
        (kinds.seconds, "1", 1.0),
    ],
)
def test_is_accepted(kind: Callable[[str], object], text: str, value: object) -> None:
    assert kind(text) == value


@pytest.mark.parametrize(
    ("kind", "text", "words"),
    [
        (kinds.number, "80 00", "made of letters, digits"),
        (kinds.number, "8" * 65, "made of letters, digits"),
        (kinds.uuid, UUID[:-1], "not a UUID"),
        (kinds.call_uuid, "x", "not a UUID"),
        (kinds.person, "a\nb", "not a name"),
        (kinds.person, "", "not a name"),
        (kinds.language, "pt_BR", "not a language tag such as pt-BR"),
        (kinds.domain, "a b", "not a domain's name or uuid"),
        (kinds.order, "1000", "not a number from 0 to 999"),
        (kinds.order, "-1", "not a number from 0 to 999"),
        (kinds.http_url, "h:8023", "not an http:// or https:// URL"),
        (kinds.http_url, "http://a b", "not an http:// or https:// URL"),
        (kinds.limit, "0", "not a number from 1 to 9999"),
        (kinds.seconds, "0", "not from 1 to 3600 seconds"),
        (kinds.seconds, "3600.1", "not from 1 to 3600 seconds"),
        (kinds.seconds, "nan", "not a number of seconds"),
    ],
)
def test_is_refused(kind: Callable[[str], object], text: str, words: str) -> None:
    with pytest.raises(ArgumentTypeError, match=words):
        kind(text)


def test_files_and_directories(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    assert kinds.file(str(there)) == kinds.new_file(str(there)) == there
    assert kinds.new_file(str(tmp_path / "new")) == tmp_path / "new"
    assert kinds.directory(str(tmp_path)) == tmp_path
    assert kinds.directory(str(tmp_path / "new")) == tmp_path / "new"
    with pytest.raises(ArgumentTypeError, match="there is no file"):
        kinds.file(str(tmp_path))
    for path in (tmp_path, tmp_path / "no" / "x"):
        with pytest.raises(ArgumentTypeError, match="cannot write to"):
            kinds.new_file(str(path))
    with pytest.raises(ArgumentTypeError, match="is not a directory"):
        kinds.directory(str(there))

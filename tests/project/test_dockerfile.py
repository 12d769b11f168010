"""The image, as its Dockerfile says it: what can be known of it without building it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from esl_controller.cli.argument_groups import DEFAULT_FILES
from esl_controller.config.settings import Settings
from tests.paths import ROOT

TEXT = (ROOT / "Dockerfile").read_text()


def instructions() -> list[tuple[str, str]]:
    """Those of the last stage: keyword and the rest, in order."""
    lines = (line for line in TEXT.splitlines() if not line.startswith("#"))
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    stage = joined[joined.rindex("FROM ") :]
    pairs = (line.partition(" ")[::2] for line in stage.splitlines() if line)
    return [(keyword, rest.strip()) for keyword, rest in pairs]


def one(keyword: str) -> str:
    [value] = [rest for each, rest in instructions() if each == keyword]
    return value


def test_the_call_record_is_written_where_it_can_be_and_stays() -> None:
    url = Settings().store.url
    assert url.startswith("sqlite:///")
    home = PurePosixPath(one("WORKDIR"))
    assert (home / url.removeprefix("sqlite:///")).is_relative_to(one("VOLUME"))
    made = next(rest for keyword, rest in instructions() if keyword == "RUN")
    name = re.search(rf"useradd .*--uid {one('USER')} .* (\w+) *&&", made)
    assert name is not None
    assert re.search(rf"install --directory --owner {name[1]} .*{home}$", made)
    assert f":{home} " in TEXT.partition("FROM")[0], "the command to run it keeps the record"


def test_settings_of_the_volume_are_read() -> None:
    assert (PurePosixPath(one("WORKDIR")) / DEFAULT_FILES[0]).is_relative_to(one("VOLUME"))


def test_the_ports_are_those_of_the_settings() -> None:
    settings = Settings()
    ports = (settings.esl.port, settings.media.port, settings.web.port)
    assert one("EXPOSE") == " ".join(map(str, ports))
    assert f"ESL_CONTROLLER_WEB_PORT={settings.web.port}" in one("ENV"), "that the check asks"

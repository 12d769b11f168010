"""The image, as its Dockerfile says it: what can be known of it without building it."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from esl_controller.config.default_file import USUAL_FILES
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


def test_nobody_can_put_another_image_in_the_place_of_what_it_is_built_from() -> None:
    given = dict(re.findall(r"^ARG (\w+)=(\S+)$", TEXT, re.MULTILINE))
    stages: set[str] = set()
    bases = re.findall(r"^FROM (\S+)(?: AS (\w+))?$", TEXT, re.MULTILINE)
    assert len(bases) == len(re.findall(r"^FROM ", TEXT, re.MULTILINE)) > 0
    for base, stage in bases:
        image = re.sub(r"\$\{(\w+)\}", lambda name: given[name[1]], base)
        assert image in stages or re.search(r"@sha256:[0-9a-f]{64}$", image), image
        stages.add(stage)
    assert set(re.findall(r"--from=(\S+)", TEXT)) <= stages


def test_settings_of_the_volume_are_read() -> None:
    assert (PurePosixPath(one("WORKDIR")) / USUAL_FILES[0]).is_relative_to(one("VOLUME"))


def test_the_ports_are_those_of_the_settings() -> None:
    settings = Settings()
    ports = (settings.esl.port, settings.media.port, settings.web.port)
    assert one("EXPOSE") == " ".join(map(str, ports))
    assert f"ESL_CONTROLLER_WEB_PORT={settings.web.port}" in one("ENV"), "that the check asks"

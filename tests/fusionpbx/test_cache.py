"""The one file of a context, and no other."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.fusionpbx import cache
from esl_controller.fusionpbx.config import Config, EventSocket
from esl_controller.fusionpbx.errors import FusionError

BAD = ["", ".." * 40, "../x", "a/b", "a\\b", "a b", "a\nb", "${domain_name}", "global", "é", "a\0"]


def config(location: Path) -> Config:
    return Config(location / "c", "", 1, "", "", "", "prefer", "file", location, EventSocket())


@pytest.mark.parametrize("context", BAD)
def test_a_context_that_has_no_file_of_its_own(tmp_path: Path, context: str) -> None:
    for use in (cache.file_of, cache.remove_file, cache.read_file):
        with pytest.raises(FusionError, match="flush the cache in FusionPBX"):
            use(config(tmp_path), context)


@given(st.text(max_size=70) | st.text("./\\:*", max_size=8))
def test_any_context_is_refused_or_a_file_of_the_folder(context: str) -> None:
    folder = Path("/var/cache/fusionpbx")
    try:
        path = cache.file_of(config(folder), context)
    except FusionError:
        return
    assert path.name == f"dialplan.{context}"
    assert Path(os.path.normpath(path)).parent == folder


def test_only_that_file_goes(tmp_path: Path) -> None:
    for name in ("dialplan.a", "dialplan.ab", "dialplan.x", "dialplan.a.tmp"):
        (tmp_path / name).touch()
    assert cache.remove_file(config(tmp_path), "a")
    assert not cache.remove_file(config(tmp_path), "a")
    assert not cache.remove_file(config(tmp_path), "*"), "a star is a letter here"
    left = sorted(path.name for path in tmp_path.iterdir())
    assert left == ["dialplan.a.tmp", "dialplan.ab", "dialplan.x"]


def test_a_link_goes_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    elsewhere = tmp_path / "precious"
    elsewhere.touch()
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / "dialplan.a").symlink_to(elsewhere)
    assert cache.remove_file(config(folder), "a")
    assert elsewhere.exists()


def test_what_cannot_be_removed_or_read_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "dialplan.a").mkdir()
    with pytest.raises(FusionError, match="is a directory"):
        cache.remove_file(config(tmp_path), "a")
    with pytest.raises(FusionError, match="cannot be read"):
        cache.read_file(config(tmp_path), "a")
    with pytest.raises(FusionError, match="on this machine"):
        cache.remove_file(config(tmp_path / "none"), "a")


def test_what_is_cached_and_since_when(tmp_path: Path) -> None:
    assert cache.read_file(config(tmp_path), "a") is None
    (tmp_path / "dialplan.a").write_bytes(b"<x>\xff</x>")
    os.utime(tmp_path / "dialplan.a", (0, 86400))
    found = cache.read_file(config(tmp_path), "a")
    assert found is not None
    assert found.at is not None
    assert (found.text, found.at.isoformat()) == ("<x>\ufffd</x>", "1970-01-02T00:00:00+00:00")

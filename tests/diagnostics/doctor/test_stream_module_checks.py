"""Faults of mod_audio_stream: each is found alone, with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from esl_controller.fusionpbx import config
from tests.diagnostics.doctor.clinic import Clinic, clinic
from tests.diagnostics.doctor.plants import (
    FAILED,
    WARNING,
    Plant,
    Planted,
    diagnosed,
    setting,
    unloaded,
)


def not_loaded_at_start(place: Clinic) -> None:
    place.of.switch.installation.configurations["modules"] = "<modules/>"


FAULTS: dict[str, Planted] = {
    "module": (
        unloaded("mod_audio_stream", file=False),
        *(
            "stream module",
            FAILED,
            "there is no /usr/lib/freeswitch/mod/mod_audio_stream.so",
            "github.com/sptmru",
        ),
    ),
    "module not loaded": (
        unloaded("mod_audio_stream", file=True),
        *("stream module", FAILED, "installed and not loaded", 'fs_cli -x "load mod_audio_stream"'),
    ),
    "autoload": (
        not_loaded_at_start,
        *("stream module autoload", WARNING, "not in modules.conf.xml", "modules.conf.xml"),
    ),
    "mixed": (setting("MEDIA_MIX", "mixed"), "stream module format", WARNING, "mono", "mono"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_one_fault_is_found(name: str, tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        await diagnosed(place, FAULTS[name])


@pytest.mark.parametrize(
    ("plant", "check"),
    [
        (not_loaded_at_start, "stream module autoload"),
        (unloaded("mod_audio_stream", file=True), "stream module"),
        (unloaded("mod_loopback", file=True), "switch modules"),
    ],
)
async def test_fusionpbx_has_a_page_for_what_is_loaded_at_every_start(
    plant: Plant, check: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It writes modules.conf.xml anew from its table, so a line that was put there vanishes."""
    (tmp_path / "config.conf").touch()
    monkeypatch.setattr(config, "DEFAULT_FILES", (tmp_path / "config.conf",))
    async with clinic(tmp_path) as place:
        plant(place)
        remedy = (await place.examine()).findings[check].remedy
    assert "Modules in FusionPBX: enable mod_" in remedy
    assert "modules.conf.xml" not in remedy

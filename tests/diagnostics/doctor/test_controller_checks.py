"""Faults on our own side: each is found alone, with its remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from esl_controller.simulator.model import ModelFaults
from tests.diagnostics.doctor.clinic import Clinic, clinic
from tests.diagnostics.doctor.plants import (
    FAILED,
    WARNING,
    Planted,
    diagnosed,
    nothing,
    setting,
)


def clock_ahead(place: Clinic) -> None:
    place.of.switch.installation.clock_ahead = 90


def no_key(place: Clinic) -> None:
    place.setting("AGENT_KIND", "standin")
    del place.environment["OPENAI_API_KEY"]
    del place.environment["ESL_CONTROLLER_AGENT_BASE_URL"]


def bad_secretary(place: Clinic) -> None:
    (place.folder / "ana.toml").write_text("hours = 3\n")
    place.setting("SECRETARIES_FOLDER", str(place.folder))


def leads_back(place: Clinic) -> None:
    (place.folder / "default.toml").write_text('[[destinations]]\nname = "Desk"\nnumber = "8000"\n')
    place.setting("SECRETARIES_FOLDER", str(place.folder))


def no_record(place: Clinic) -> None:
    del place.environment["ESL_CONTROLLER_STORE_URL"]
    place.file = place.folder / "esl-controller.toml"
    place.file.write_text('[store]\nurl = ""\n')


FAULTS: dict[str, Planted] = {
    "model away": (
        setting("AGENT_BASE_URL", "http://127.0.0.1:9/v1"),
        *("model", FAILED, "no connection to the model", "[agent] base_url"),
    ),
    "no key": (no_key, "model", WARNING, "no key for a voice model", "OPENAI_API_KEY"),
    "record": (
        setting("STORE_URL", "sqlite:////nonexistent/calls.db"),
        *("record", FAILED, "/nonexistent", "[store] url"),
    ),
    "no record": (no_record, "record", WARNING, "is empty", "sqlite:///"),
    "secretary": (bad_secretary, "secretaries", FAILED, "ana.toml", "secretary check"),
    "leads back": (leads_back, "secretaries", WARNING, "Desk has that number", "[[destinations]]"),
    "clock": (clock_ahead, "clock", WARNING, "90 s apart", "timedatectl"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_one_fault_is_found(name: str, tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        await diagnosed(place, FAULTS[name])


RIGGED: dict[str, tuple[dict[str, Any], Planted]] = {
    "key": (
        {"model": {"faults": ModelFaults(refuse_key="http")}},
        (nothing, "model", FAILED, "the key was refused", "OPENAI_API_KEY"),
    ),
}


@pytest.mark.parametrize("name", RIGGED)
async def test_one_fault_of_the_others_is_found(name: str, tmp_path: Path) -> None:
    rigged, fault = RIGGED[name]
    async with clinic(tmp_path, **rigged) as place:
        await diagnosed(place, fault)

"""Faults on our own side: each is found alone, with its remedy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esl_controller.simulator.model import ModelFaults
from tests.diagnostics.doctor.clinic import Clinic, clinic, ill
from tests.diagnostics.doctor.plants import (
    FAILED,
    WARNING,
    Planted,
    diagnosed,
    nothing,
    setting,
)

NOBODY = "http://127.0.0.1:9/v1"


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


def unknown_model(place: Clinic) -> None:
    (place.folder / "default.toml").write_text('models = ["[agent]", "Europe"]\n')
    place.setting("SECRETARIES_FOLDER", str(place.folder))


def asks_for_a_pin(place: Clinic) -> None:
    (place.folder / "ana.toml").write_text(
        'name = "Ana"\nsecretary_uuid = "5c0ffee5-0000-4000-8000-000000000001"\n'
        '[tools]\nenabled = ["end_call", "collect_digits"]\n'
        '[[tools.webhooks]]\nname = "balance"\ndescription = "x"\nurl = "https://a.example/b"\n'
        'secure = { pin = "pin" }\n'
    )
    place.setting("SECRETARIES_FOLDER", str(place.folder))


def asks_for_a_pin_signed(place: Clinic) -> None:
    asks_for_a_pin(place)
    place.setting("WEBHOOK_SECRET", "s3cret")


def no_record(place: Clinic) -> None:
    del place.environment["ESL_CONTROLLER_STORE_URL"]
    place.file = place.folder / "esl-controller.toml"
    place.file.write_text('[store]\nurl = ""\n')


def with_another(name: str, url: str = NOBODY, **first: str) -> Callable[[Clinic], None]:
    """There are two models, one of them away."""

    def plant(place: Clinic) -> None:
        place.file = place.folder / "settings" / "esl-controller.toml"
        place.file.parent.mkdir()
        own = url or place.environment["ESL_CONTROLLER_AGENT_BASE_URL"]
        place.file.write_text(f'[[models]]\nname = "{name}"\nbase_url = "{own}"\n')
        for key, value in first.items():
            place.setting(key, value)

    return plant


FAULTS: dict[str, Planted] = {
    "model away": (
        setting("AGENT_BASE_URL", NOBODY),
        *("model", FAILED, "no connection to the model", "[agent] base_url"),
    ),
    "first model away": (
        with_another("reserve", "", AGENT_BASE_URL=NOBODY),
        *("model", FAILED, "no connection to the model", "[agent] base_url"),
    ),
    "second model away": (
        with_another("reserve"),
        *("model", WARNING, "'reserve', the model", "[[models]] base_url"),
    ),
    "no key": (no_key, "model", WARNING, "no key for a voice model", "OPENAI_API_KEY"),
    "record": (
        setting("STORE_URL", "sqlite:////nonexistent/calls.db"),
        *("record", FAILED, "/nonexistent", "[store] url"),
    ),
    "no record": (no_record, "record", WARNING, "is empty", "sqlite:///"),
    "secretary": (bad_secretary, "secretaries", FAILED, "ana.toml", "secretary check"),
    "leads back": (leads_back, "secretaries", WARNING, "Desk has that number", "[[destinations]]"),
    "unknown model": (unknown_model, "secretaries", WARNING, "models Europe", "secretary check"),
    "unsigned": (
        asks_for_a_pin,
        *("secret digits", WARNING, "balance of Ana", "ESL_CONTROLLER_WEBHOOK_SECRET"),
    ),
    "clock": (clock_ahead, "clock", WARNING, "90 s apart", "timedatectl"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_one_fault_is_found(name: str, tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        await diagnosed(place, FAULTS[name])


async def test_secret_digits_that_are_signed_are_well(tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        asks_for_a_pin_signed(place)
        assert ill(await place.examine()) == {}


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

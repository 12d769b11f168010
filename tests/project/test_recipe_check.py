"""CONTRIBUTING.md's recipe "Add a check of the doctor", followed with a toy: does it rain?"""

from __future__ import annotations

from pathlib import Path

import pytest

from esl_controller.diagnostics.doctor import fusionpbx_checks, switch_checks
from esl_controller.diagnostics.doctor.case import Case, Check
from esl_controller.diagnostics.doctor.command import checks
from esl_controller.diagnostics.doctor.report import Finding, Status, failed, ok
from tests.diagnostics.doctor.clinic import Clinic, clinic, ill
from tests.diagnostics.doctor.conftest import idle_machine

__all__ = ["idle_machine"]


async def rain(case: Case) -> Finding:
    """Is it dry?"""
    if "rain" in await case.api("version"):
        return failed("it rains", "callers are in a bad mood.", "wait")
    return ok("it is dry")


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    added = (*switch_checks.CHECKS, Check("weather", rain, needs=("switch",)))
    monkeypatch.setattr(switch_checks, "CHECKS", added)


def raining(place: Clinic) -> None:
    place.of.switch.installation.version = "FreeSWITCH Version 1.10.12 (rain)"


@pytest.mark.usefixtures("registered")
async def test_a_check_is_made_once_it_stands_in_checks(tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        report = await place.examine()
        assert report.findings["weather"].found == "it is dry"
        raining(place)
        assert ill(await place.examine()) == {"weather": Status.FAILED}


@pytest.mark.usefixtures("registered")
async def test_it_is_skipped_if_what_it_needs_has_failed(tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        place.setting("FREESWITCH_PORT", "9")
        assert (await place.examine()).findings["weather"].found == "because of switch"


@pytest.mark.parametrize("fusionpbx", [False, True])
def test_a_check_needs_only_earlier_ones(fusionpbx: bool) -> None:
    made = checks(fusionpbx=fusionpbx, call=True)
    names = [check.name for check in made]
    assert len(names) == len(set(names))
    elsewhere = set() if fusionpbx else set(fusionpbx_checks.NAMES)
    for at, check in enumerate(made):
        assert set(check.needs) - elsewhere <= set(names[:at]), check.name

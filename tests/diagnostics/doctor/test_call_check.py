"""The test call, and what is said of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from esl_controller.diagnostics.doctor import call_check
from esl_controller.diagnostics.doctor.report import Status
from tests.diagnostics.doctor.clinic import clinic, ill


async def test_an_answer_that_comes_late_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_check, "SLOW_S", 0.0)
    async with clinic(tmp_path) as place:
        report = await place.examine(call=True)
        finding = report.findings["test call"]
        assert finding.status is Status.WARNING
        assert "answered after 0." in finding.found
        assert "default_password" in finding.remedy


async def test_a_call_that_comes_to_nothing(tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        place.of.switch.extensions.clear()  # what it serves is not what it does
        report = await place.examine(call=True)
        assert ill(report) == {"test call": Status.FAILED}
        assert "NO_ROUTE_DESTINATION" in report.findings["test call"].found
        assert "esl-controller call 8000" in report.findings["test call"].remedy

"""The doctor in the place of a controller that does not run."""

from __future__ import annotations

from pathlib import Path

from tests.diagnostics.doctor.clinic import clinic, ill, served
from tests.diagnostics.doctor.plants import (
    WARNING,
)
from tests.live.freeswitch import free_port


async def test_without_a_controller_the_doctor_listens_itself(tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        own = free_port()
        place.extension = served(f"127.0.0.1:{own}")
        for name, value in (("ESL_PORT", own), ("MEDIA_PORT", 0), ("WEB_PORT", 9)):
            place.setting(name, str(value))
        report = await place.examine()
        assert ill(report) == {"controller": WARNING}
        assert "listens in its place" in report.findings["controller"].found
        assert f"at 127.0.0.1:{own}" in report.findings["our event socket"].found

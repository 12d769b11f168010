"""A healthy controller between the stand-ins, on which tests plant one fault."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from esl_controller.config.loading import load
from esl_controller.diagnostics.doctor.case import Ask
from esl_controller.diagnostics.doctor.command import examined
from esl_controller.diagnostics.doctor.report import Report, Status
from esl_controller.freeswitch import dialplan
from tests.calls.rig import Rig, rig

PASSWORD = "a password of its own"
DOMAIN_UUID = dialplan.EXAMPLE_DOMAIN_UUID
SECRETARY_UUID = dialplan.EXAMPLE_SECRETARY_UUID


@dataclass
class Clinic:
    """The three parts, FreeSWITCH's files in ``folder``, and the settings that the doctor reads."""

    of: Rig
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    file: Path | None = None

    @property
    def target(self) -> str:
        """Where the controller listens for FreeSWITCH."""
        return f"127.0.0.1:{self.of.controller.calls.port}"

    @property
    def extension(self) -> str:
        """What is inside the dialplan's context."""
        return self.of.switch.contexts["default"]

    @extension.setter
    def extension(self, xml: str) -> None:
        self.of.switch.contexts["default"] = xml

    def setting(self, name: str, value: str) -> None:
        """Another setting for the doctor, named without prefix."""
        self.environment[f"ESL_CONTROLLER_{name}"] = value

    async def examine(self, *, call: bool = False, wanted: Ask | None = None) -> Report:
        """Have the doctor look at it."""
        loaded = load(self.file, self.environment)
        return await examined(loaded, "8000", "default", call=call, wanted=wanted)


def served(socket: str) -> str:
    """The extension that ``esl-controller dialplan`` prints, without what includes it."""
    text = dialplan.render(
        socket=socket, domain_uuid=DOMAIN_UUID, secretary_uuid=SECRETARY_UUID, waits_ms=(250,)
    )
    return re.sub(r"</?include>", "", text)


@contextlib.asynccontextmanager
async def clinic(folder: Path, **rigged: Any) -> AsyncIterator[Clinic]:
    """All is well here; ``rigged`` is for ``rig``."""
    async with rig(event_socket=("127.0.0.1", 0), password=PASSWORD, **rigged) as of:
        assert of.switch.event_socket is not None
        there = of.switch.installation
        for name in ("conf", "log"):
            (folder / name).mkdir()
            there.variables[f"{name}_dir"] = str(folder / name)
        (folder / "conf" / "voice_ai.xml").write_text("<include/>")
        (folder / "log" / "freeswitch.xml.fsxml").write_text("<document/>")
        ports: Mapping[str, int] = {
            "FREESWITCH_PORT": of.switch.event_socket[1],
            "ESL_PORT": of.controller.calls.port,
            "MEDIA_PORT": int(of.controller.media_url.rpartition(":")[2]),
            "WEB_PORT": of.controller.web_port,
        }
        place = Clinic(of, folder)
        place.extension = served(place.target)
        place.environment = {
            "FREESWITCH_PASSWORD": PASSWORD,
            "OPENAI_API_KEY": "sk-test",
            "ESL_CONTROLLER_AGENT_BASE_URL": of.model.base_url,
            "ESL_CONTROLLER_STORE_URL": of.controller.settings.store.url,
            **{f"ESL_CONTROLLER_{name}": str(port) for name, port in ports.items()},
        }
        yield place


def ill(report: Report) -> dict[str, Status]:
    """The checks that found something."""
    return {
        name: finding.status
        for name, finding in report.findings.items()
        if finding.status in (Status.FAILED, Status.WARNING)
    }


def grow_old(file: Path, seconds: float) -> None:
    """Let ``file`` have been written so long ago; negative: after now."""
    at = file.stat().st_mtime - seconds
    os.utime(file, (at, at))

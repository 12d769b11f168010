"""What one examination is about, and the order in which it goes.

A check is a coroutine that looks at one thing and returns a ``Finding``. It names the checks that
must not have failed before it; if one has, it is skipped and that one is named, so that a fault is
told once and its consequences are not.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from esl_controller.config.settings import Loaded, Settings
from esl_controller.diagnostics.doctor.report import Finding, Fix, Report, Status, failed, skipped
from esl_controller.freeswitch.esl import GenesisError, Inbound
from esl_controller.freeswitch.leg import CallFailed

if TYPE_CHECKING:
    from esl_controller.diagnostics.doctor.served_dialplan import Extension
    from esl_controller.server.listener import CallListener

API_S = 10.0
CHECK_S = 60.0


@dataclass
class Case:
    """The patient: the settings, the number that callers dial, and what is known so far.

    ``domain`` is FusionPBX's that the context belongs to, ``fusionpbx`` its configuration (None:
    the usual one).
    ``targets`` are where the dialplan dials, ``reached`` is the one of them that is ours.
    ``controllers`` are the web addresses of those that run here; ``substitute`` listens where none
    does. ``stack`` closes at the end what was opened.
    """

    loaded: Loaded
    number: str
    context: str
    stack: AsyncExitStack
    domain: str = ""
    fusionpbx: Path | None = None
    switch: Inbound | None = None
    extension: Extension | None = None
    targets: tuple[str, ...] = ()
    controllers: tuple[str, ...] = ()
    substitute: CallListener | None = None
    reached: str = ""

    def __post_init__(self) -> None:
        self.domain = self.domain or self.context

    @property
    def settings(self) -> Settings:
        return self.loaded.settings

    async def api(self, command: str) -> str:
        """The switch's answer to an API command. Raises CallFailed."""
        return await self.command(f"api {command}")

    async def command(self, command: str) -> str:
        """Its reply to a command of the Event Socket. Raises CallFailed."""
        assert self.switch is not None
        try:
            async with asyncio.timeout(API_S):
                reply = await self.switch.send(command)
        except TimeoutError:
            raise CallFailed(f"FreeSWITCH did not answer {command!r} in {API_S:g} s") from None
        except GenesisError as error:
            raise CallFailed(f"the connection to FreeSWITCH was lost: {error}") from None
        return (reply.body or str(reply.get("Reply-Text", ""))).strip()

    async def global_variable(self, name: str) -> str:
        """One of the switch's global variables, such as conf_dir; empty where it is not set."""
        told = await self.api(f"global_getvar {name}")
        return "" if told.startswith("-ERR") else told


Run = Callable[[Case], Awaitable[Finding]]


@dataclass(frozen=True)
class Check:
    """``name`` as the report shows it, ``needs`` the names of those before it that it builds on."""

    name: str
    run: Run
    needs: tuple[str, ...] = ()


Ask = Callable[[str], bool]
"""Whether the operator wants that to be done."""


async def examine(
    case: Case,
    checks: Sequence[Check],
    on_finding: Callable[[str, Finding], None],
    wanted: Ask | None = None,
) -> Report:
    """Run ``checks`` in their order; ``on_finding`` gets each as soon as it is known.

    Where a check failed and has a fix that is ``wanted``, that is done and the check runs again.
    """
    report = Report()
    causes: dict[str, str] = {}
    for check in checks:
        cause = next((causes[name] for name in check.needs if name in causes), "")
        finding = skipped(f"of {cause}") if cause else await _run(check, case)
        on_finding(check.name, finding)
        if finding.fix is not None and wanted is not None and wanted(finding.fix.what):
            finding = await _mended(finding, finding.fix, check, case)
            on_finding(check.name, finding)
        if cause or finding.status is Status.FAILED:
            causes[check.name] = cause or check.name
        report.findings[check.name] = finding
    return report


async def _mended(finding: Finding, fix: Fix, check: Check, case: Case) -> Finding:
    try:
        await fix.do()
    except CallFailed as failure:
        return replace(finding, found=f"{finding.found}; {failure}", fix=None)
    return await _run(check, case)


async def _run(check: Check, case: Case) -> Finding:
    try:
        async with asyncio.timeout(CHECK_S):
            return await check.run(case)
    except TimeoutError:
        return failed(
            f"nothing came of it within {CHECK_S:g} s",
            "whatever is asked there takes connections and does not answer.",
            "run the doctor again; if it stays so, report it as a fault of the doctor",
        )
    except CallFailed as failure:
        return failed(
            str(failure),
            "FreeSWITCH did not do what the doctor asked it for.",
            "look at FreeSWITCH's log, and run the doctor again",
        )
    except OSError as error:
        return failed(
            f"this machine refused what was needed for it: {error.strerror or error}",
            "it could not be looked at.",
            "mend that, and run the doctor again",
        )

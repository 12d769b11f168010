"""What is examined, and in which order.

A check is a coroutine that tests one thing and returns a ``Finding``. It names the checks that it
builds on; if one of them failed, the check is skipped and that one is named. So the report has each
fault once, without its consequences.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from esl_controller.config.settings import Loaded, Settings
from esl_controller.diagnostics.doctor.report import Finding, Fix, Report, Status, failed, skipped
from esl_controller.diagnostics.doctor.served_dialplan import Extension
from esl_controller.freeswitch import wire
from esl_controller.freeswitch.esl import GenesisError, Inbound
from esl_controller.freeswitch.leg import CallFailed
from esl_controller.freeswitch.wire import Command, UnsafeValue
from esl_controller.fusionpbx import config
from esl_controller.server.listener import CallListener

API_S = 10.0
CHECK_S = 60.0


@dataclass
class Case:
    """The settings, the number that callers dial, and what the checks have found out so far.

    ``domain``: the one of FusionPBX that the context belongs to; ``fusionpbx``: its configuration
    file (None: at the usual place). ``stack`` closes at the end what the checks opened.
    ``targets``: the addresses that the dialplan dials; ``reached``: the one at which FreeSWITCH
    reached a controller. ``controllers``: the web addresses of the controllers that run here;
    ``substitute``: the doctor's own listener, where none runs.
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

    @property
    def has_fusionpbx(self) -> bool:
        """Whether a FusionPBX is on this machine."""
        return config.is_here(self.fusionpbx)

    async def api(self, command: str, *arguments: str) -> str:
        """FreeSWITCH's answer to an API command. Raises CallFailed."""
        try:
            asked = wire.api(command, *arguments)
        except UnsafeValue as error:
            raise CallFailed(str(error)) from None
        return await self.command(asked)

    async def command(self, command: Command) -> str:
        """FreeSWITCH's reply to an Event Socket command. Raises CallFailed."""
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
        """A global variable of FreeSWITCH, such as conf_dir; empty if it is not set."""
        told = await self.api("global_getvar", name)
        return "" if told.startswith("-ERR") else told


Run = Callable[[Case], Awaitable[Finding]]


@dataclass(frozen=True)
class Check:
    """``name``: as the report shows it; ``needs``: the names of the earlier checks that it builds
    on."""

    name: str
    run: Run
    needs: tuple[str, ...] = ()


Ask = Callable[[str], bool]
"""Asks the operator whether to do something, which it names."""


async def examine(
    case: Case,
    checks: Sequence[Check],
    on_finding: Callable[[str, Finding], None],
    wanted: Ask | None = None,
) -> Report:
    """Run ``checks`` in their order; ``on_finding`` gets each finding as soon as it is there.

    If a finding has a fix and ``wanted`` agrees to it, the fix is made and the check runs again.
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
            f"the check did not end within {CHECK_S:g} s",
            "whatever it asks takes connections and does not answer.",
            "run the doctor again; if it stays so, report it as a fault of the doctor",
        )
    except CallFailed as failure:
        return failed(
            str(failure),
            "FreeSWITCH did not do what the doctor asked of it.",
            "look at FreeSWITCH's log, and run the doctor again",
        )
    except OSError as error:
        return failed(
            f"this machine refused what the check needs: {error.strerror or error}",
            "the check could not be made.",
            "correct that, and run the doctor again",
        )

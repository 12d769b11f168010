"""FusionPBX's tables and cache, from which its switch serves the dialplan.

Skipped if there is no FusionPBX on this machine. A domain's context has the domain's name, unless
another one was chosen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from esl_controller.diagnostics.doctor.case import Case, Check
from esl_controller.diagnostics.doctor.report import (
    Finding,
    Fix,
    Status,
    failed,
    ok,
    skipped,
    warning,
)
from esl_controller.diagnostics.doctor.switch_checks import configuration
from esl_controller.freeswitch.leg import CallFailed
from esl_controller.freeswitch.wire import Command
from esl_controller.fusionpbx import config, inspection, switch
from esl_controller.fusionpbx.cache import remove_file
from esl_controller.fusionpbx.errors import FusionError, NoSuchDomain
from esl_controller.fusionpbx.inspection import Inspection, ProblemKind


async def row(case: Case) -> Finding:
    """Is the number's dialplan enabled, the same in page and XML, and does no other come first?"""
    faults = [fault for fault in ProblemKind if fault is not ProblemKind.STALE_CACHE]
    return _finding(
        await _seen(case), faults, "it is enabled, XML and page agree, no other comes first"
    )


async def cache(case: Case) -> Finding:
    """Does the cache say what the tables say?"""
    seen = await _seen(case)
    if isinstance(seen, Inspection) and seen.unread:
        return skipped(seen.unread)
    finding = _finding(seen, [ProblemKind.STALE_CACHE], "it is not older than the dialplan")
    if finding.status is not Status.FAILED or not isinstance(seen, Inspection):
        return finding
    there = config.read(case.fusionpbx)
    return replace(finding, fix=Fix("; ".join(seen.forget), partial(_forget, case, there)))


async def _forget(case: Case, there: config.Config) -> None:
    """Drop the one key or file of the context, here and on other nodes. Raises CallFailed."""
    command = _command(case)
    try:
        if there.cache_method == "file":
            await asyncio.to_thread(remove_file, there, case.context)
        async for step in switch.forget(command, there, case.context):
            if step.right is False:
                raise FusionError(step.text)
        await switch.reload(command)
    except FusionError as error:
        raise CallFailed(str(error)) from None


async def as_served(case: Case) -> str:
    """The case's context as the tables have it; empty if there is no FusionPBX.

    Raises FusionError if they cannot be read, or are on another machine.
    """
    if case.has_fusionpbx:
        return await inspection.as_served(config.read(case.fusionpbx), case.context)
    # As its installer writes autoload_configs/lua.conf.xml.
    lua = await configuration(case, "lua")
    if "dialplan" in lua.get("xml-handler-bindings", ""):
        raise FusionError(
            "a script makes FreeSWITCH's dialplan, as with FusionPBX, and FreeSWITCH does not tell"
            " what it serves: run the doctor on its machine"
        )
    return ""


def _finding(seen: Inspection | Finding, faults: Sequence[ProblemKind], well: str) -> Finding:
    if isinstance(seen, Finding):
        return seen
    for problem in inspection.problems(seen):
        if problem.kind in faults:
            tell = failed if problem.certain else warning
            return tell(problem.found, f"{problem.why}.", problem.remedy)
    return ok(well)


async def _seen(case: Case) -> Inspection | Finding:
    if not case.has_fusionpbx:
        return ok("there is none on this machine")
    try:
        return await inspection.inspect(
            config.read(case.fusionpbx), case.domain, case.number, case.context, _command(case)
        )
    except NoSuchDomain as error:
        return failed(
            f"the domain {error}" if case.domain != case.context else f"the context {error}",
            "FusionPBX serves each domain's dialplan in the context of its name.",
            f"esl-controller doctor --number {case.number} --context DOMAIN"
            "    (--domain DOMAIN, where the extension is in another context)",
        )
    except FusionError as error:
        return skipped(str(error))


def _command(case: Case) -> switch.SendCommand:
    async def command(text: Command) -> str:
        try:
            return await case.command(text)
        except CallFailed as failure:
            raise FusionError(str(failure)) from None

    return command


NAMES = ("FusionPBX", "FusionPBX cache")
CHECKS = (
    Check(NAMES[0], row, needs=("switch",)),
    Check(NAMES[1], cache, needs=("switch", NAMES[0])),
)

"""FusionPBX's tables and cache, where there is a FusionPBX on this machine: they are what the
switch serves. A context is a domain's name there."""

from __future__ import annotations

from esl_controller.doctor.case import Case, Check, ask
from esl_controller.doctor.report import Finding, failed, ok, skipped, warning
from esl_controller.fusionpbx import config, inspection
from esl_controller.fusionpbx.errors import FusionError, NoSuchDomain
from esl_controller.fusionpbx.inspection import Fault, Inspection

_ROW = (Fault.ABSENT, Fault.DISABLED, Fault.CONTINUES, Fault.UNREADABLE, Fault.DISAGREE)


async def row(case: Case) -> Finding:
    """Is there a dialplan for the number, enabled, and the same on its page and in its XML?"""
    return await _finding(case, _ROW, "the dialplan is enabled, its XML and its page agree")


async def order(case: Case) -> Finding:
    """Does an earlier dialplan catch the number?"""
    return await _finding(case, (Fault.CAUGHT_EARLIER,), "no earlier dialplan catches the number")


async def cache(case: Case) -> Finding:
    """Does the cache say what the dialplan says?"""
    seen = await _seen(case)
    if isinstance(seen, Inspection) and seen.unread:
        return skipped(seen.unread)
    return await _finding(case, (Fault.STALE_CACHE,), "the cache is not older than the dialplan")


async def as_served(case: Case) -> str:
    """The case's context, put together from the tables; empty where there is no FusionPBX."""
    if not _is_here():
        return ""
    try:
        return await inspection.as_served(config.read(None), case.context)
    except FusionError:
        return ""


async def _finding(case: Case, faults: tuple[Fault, ...], well: str) -> Finding:
    seen = await _seen(case)
    if isinstance(seen, Finding):
        return seen
    for problem in inspection.problems(seen):
        if problem.fault in faults:
            tell = failed if problem.certain else warning
            return tell(problem.found, f"{problem.why}.", problem.remedy)
    return ok(well)


async def _seen(case: Case) -> Inspection | Finding:
    if not _is_here():
        return skipped("there is no FusionPBX on this machine")

    async def command(text: str) -> str:
        assert case.switch is not None
        return await ask(case.switch, text.removeprefix("api "))

    try:
        return await inspection.inspect(
            config.read(None), case.context, case.number, case.context, command
        )
    except NoSuchDomain as error:
        return failed(
            f"the context {error}",
            "FusionPBX serves each domain's dialplan in the context of its name.",
            f"esl-controller doctor --number {case.number} --context DOMAIN",
        )
    except FusionError as error:
        return skipped(str(error))


def _is_here() -> bool:
    return any(path.exists() for path in config.DEFAULT_FILES)


NAMES = ("FusionPBX dialplan", "FusionPBX order", "FusionPBX cache")
CHECKS = (
    Check(NAMES[0], row, needs=("switch",)),
    Check(NAMES[1], order, needs=("switch", NAMES[0])),
    Check(NAMES[2], cache, needs=("switch", NAMES[0])),
)

"""What a call needs on our side: the secretaries, the model, the record, the machine."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from esl_controller.agents.chain import ChainModel, open_chain
from esl_controller.agents.probe import probe
from esl_controller.call.agent_events import AgentFailed
from esl_controller.diagnostics.catalogue.controller_log import SECRETARY, STAND_IN
from esl_controller.diagnostics.doctor.case import Case, Check
from esl_controller.diagnostics.doctor.report import Finding, failed, ok, skipped, warning
from esl_controller.secretaries import prompt
from esl_controller.secretaries.folder import Folder, FolderError
from esl_controller.secretaries.persona import Persona
from esl_controller.store import StoreError
from esl_controller.store.trial import try_writing

CLOCK_S = 2.0
LOAD = 2.0  # processes that want to run, per CPU


async def secretaries(case: Case) -> Finding:
    """Can their files be read, and who answers this number?"""
    folder = _folder(case)
    try:
        await folder.load()
    except FolderError as error:
        return failed(str(error), SECRETARY.means, SECRETARY.do)
    if mistakes := folder.mistakes:
        more = f" (and {len(mistakes) - 1} more)" if mistakes[1:] else ""
        return failed(mistakes[0] + more, SECRETARY.means, SECRETARY.do)
    if case.extension is None:
        return ok(f"{len(folder.files)} secretaries can be read")
    given = case.extension.variables()
    who = folder.find(given.get("domain_uuid", ""), given.get("secretary_uuid", ""))
    name = who.name or "the persona of [agent]"
    if loops := who.leading_to(case.number, case.context):
        names = ", ".join(destination.name for destination in loops.values())
        return warning(
            f"{case.number} is answered by {name}, whose destination {names} has that number, too",
            "A transfer there brings the caller back to us, until we refuse to make another one.",
            "Write the number of who is meant into [[destinations]].",
        )
    if unknown := sorted(set(who.models).difference(case.settings.model_names)):
        return warning(
            f"{case.number} is answered by {name}, whose models {', '.join(unknown)} are unknown",
            "Its calls go on without them, and with all models of the settings if it has no other.",
            "Write names of [[models]] in our settings into models of its file: secretary check",
        )
    return ok(f"{case.number} is answered by {name}")


async def secret_digits(case: Case) -> Finding:
    """Are they signed where they leave us?"""
    folder = _folder(case)
    await folder.load()
    told = {
        f"{name} of {secretary.name or 'the default secretary'}"
        for secretary in (file.in_force for file in folder.files.values())
        if secretary is not None
        for name in secretary.told_secret_digits.values()
    }
    if not told:
        return ok("no webhook function is sent what callers type in secret")
    if case.settings.webhook.secret.get_secret_value():
        return ok("what callers type in secret is signed")
    return warning(
        f"what callers type in secret goes unsigned to {', '.join(sorted(told))}",
        "your server cannot tell whether it comes from us, and was not changed on the way.",
        "set [webhook] secret (ESL_CONTROLLER_WEBHOOK_SECRET), and have your server check the"
        " signature",
    )


def _folder(case: Case) -> Folder:
    settings = case.settings
    path = settings.secretaries.folder
    return Folder(Path(path) if path else None, settings.agent)


async def model(case: Case) -> Finding:
    """Does it accept our key and confirm a session? And do those that would take over?"""
    if case.settings.agent.resolved_kind == "standin":
        return warning(
            "no key for a voice model is set",
            STAND_IN.means,
            STAND_IN.do,
        )
    persona = prompt.persona(_folder(case).find("", ""), ())
    chain = open_chain(case.settings)
    try:
        tried = [(each, *await _try(each, persona)) for each in chain]
    finally:
        for each in chain:
            await each.model.close()
    well = [each for each, failure, _ in tried if not failure]
    for each, failure, _ in tried:
        if not failure:
            continue
        said = (f"{each.described}: {failure}", _without(each, well), each.remedy(failure))
        return failed(*said) if each is chain[0] else warning(*said)
    told = [f"{each.described} confirmed a session after {took}" for each, _, took in tried]
    return ok("; ".join(told))


async def _try(model: ChainModel, persona: Persona) -> tuple[str, str]:
    """Why this model cannot be had, if it cannot, and how long it took to find out."""
    began = time.monotonic()
    outcome = await probe(model.model, model.as_persona(persona))
    failure = outcome.reason if isinstance(outcome, AgentFailed) else ""
    return failure, f"{(time.monotonic() - began) * 1000:.0f} ms"


def _without(model: ChainModel, well: Sequence[ChainModel]) -> str:
    """What becomes of the callers without this model, if these are well."""
    if not well:
        return "callers hear an apology, or the fallback of their secretary."
    if model.further is None:
        return f"callers are answered by {well[0].name!r} of [[models]] instead."
    return f"if {well[0].name} is away, this one cannot take its calls over."


async def record(case: Case) -> Finding:
    """Can the record of the calls be written?"""
    if not case.settings.store.url:
        return warning(
            "[store] url is empty: no record is kept",
            "a call that loses its controller begins anew, and no event is delivered.",
            '[store] url = "sqlite:///esl-controller.db" in our settings',
        )
    try:
        name = await try_writing(case.settings.store.url)
    except StoreError as error:
        return failed(
            str(error),
            "without it the controller does not start.",
            "[store] url in our settings: a file in a folder that the controller's user may write,"
            " or a PostgreSQL that is there",
        )
    return ok(f"the record at {name} can be written")


async def clock(case: Case) -> Finding:
    """Do FreeSWITCH's clock and ours agree?"""
    began = time.time()
    told = await case.api("strmicroepoch")
    if not told.isdecimal():
        return skipped("FreeSWITCH does not tell its time")
    apart = int(told) / 1e6 - (began + time.time()) / 2
    if abs(apart) > CLOCK_S:
        return warning(
            f"FreeSWITCH's clock and ours are {abs(apart):.0f} s apart",
            "the times in its log and in ours do not match; a wrong clock also makes TLS and the"
            " signatures of deliveries fail.",
            "timedatectl    on both machines; NTP must be active",
        )
    return ok(f"FreeSWITCH's clock and ours are {abs(apart) * 1000:.0f} ms apart")


async def machine(case: Case) -> Finding:
    """Which versions are these, and is there CPU for a frame every 20 ms?"""
    cpus = os.cpu_count() or 1
    load = os.getloadavg()[0]
    names = f"esl-controller {version('esl-controller')}, Python {platform.python_version()}"
    found = f"{names}, {cpus} CPUs, load {load:.1f}"
    if load > LOAD * cpus:
        return warning(
            found,
            "every call needs a frame every 20 ms; a frame that waits for a CPU comes late, and the"
            " caller hears a gap.",
            "top    shows what uses the CPUs; give the controller a machine of its own",
        )
    return ok(found)


CHECKS = (
    Check("secretaries", secretaries),
    Check("secret digits", secret_digits, needs=("secretaries",)),
    Check("model", model, needs=("secretaries",)),
    Check("record", record),
    Check("clock", clock, needs=("switch",)),
    Check("machine", machine),
)

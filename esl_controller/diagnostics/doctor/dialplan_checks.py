"""The dialplan for one number, as FreeSWITCH serves it: does it hand the call to us?"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from esl_controller.config.setting_types import UUID
from esl_controller.diagnostics.catalogue.switch_log import INVALID_APPLICATION
from esl_controller.diagnostics.doctor import fusionpbx_checks
from esl_controller.diagnostics.doctor.case import Case, Check
from esl_controller.diagnostics.doctor.report import Finding, failed, ok, skipped, warning
from esl_controller.diagnostics.doctor.served_dialplan import (
    Extension,
    first,
    matching,
    stream_faults,
)
from esl_controller.diagnostics.doctor.switch_checks import configuration
from esl_controller.fusionpbx.errors import FusionError

_SCRIPTS = ("lua", "luarun", "javascript", "python", "perl")
_SCRIPT_CHARACTERS = 200_000  # of a script, at most, are read
_RENDER = (
    "esl-controller dialplan --number {number} --domain-uuid UUID --secretary-uuid UUID prints the"
    " extension; put it into the context {context}, in place of that; then\nfs_cli -x reloadxml"
)
_MANAGER = (
    "choose another number; or, if this one is to be ours, disable that dialplan at Dialplan,"
    " Dialplan Manager in FusionPBX; then\n"
)
_UNSEEN = "the dialplan could not be read"


async def _served(case: Case) -> str:
    """The context as FreeSWITCH serves it. With FusionPBX on this machine its tables tell:
    FreeSWITCH could not, and would log two errors. Raises FusionError, CallFailed."""
    if case.has_fusionpbx:
        return await fusionpbx_checks.as_served(case)
    told = await case.api("xml_locate", "dialplan", "context", "name", case.context)
    return told if "<context" in told else await fusionpbx_checks.as_served(case) or told


async def extension(case: Case) -> Finding:
    """Which extension gets the number, and does it use the ``socket`` application?"""
    number, context = case.number, case.context
    if case.has_fusionpbx:
        remedy = _MANAGER + _install(case)
    else:
        remedy = _RENDER.format(number=number, context=context)
    try:
        told = await _served(case)
    except FusionError as error:
        return skipped(str(error))
    try:
        extensions = matching(told, number)
    except ValueError:
        return failed(
            f"FreeSWITCH serves no context {context!r}",
            f"a call to {number} there ends with NO_ROUTE_DESTINATION.",
            "name the context of your callers with --context: it is user_context in their"
            " directory entry, or context in their SIP profile. If it is the right one:\n" + remedy,
        )
    takes = first(extensions)
    if takes is None:
        return failed(
            f"no extension of the context {context!r} takes {number}",
            "such a call ends with NO_ROUTE_DESTINATION.",
            remedy.replace(", in place of that", ""),
        )
    later = first([each for each in extensions if each.data("socket")])
    if takes is not later and later is not None and not takes.streams():
        return failed(
            f"the extension {takes.name!r} catches {number} before {later.name!r} does",
            "the first extension that matches gets the call; ours is never reached.",
            f"move {later.name!r} before it, or take {number} out of the expression of"
            f" {takes.name!r}, or print ours for another number (--number); then\n"
            "fs_cli -x reloadxml",
        )
    if onward := _transferred(takes):
        there, where = onward
        return warning(
            f"the extension {takes.name!r} transfers the call to {there} in {where!r}",
            "what becomes of it there is another extension's business; this one is as it should be"
            " if that is where its calls belong.",
            f"esl-controller doctor --number {there} --context {where}",
        )
    wrong = await _does_otherwise(case, takes)
    if wrong:
        found, why = wrong
        return failed(f"the extension {takes.name!r} {found}", why, remedy)
    case.extension = takes
    return ok(f"{number} in {context!r} goes to the extension {takes.name!r}, to its socket action")


def _transferred(extension: Extension) -> tuple[str, str] | None:
    """The number and the context to which an extension only passes the call on."""
    if extension.data("socket") or extension.streams():
        return None
    found = [re.fullmatch(r"(\S+) XML (\S+)", data) for data in extension.data("transfer")]
    return next(((each[1], each[2]) for each in found if each and "$" not in each[0]), None)


async def _does_otherwise(case: Case, extension: Extension) -> tuple[str, str] | None:
    """What the extension does instead of handing the call over, and why that does not work."""
    faults = [fault for data in extension.streams() for fault in stream_faults(data)]
    if extension.data("audio_stream"):
        return (
            "uses audio_stream as an application",
            INVALID_APPLICATION.means + _told(faults),
        )
    for name in _SCRIPTS:
        for data in extension.data(name):
            if not extension.data("socket"):
                text = await _script(case, data)
                faults += stream_faults(text) if "uuid_audio_stream" in text else []
                return (
                    f"runs {name} {data} and not the controller",
                    "the controller needs no script: through the socket application it answers,"
                    " starts the stream and speaks." + _told(faults),
                )
    if extension.streams():
        return (
            "starts a stream of its own" + (f", with {'; and '.join(faults)}" if faults else ""),
            "the controller starts the stream itself, and mod_audio_stream refuses a second one on"
            " the same call.",
        )
    if not extension.data("socket"):
        applications = ", ".join(dict.fromkeys(name for name, _ in extension.actions)) or "nothing"
        return (
            f"does not use the socket application; it does: {applications}",
            "only that application hands a call to the controller.",
        )
    return None


def _told(faults: Sequence[str]) -> str:
    return f" It asks for {'; and '.join(faults)}." if faults else ""


async def _script(case: Case, data: str) -> str:
    """The text of a script, if it is on this machine and we may read it; else empty."""
    folder = await case.global_variable("script_dir")
    try:
        with (Path(folder) / data.split()[0]).open(errors="replace") as file:
            return file.read(_SCRIPT_CHARACTERS)
    except (OSError, IndexError):
        return ""


async def target(case: Case) -> Finding:
    """Does the socket action name our port, and the right mode?"""
    if case.extension is None:
        return skipped(_UNSEEN)
    words = case.extension.data("socket")[0].split() or [""]
    targets = tuple(each if ":" in each else f"{each}:8084" for each in words[0].split("|"))
    mode = set(words[1:])
    port = case.settings.esl.port
    file = f"the extension {case.extension.name!r}"
    if missing := [word for word in ("async", "full") if word not in mode]:
        return failed(
            f"{file}: its socket action lacks {' and '.join(missing)}",
            "with full the controller may give the call every command, with async commands do not"
            " wait for each other; without them it can neither stream nor speak.",
            _action(case, "socket", f"{'|'.join(targets)} async full"),
        )
    at_ours = f"HOST:{port} async full"
    if port and not any(each.rpartition(":")[2] == str(port) for each in targets):
        return failed(
            f"{file}: its socket action dials {', '.join(targets)}, and [esl] port is {port}",
            "the controller does not listen there: callers get the dialplan's fallback.",
            f"set [esl] port in our settings, or {_action(case, 'socket', at_ours)}",
        )
    case.targets = targets
    return ok(f"its socket action dials {', '.join(targets)}")


def _action(case: Case, application: str, data: str, more: str = "") -> str:
    """How to get this action into the number's extension."""
    where = "" if application == "socket" else " before its socket action"
    if not case.has_fusionpbx:
        action = f'<action application="{application}" data="{data}"/>'
        return f"{action}{where}{more}; then\nfs_cli -x reloadxml"
    assert case.extension is not None
    return (
        f"in FusionPBX, Dialplan, Dialplan Manager, {case.extension.name}: the action {application}"
        f" with the data {data}{where}{more}, and save; or, if fusionpbx install made it, with the"
        f" other options that it was made with,\n{_install(case)}"
        + (f" --socket HOST:{case.settings.esl.port or 'PORT'}" if application == "socket" else "")
    )


def _install(case: Case) -> str:
    """The command that puts our extension into FusionPBX."""
    there = "" if case.context == case.domain else f" --context {case.context}"
    return (
        f"esl-controller fusionpbx install --domain {case.domain}{there} --number {case.number}"
        " --secretary-uuid UUID"
    )


async def resume(case: Case) -> Finding:
    """Does a call outlive its controller?"""
    if case.extension is None:
        return skipped(_UNSEEN)
    if case.extension.variables().get("socket_resume") == "true":
        return ok("socket_resume is set: a call outlives its controller")
    return warning(
        f"the extension {case.extension.name!r} does not set socket_resume=true",
        "when its controller is restarted or killed, a call ends or gets stuck.",
        _action(case, "set", "socket_resume=true"),
    )


async def identity(case: Case) -> Finding:
    """Does the extension say whose call it is, by valid UUIDs?"""
    if case.extension is None:
        return skipped(_UNSEEN)
    given = case.extension.variables()
    names = ("domain_uuid", "secretary_uuid")
    wrong = [
        f"{name}={given[name]}"
        for name in names
        if given.get(name) and "${" not in given[name] and not UUID.fullmatch(given[name])
    ]
    set_them = _action(case, "set", "domain_uuid=UUID", " (secretary_uuid the same way)")
    if wrong:
        return failed(
            f"{', '.join(wrong)}: not a UUID",
            "they select the call's tenant and secretary, and domain_uuid stands in the media URL.",
            set_them,
        )
    if missing := [name for name in names if not given.get(name)]:
        return warning(
            f"the extension {case.extension.name!r} sets no {' and no '.join(missing)}",
            "such calls do not get their tenant's own secretary.",
            set_them,
        )
    return ok(", ".join(f"{name}={given[name]}" for name in names))


async def jitter_buffer(case: Case) -> Finding:
    """Has the caller's leg a jitter buffer? Both may be right, so this is never a fault."""
    if case.extension is None:
        return skipped(_UNSEEN)
    profiles = (await configuration(case, "sofia")).get("auto-jitterbuffer-msec", "")
    set_here = case.extension.variables().get("jitterbuffer_msec", "")
    ran = next(iter(case.extension.data("jitterbuffer")), "")
    if size := set_here or ran or profiles:
        return ok(
            f"the caller's leg has one ({size} ms): the model hears the caller that much later"
        )
    return ok(
        "the caller's leg has none: a packet that comes late is a hole in what the model hears"
        " (jitterbuffer_msec=60:200:20, set before the socket action, fills it; 60 ms later)"
    )


CHECKS = (
    Check("dialplan", extension, needs=("switch", "switch configuration", *fusionpbx_checks.NAMES)),
    Check("dialplan target", target, needs=("dialplan",)),
    Check("dialplan resume", resume, needs=("dialplan",)),
    Check("dialplan identity", identity, needs=("dialplan",)),
    Check("jitter buffer", jitter_buffer, needs=("dialplan",)),
)

"""FreeSWITCH itself: can we talk to it, who else can, and does it run what is on the disk?

Sources: switch_xml.c writes the configuration to LOG_DIR/freeswitch.xml.fsxml each time it reads
it; mod_event_socket.c has the defaults of event_socket.conf.xml.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from ipaddress import ip_address
from pathlib import Path
from xml.etree import ElementTree

from esl_controller.diagnostics.doctor.case import Case, Check
from esl_controller.diagnostics.doctor.report import Finding, Fix, failed, ok, skipped, warning
from esl_controller.freeswitch.leg import CallFailed, event_socket

DEFAULT_PASSWORD = "ClueCon"  # noqa: S105 (FreeSWITCH's own default, which the check looks for)
OLDEST = (1, 10)
MODULES = {
    "mod_commands": "has the commands that we give it",
    "mod_dptools": "has answer, park, transfer and playback",
    "mod_dialplan_xml": "serves the dialplan",
    "mod_loopback": "makes test calls (the doctor's, and those of esl-controller call)",
}
_CONFIGURATION = "autoload_configs/{}.conf.xml"


async def socket(case: Case) -> Finding:
    """Can we connect, and is the password right?"""
    there = case.settings.freeswitch
    where = f"{there.host}:{there.port}"
    try:
        case.switch = await case.stack.enter_async_context(event_socket(there))
    except CallFailed as failure:
        if "password" in str(failure):
            return failed(
                f"FreeSWITCH at {where} refuses the password",
                "without it neither the doctor nor esl-controller call can ask FreeSWITCH.",
                "set FREESWITCH_PASSWORD to the password in FreeSWITCH's"
                f" {_CONFIGURATION.format('event_socket')}",
            )
        return failed(
            f"nobody answers at {where}: {failure}",
            "most checks ask FreeSWITCH, and are skipped without it.",
            "systemctl status freeswitch\n"
            f"listen-ip and listen-port in FreeSWITCH's {_CONFIGURATION.format('event_socket')}\n"
            "[freeswitch] host and port in our settings",
        )
    return ok(f"FreeSWITCH answers at {where}")


async def version(case: Case) -> Finding:
    """Is it new enough?"""
    told = await case.api("version")
    found = re.search(r"Version (\d+)\.(\d+)\S*", told)
    if found and (int(found[1]), int(found[2])) < OLDEST:
        return failed(
            f"FreeSWITCH {found[0].removeprefix('Version ')}",
            "the lane and mod_audio_stream have only been seen to work on 1.10 and newer.",
            "update FreeSWITCH to 1.10.12 or newer",
        )
    name = found[0].removeprefix("Version ").partition("~")[0] if found else told
    return ok(f"FreeSWITCH {name}")


async def exposure(case: Case) -> Finding:
    """Who can reach its Event Socket, and is the password the one that everybody knows?"""
    given = await configuration(case, "event_socket")
    file = await file_of(case, "event_socket")
    listen, password = given.get("listen-ip", "::"), given.get("password", DEFAULT_PASSWORD)
    port = given.get("listen-port", str(case.settings.freeswitch.port))
    if is_loopback(listen):
        return ok(f"its Event Socket is bound to {listen} only")
    again = 'fs_cli -x "reload mod_event_socket"'
    if password == DEFAULT_PASSWORD:
        return failed(
            f"its Event Socket is bound to {listen} with the password that everybody knows",
            f"anyone who reaches port {port} can make calls at your cost, listen to others, and run"
            " commands on that machine.",
            f"{file}: another password, or listen-ip 127.0.0.1; then\n{again}\n"
            "and set FREESWITCH_PASSWORD for us",
        )
    if not given.get("apply-inbound-acl"):
        return warning(
            f"its Event Socket is bound to {listen}, and apply-inbound-acl is not set",
            f"anyone who reaches port {port} may try passwords; FreeSWITCH's default lets only"
            " loopback in, which may change with a version.",
            f"{file}: apply-inbound-acl with a list of your own; then\n{again}",
        )
    return ok(f"its Event Socket is bound to {listen}, with a password and a list of its own")


async def modules(case: Case) -> Finding:
    """Are the modules loaded that every call needs?"""
    missing = [name for name in MODULES if await case.api("module_exists", name) != "true"]
    if not missing:
        return ok("the modules that calls need are loaded")
    name = missing[0]
    return failed(
        f"{', '.join(missing)} not loaded",
        f"{name} {MODULES[name]}.",
        f'fs_cli -x "load {name}"\n{await at_every_start(case, name)}',
    )


async def freshness(case: Case) -> Finding:
    """Has it read what is on the disk? Known only if its disk is this machine's."""
    folder = Path(await case.global_variable("conf_dir"))
    logs = Path(await case.global_variable("log_dir"))
    try:
        read_at = (logs / "freeswitch.xml.fsxml").stat().st_mtime
        newer = sorted(file for file, at in _files(folder) if at > read_at)
    except OSError:
        return skipped("FreeSWITCH's files are not on this machine, or we may not read them")
    if not newer:
        return ok(f"it has read its configuration in {folder} as it is now")

    async def reload() -> None:
        await case.api("reloadxml")

    more = f" and {len(newer) - 1} more" if len(newer) > 1 else ""
    return failed(
        f"{newer[0]}{more} was changed after FreeSWITCH read it",
        "calls still follow what was there before.",
        "fs_cli -x reloadxml",
        Fix("fs_cli -x reloadxml", reload),
    )


def _files(folder: Path) -> Iterator[tuple[Path, float]]:
    if not folder.is_dir():
        raise FileNotFoundError(folder)
    return ((file, file.stat().st_mtime) for file in folder.rglob("*.xml"))


async def configuration(case: Case, name: str) -> dict[str, str]:
    """The parameters of NAME.conf as FreeSWITCH has them; empty if it has none."""
    told = await case.api("xml_locate", "configuration", "configuration", "name", f"{name}.conf")
    try:
        document = ElementTree.fromstring(told)  # noqa: S314 (FreeSWITCH's own, without a DTD)
    except ElementTree.ParseError:
        return {}
    return {each.get("name", ""): each.get("value", "") for each in document.iter("param")}


async def at_every_start(case: Case, module: str) -> str:
    """How a module is loaded whenever FreeSWITCH starts. FusionPBX writes the file anew from its
    own table each time its page is opened (docs/design/fusionpbx.md#its-configuration)."""
    if case.has_fusionpbx:
        return f"Advanced, Modules in FusionPBX: enable {module} there, then start it"
    return f'<load module="{module}"/> in {await file_of(case, "modules")}'


async def file_of(case: Case, name: str) -> str:
    """The usual path of NAME.conf.xml."""
    return f"{await case.global_variable('conf_dir')}/{_CONFIGURATION.format(name)}"


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches ``host``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


CHECKS = (
    Check("switch", socket),
    Check("switch version", version, needs=("switch",)),
    Check("switch exposure", exposure, needs=("switch",)),
    Check("switch modules", modules, needs=("switch",)),
    Check("switch configuration", freshness, needs=("switch",)),
)

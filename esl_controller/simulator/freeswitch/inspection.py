"""Commands about the switch, not a call: modules, configuration, dialplan, versions.

Answers as FreeSWITCH 1.10.12 gave them (captures/inspection.jsonl).
"""

from __future__ import annotations

import time
from pathlib import Path
from xml.etree import ElementTree

from esl_controller.simulator.freeswitch.installation import STREAM_MODULE
from esl_controller.simulator.freeswitch.session import Switch

_NOT_FOUND = "can't find anything\n"


def version(switch: Switch, arg: str) -> str:
    told = switch.installation.version
    if "short" in arg:
        return told + "\n"
    return f"FreeSWITCH Version {told}~64bit ( 64bit)\n"


def module_exists(switch: Switch, arg: str) -> str:
    if arg == STREAM_MODULE:
        return "true" if switch.has_stream_module else "false"
    return "true" if arg in switch.installation.modules else "false"


def load(switch: Switch, arg: str) -> str:
    there = switch.installation
    if f"{there.variables['mod_dir']}/{arg}.so" not in there.files:
        return "+OK Reloading XML\n-ERR [module load file routine returned an error]\n"
    there.modules.add(arg)
    return "+OK Reloading XML\n+OK\n"


def unload(switch: Switch, arg: str) -> str:
    """For a module that is not loaded, the answer is from switch_loadable_module.c."""
    if arg not in switch.installation.modules:
        return "-ERR [Invalid Argument]\n"
    switch.installation.modules.remove(arg)
    return "+OK\n"


def file_exists(switch: Switch, arg: str) -> str:
    return "true" if arg in switch.installation.files else "false"


def global_getvar(switch: Switch, arg: str) -> str:
    return switch.installation.variables.get(arg, "-ERR no reply\n")


def strmicroepoch(switch: Switch, _: str) -> str:
    return str(int((time.time() + switch.installation.clock_ahead) * 1e6))


def reloadxml(switch: Switch, _: str) -> str:
    logs = Path(switch.installation.variables["log_dir"])
    if logs.is_dir():
        # FreeSWITCH writes what it has read; only the file's time matters here.
        (logs / "freeswitch.xml.fsxml").touch()
    return "+OK [Success]\n"


def xml_locate(switch: Switch, arg: str) -> str:
    """``dialplan context name NAME``, or ``configuration configuration name NAME``."""
    words = arg.split()
    if len(words) != 4:
        return _NOT_FOUND
    name = words[3]
    if words[:3] == ["configuration", "configuration", "name"]:
        inside = switch.installation.configurations.get(name.removesuffix(".conf"))
        return _NOT_FOUND if inside is None else _element("configuration", name, inside)
    if words[:3] != ["dialplan", "context", "name"]:
        return _NOT_FOUND
    if name in switch.contexts:
        return _element("context", name, switch.contexts[name])
    served = name == "default" and switch.extensions
    return _extensions(switch, name) if served else _NOT_FOUND


def _element(tag: str, name: str, inside: str) -> str:
    return f'<{tag} name="{name}">{inside}</{tag}>'


def _extensions(switch: Switch, name: str) -> str:
    context = ElementTree.Element("context", name=name)
    for number, actions in switch.extensions.items():
        extension = ElementTree.SubElement(context, "extension", name=number)
        field = {"field": "destination_number", "expression": f"^{number}$"}
        condition = ElementTree.SubElement(extension, "condition", field)
        for action in actions:
            row = {"application": action.app, "data": action.arg}
            ElementTree.SubElement(condition, "action", row)
    return ElementTree.tostring(context, encoding="unicode")

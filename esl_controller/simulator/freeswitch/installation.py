"""How the switch is installed: its version, modules, configuration and variables."""

from __future__ import annotations

from dataclasses import dataclass, field

from esl_controller.simulator.freeswitch.events import VERSION

STREAM_MODULE = "mod_audio_stream"
_MODULES = (
    *("mod_event_socket", "mod_commands", "mod_dptools", "mod_dialplan_xml", "mod_sofia"),
    *("mod_loopback", "mod_opus", STREAM_MODULE),
)
_FOLDER = "/usr/lib/freeswitch/mod"


def _parameters(values: dict[str, str]) -> str:
    rows = "".join(
        f'<param name="{name}" value="{value}"></param>' for name, value in values.items()
    )
    return f"<settings>{rows}</settings>"


def _configurations() -> dict[str, str]:
    loads = "".join(f'<load module="{name}"></load>' for name in _MODULES)
    local = {"listen-ip": "127.0.0.1", "listen-port": "8021", "password": "ClueCon"}
    return {
        "modules": f"<modules>{loads}</modules>",
        "event_socket": _parameters(local),
        "switch": _parameters({"rtp-start-port": "16384", "rtp-end-port": "32768"}),
    }


@dataclass
class Installation:
    """How the switch is installed and configured; to be changed at will."""

    version: str = VERSION
    modules: set[str] = field(default_factory=lambda: set(_MODULES))
    """Those that are loaded."""
    files: set[str] = field(default_factory=lambda: {f"{_FOLDER}/{name}.so" for name in _MODULES})
    """Files on its machine that ``file_exists`` and ``load`` know."""
    configurations: dict[str, str] = field(default_factory=_configurations)
    """What is inside ``<configuration name="NAME.conf">``, by NAME."""
    variables: dict[str, str] = field(
        default_factory=lambda: {
            "conf_dir": "/etc/freeswitch",
            "log_dir": "/var/log/freeswitch",
            "mod_dir": _FOLDER,
            "script_dir": "/usr/share/freeswitch/scripts",
        }
    )
    """The global variables."""
    clock_ahead: float = 0.0
    """Seconds."""

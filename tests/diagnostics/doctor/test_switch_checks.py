"""Faults of FreeSWITCH itself: each is found alone, with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.diagnostics.doctor.clinic import Clinic, clinic, grow_old
from tests.diagnostics.doctor.plants import (
    FAILED,
    WARNING,
    Plant,
    Planted,
    diagnosed,
    setting,
    unloaded,
)


def event_socket(**parameters: str) -> Plant:
    def plant(place: Clinic) -> None:
        rows = {name.replace("_", "-"): value for name, value in parameters.items()}
        text = "".join(f'<param name="{name}" value="{value}"/>' for name, value in rows.items())
        of = place.of.switch.installation.configurations
        of["event_socket"] = f"<settings>{text}</settings>"

    return plant


def stale(place: Clinic) -> None:
    grow_old(place.folder / "log" / "freeswitch.xml.fsxml", 60)


def old_switch(place: Clinic) -> None:
    place.of.switch.installation.version = "1.8.7-release"


def wrong_password(place: Clinic) -> None:
    place.environment["FREESWITCH_PASSWORD"] = "wrong"


OPEN = {"listen_ip": "0.0.0.0", "password": "ClueCon"}
GUARDED = {"listen_ip": "0.0.0.0", "password": "its own"}

FAULTS: dict[str, Planted] = {
    "stale": (stale, "switch configuration", FAILED, "voice_ai.xml was changed", "reloadxml"),
    "no switch": (
        setting("FREESWITCH_PORT", "9"),
        *("switch", FAILED, "nobody answers at 127.0.0.1:9", "[freeswitch] host and port"),
    ),
    "password": (
        wrong_password,
        *("switch", FAILED, "refuses the password", "FREESWITCH_PASSWORD"),
    ),
    "old": (old_switch, "switch version", FAILED, "FreeSWITCH 1.8.7", "update FreeSWITCH"),
    "exposed": (
        event_socket(**OPEN),
        *("switch exposure", FAILED, "that everybody knows", "listen-ip 127.0.0.1"),
    ),
    "open": (
        event_socket(**GUARDED),
        *("switch exposure", WARNING, "apply-inbound-acl is not set", "apply-inbound-acl"),
    ),
    "loopback module": (
        unloaded("mod_loopback", file=True),
        *("switch modules", FAILED, "mod_loopback not loaded", 'fs_cli -x "load mod_loopback"'),
    ),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_one_fault_is_found(name: str, tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        await diagnosed(place, FAULTS[name])

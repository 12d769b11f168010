"""What keeps FreeSWITCH from reaching us: each fault is found alone, with its remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from esl_controller.simulator.freeswitch.faults import Faults
from tests.diagnostics.doctor.clinic import Clinic, clinic, ill, served
from tests.diagnostics.doctor.plants import (
    FAILED,
    WARNING,
    Planted,
    diagnosed,
    nothing,
    setting,
)
from tests.live.freeswitch import free_port


def rtp_over_lanes(place: Clinic) -> None:
    rows = '<param name="rtp-start-port" value="40000"/><param name="rtp-end-port" value="50000"/>'
    place.of.switch.installation.configurations["switch"] = f"<settings>{rows}</settings>"


FAULTS: dict[str, Planted] = {
    "web address": (
        setting("WEB_PORT", "9"),
        *("controller", FAILED, "cannot be had", "[web] host"),
    ),
    "rtp": (rtp_over_lanes, "lane", FAILED, "also FreeSWITCH's RTP ports", "lane_ports"),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_one_fault_is_found(name: str, tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        await diagnosed(place, FAULTS[name])


RIGGED: dict[str, tuple[dict[str, Any], Planted]] = {
    "not allowed": (
        {"settings": {"ESL_ALLOW": "10.0.0.0/8"}},
        (nothing, "our event socket", FAILED, "127.0.0.1", '[esl] allow = ["127.0.0.1", ...]'),
    ),
    "media refused": (
        {"faults": Faults(media_refused=True)},
        (nothing, "our media", FAILED, "does not reach our media", "[media] public_url"),
    ),
    "media elsewhere": (
        {"faults": Faults(media_not_found=True)},
        (nothing, "our media", FAILED, "404", "must keep the path /stream/"),
    ),
    "lane": (
        {"faults": Faults(lane_bind_failures=-1)},
        (nothing, "lane", FAILED, "sends no audio", "[media] lane_host"),
    ),
    "lane's own address": (
        {},
        (
            setting("MEDIA_LANE_HOST", "203.0.113.1"),
            *("lane", FAILED, "no UDP socket at 203.0.113.1", "[media] lane_host: our address"),
        ),
    ),
    "lane's way": (
        {},
        (
            setting("MEDIA_LANE_SWITCH_HOST", "203.0.113.1"),
            *("lane", FAILED, "towards 203.0.113.1", "lane_switch_host: its own"),
        ),
    ),
}


@pytest.mark.parametrize("name", RIGGED)
async def test_one_fault_of_the_others_is_found(name: str, tmp_path: Path) -> None:
    rigged, fault = RIGGED[name]
    async with clinic(tmp_path, **rigged) as place:
        await diagnosed(place, fault)


async def test_a_controller_whose_web_address_is_the_next_one(tmp_path: Path) -> None:
    """As after an update by two that share [esl] port: its calls must not come to the doctor."""
    shared = {"ESL_SHARE": "true", "ESL_PORT": str(free_port())}
    async with clinic(tmp_path, settings=shared) as place:
        web = place.of.controller.web_port
        for name, value in (("ESL_SHARE", "true"), ("WEB_PORT", str(web - 1)), ("MEDIA_PORT", "0")):
            place.setting(name, value)
        report = await place.examine()
        assert ill(report) == {}, report.json()
        assert f"answers at http://127.0.0.1:{web}: " in report.findings["controller"].found


async def test_the_doctor_takes_no_calls_beside_a_controller_that_it_cannot_ask(
    tmp_path: Path,
) -> None:
    shared = {"ESL_SHARE": "true", "ESL_PORT": str(free_port())}
    async with clinic(tmp_path, settings=shared) as place:
        for name, value in (("ESL_SHARE", "true"), ("WEB_PORT", "9"), ("MEDIA_PORT", "0")):
            place.setting(name, value)
        report = await place.examine()
        assert ill(report) == {"controller": FAILED}, report.json()


@pytest.mark.parametrize("dialled", ["127.0.0.1:9|{}", "{}|127.0.0.1:9"])
async def test_two_controllers_one_of_them_away(tmp_path: Path, dialled: str) -> None:
    async with clinic(tmp_path) as place:
        place.extension = served(dialled.format(place.target))
        report = await place.examine()
        assert ill(report) == {"our event socket": WARNING}
        assert "nobody at 127.0.0.1:9" in report.findings["our event socket"].found

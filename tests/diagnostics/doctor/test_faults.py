"""One fault planted at a time: the doctor names it, says what to do, and blames nothing else."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from esl_controller.diagnostics.doctor.report import Status
from esl_controller.simulator.freeswitch.faults import Faults
from esl_controller.simulator.freeswitch.switch import SwitchStandIn
from esl_controller.simulator.model import ModelFaults
from tests.diagnostics.doctor.clinic import DOMAIN_UUID, Clinic, clinic, grow_old, ill, served
from tests.live.freeswitch import free_port

FAILED, WARNING = Status.FAILED, Status.WARNING
SEED = "ws://127.0.0.1:8085/ws/${domain_uuid}/${secretary_uuid}/${uuid}"


@pytest.mark.parametrize("build", ["sptmru", "amigniter"])
async def test_all_is_well(tmp_path: Path, build: str) -> None:
    async with clinic(tmp_path, build=build) as place:
        report = await place.examine(call=True)
        statuses = {each.status for each in report.findings.values()}
        assert statuses == {Status.OK}, report.json()
        assert report.exit_status == 0
        assert f"{build}'s build" in report.findings["stream module format"].found
        assert "had a reply" in report.findings["test call"].found
        await place.of.no_calls()
        assert place.of.controller.calls.taken == 1, "only the test call is one"


Plant = Callable[[Clinic], None]
Fault = tuple[Plant, str, Status, str, str]


def extension(*actions: tuple[str, str], name: str = "voice", number: str = "^8000$") -> str:
    rows = "".join(f'<action application="{app}" data="{data}"/>' for app, data in actions)
    condition = f'<condition field="destination_number" expression="{number}">{rows}</condition>'
    return f'<extension name="{name}">{condition}</extension>'


def dialplan(*actions: tuple[str, str]) -> Plant:
    def plant(place: Clinic) -> None:
        place.extension = extension(*actions)

    return plant


def replaced(old: str, new: str) -> Plant:
    def plant(place: Clinic) -> None:
        assert old in place.extension
        place.extension = place.extension.replace(old, new)

    return plant


def setting(name: str, value: str) -> Plant:
    return lambda place: place.setting(name, value)


def event_socket(**parameters: str) -> Plant:
    def plant(place: Clinic) -> None:
        rows = {name.replace("_", "-"): value for name, value in parameters.items()}
        text = "".join(f'<param name="{name}" value="{value}"/>' for name, value in rows.items())
        of = place.of.switch.installation.configurations
        of["event_socket"] = f"<settings>{text}</settings>"

    return plant


def unloaded(module: str, *, file: bool) -> Plant:
    def plant(place: Clinic) -> None:
        there = place.of.switch.installation
        there.modules.discard(module)
        if not file:
            there.files.discard(f"/usr/lib/freeswitch/mod/{module}.so")

    return plant


def not_loaded_at_start(place: Clinic) -> None:
    place.of.switch.installation.configurations["modules"] = "<modules/>"


def stale(place: Clinic) -> None:
    grow_old(place.folder / "log" / "freeswitch.xml.fsxml", 60)


def old_switch(place: Clinic) -> None:
    place.of.switch.installation.version = "1.8.7-release"


def no_context(place: Clinic) -> None:
    place.of.switch.contexts["public"] = place.of.switch.contexts.pop("default")
    place.of.switch.extensions.clear()


def no_number(place: Clinic) -> None:
    place.extension = place.extension.replace("^8000$", "^8001$")


def caught_before(place: Clinic) -> None:
    catcher = extension(("bridge", "user/x"), name="Local_Extension", number=r"^\d{4}$")
    place.extension = catcher + place.extension


def clock_ahead(place: Clinic) -> None:
    place.of.switch.installation.clock_ahead = 90


def rtp_over_lanes(place: Clinic) -> None:
    rows = '<param name="rtp-start-port" value="40000"/><param name="rtp-end-port" value="50000"/>'
    place.of.switch.installation.configurations["switch"] = f"<settings>{rows}</settings>"


def wrong_password(place: Clinic) -> None:
    place.environment["FREESWITCH_PASSWORD"] = "wrong"


def no_key(place: Clinic) -> None:
    place.setting("AGENT_KIND", "standin")
    del place.environment["OPENAI_API_KEY"]
    del place.environment["ESL_CONTROLLER_AGENT_BASE_URL"]


def bad_secretary(place: Clinic) -> None:
    (place.folder / "ana.toml").write_text("hours = 3\n")
    place.setting("SECRETARIES_FOLDER", str(place.folder))


def no_record(place: Clinic) -> None:
    del place.environment["ESL_CONTROLLER_STORE_URL"]
    place.file = place.folder / "esl-controller.toml"
    place.file.write_text('[store]\nurl = ""\n')


OPEN = {"listen_ip": "0.0.0.0", "password": "ClueCon"}
GUARDED = {"listen_ip": "0.0.0.0", "password": "its own"}
LUA = ("lua", "voice_secretary.lua")
SET_STREAM = f"x=${{uuid_audio_stream(${{uuid}} start {SEED} both 8000)}}"

FAULTS: dict[str, Fault] = {
    # The seed's five.
    "application": (
        dialplan(("audio_stream", SEED)),
        *("dialplan", FAILED, "uses audio_stream as an application", "esl-controller dialplan"),
    ),
    "script": (
        dialplan(LUA),
        *("dialplan", FAILED, "runs lua voice_secretary.lua", "esl-controller dialplan"),
    ),
    "stale": (stale, "switch configuration", FAILED, "voice_ai.xml was changed", "reloadxml"),
    "mix": (
        dialplan(("set", SET_STREAM), ("socket", "127.0.0.1:8022 async full")),
        *("dialplan", FAILED, "the mix type 'both'", "esl-controller dialplan"),
    ),
    "rate": (
        dialplan(("set", SET_STREAM.replace("both", "mono")), ("socket", "x:1 async full")),
        *("dialplan", FAILED, "the rate '8000', which is written 8k", "esl-controller dialplan"),
    ),
    "path": (
        dialplan(("set", SET_STREAM.replace("both 8000", "mono 16k")), ("socket", "x:1")),
        *("dialplan", FAILED, "a path that begins with /ws/", "esl-controller dialplan"),
    ),
    "module": (
        unloaded("mod_audio_stream", file=False),
        *(
            "stream module",
            FAILED,
            "there is no /usr/lib/freeswitch/mod/mod_audio_stream.so",
            "github.com/sptmru",
        ),
    ),
    # And more.
    "module not loaded": (
        unloaded("mod_audio_stream", file=True),
        *("stream module", FAILED, "installed and not loaded", 'fs_cli -x "load mod_audio_stream"'),
    ),
    "autoload": (
        not_loaded_at_start,
        *("stream module autoload", WARNING, "not in modules.conf.xml", "modules.conf.xml"),
    ),
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
    "context": (no_context, "dialplan", FAILED, "no context 'default'", "--context"),
    "number": (no_number, "dialplan", FAILED, "takes 8000", "esl-controller dialplan"),
    "caught": (
        caught_before,
        *("dialplan", FAILED, "'Local_Extension' catches 8000 before 'voice_ai_8000'", "move"),
    ),
    "mode": (
        replaced(" async full", ""),
        *("dialplan target", FAILED, "lacks async and full", "async full"),
    ),
    "resume": (
        replaced("socket_resume=true", "x=y"),
        *("dialplan resume", WARNING, "does not set socket_resume", "socket_resume=true"),
    ),
    "no uuid": (
        replaced(DOMAIN_UUID, "our-tenant"),
        *("dialplan identity", FAILED, "domain_uuid=our-tenant: not a UUID", "domain_uuid=UUID"),
    ),
    "uuid missing": (
        replaced(f"domain_uuid={DOMAIN_UUID}", "x=y"),
        *("dialplan identity", WARNING, "sets no domain_uuid", "domain_uuid=UUID"),
    ),
    "web address": (
        setting("WEB_PORT", "9"),
        *("controller", FAILED, "cannot be had", "[web] host"),
    ),
    "rtp": (rtp_over_lanes, "lane", FAILED, "also FreeSWITCH's RTP ports", "lane_ports"),
    "model away": (
        setting("AGENT_BASE_URL", "http://127.0.0.1:9/v1"),
        *("model", FAILED, "no connection to the model", "[agent] base_url"),
    ),
    "no key": (no_key, "model", WARNING, "no key for a voice model", "OPENAI_API_KEY"),
    "record": (
        setting("STORE_URL", "sqlite:////nonexistent/calls.db"),
        *("record", FAILED, "/nonexistent", "[store] url"),
    ),
    "no record": (no_record, "record", WARNING, "is empty", "sqlite:///"),
    "mixed": (setting("MEDIA_MIX", "mixed"), "stream module format", WARNING, "mono", "mono"),
    "secretary": (bad_secretary, "secretaries", FAILED, "ana.toml", "secretary check"),
    "clock": (clock_ahead, "clock", WARNING, "90 s apart", "timedatectl"),
}


async def diagnosed(place: Clinic, fault: Fault) -> None:
    """Plant it, and have it found: it alone, with its remedy."""
    plant, check, status, found, remedy = fault
    plant(place)
    report = await place.examine()
    assert ill(report) == {check: status}, report.json()
    assert found in report.findings[check].found
    assert remedy in report.findings[check].remedy
    assert report.findings[check].why
    assert report.exit_status == (status is FAILED)
    await place.of.no_calls()
    assert place.of.controller.calls.taken == 0


@pytest.mark.parametrize("name", FAULTS)
async def test_one_fault_is_found(name: str, tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        await diagnosed(place, FAULTS[name])


def nothing(place: Clinic) -> None:
    """The fault is in how it was set up."""


RIGGED: dict[str, tuple[dict[str, Any], Fault]] = {
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
    "key": (
        {"model": {"faults": ModelFaults(refuse_key="http")}},
        (nothing, "model", FAILED, "the key was refused", "OPENAI_API_KEY"),
    ),
}


@pytest.mark.parametrize("name", RIGGED)
async def test_one_fault_of_the_others_is_found(name: str, tmp_path: Path) -> None:
    rigged, fault = RIGGED[name]
    async with clinic(tmp_path, **rigged) as place:
        await diagnosed(place, fault)


async def test_without_a_controller_the_doctor_listens_itself(tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        own = free_port()
        place.extension = served(f"127.0.0.1:{own}")
        for name, value in (("ESL_PORT", own), ("MEDIA_PORT", 0), ("WEB_PORT", 9)):
            place.setting(name, str(value))
        report = await place.examine()
        assert ill(report) == {"controller": WARNING}
        assert "listens in its place" in report.findings["controller"].found
        assert f"at 127.0.0.1:{own}" in report.findings["our event socket"].found


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


async def test_a_call_that_comes_to_nothing(tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        place.of.switch.extensions.clear()  # what it serves is not what it does
        report = await place.examine(call=True)
        assert ill(report) == {"test call": FAILED}
        assert "NO_ROUTE_DESTINATION" in report.findings["test call"].found
        assert "esl-controller call 8000" in report.findings["test call"].remedy


async def test_nothing_is_left_at_the_switch(tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        switch: SwitchStandIn = place.of.switch
        await place.examine()
        assert not switch.sessions


@pytest.mark.parametrize("dialled", ["127.0.0.1:9|{}", "{}|127.0.0.1:9"])
async def test_two_controllers_one_of_them_away(tmp_path: Path, dialled: str) -> None:
    async with clinic(tmp_path) as place:
        place.extension = served(dialled.format(place.target))
        report = await place.examine()
        assert ill(report) == {"our event socket": WARNING}
        assert "nobody at 127.0.0.1:9" in report.findings["our event socket"].found

"""``esl-controller doctor``: on a healthy FreeSWITCH all is well, and each fault is found alone."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path

import pytest

from esl_controller.config.loading import load
from esl_controller.diagnostics.doctor.command import examined
from esl_controller.diagnostics.doctor.report import Report, Status
from esl_controller.fusionpbx import config as fusionpbx_config
from tests.diagnostics.doctor.clinic import grow_old, ill
from tests.live.freeswitch import DOMAIN_UUID, FreeSwitch, free_port
from tests.live.processes import run
from tests.live.rig import Live, environment, live, until_async

FAILED, WARNING = Status.FAILED, Status.WARNING
SEED = "ws://127.0.0.1:8085/ws/${domain_uuid}/${secretary_uuid}/${uuid}"
OURS = "2_voice_ai.xml"
MACHINE_HAS_FUSIONPBX = any(path.exists() for path in fusionpbx_config.DEFAULT_FILES)


@pytest.fixture(autouse=True)
def idle_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (0.1, 0.1, 0.1))


def of(rig: Live) -> dict[str, str]:
    """The settings of the controller that runs, for the doctor."""
    own = environment(rig.switch, rig.model.base_url)
    ports = {
        "MEDIA_PORT": rig.controller.media_url.rpartition(":")[2],
        "WEB_PORT": str(rig.controller.web_port),
    }
    store = {"ESL_CONTROLLER_STORE_URL": rig.settings.store.url}
    return own | store | {f"ESL_CONTROLLER_{name}": port for name, port in ports.items()}


async def doctor(settings: Mapping[str, str], *, call: bool = False) -> Report:
    return await examined(load(None, settings), "8000", "default", call=call)


async def test_all_is_well(switch: FreeSwitch) -> None:
    async with live(switch) as rig:
        report = await doctor(of(rig), call=True)
        assert {each.status for each in report.findings.values()} == {Status.OK}, report.json()
        assert rig.controller.calls.taken == 1, "only the test call is one"
        assert rig.warnings() == []
        build = report.findings["stream module format"].found
        assert (
            not switch.build.name.startswith(("sptmru", "amigniter")) or switch.build.name in build
        )


async def test_as_a_process_without_a_controller(any_switch: FreeSwitch, tmp_path: Path) -> None:
    async def no_channel() -> bool:
        return any_switch.channels() == 0

    settings = environment(any_switch, "") | {
        "ESL_CONTROLLER_MEDIA_PORT": str(free_port()),
        "ESL_CONTROLLER_WEB_PORT": str(free_port()),
        "ESL_CONTROLLER_AGENT_KIND": "standin",
        "ESL_CONTROLLER_STORE_URL": f"sqlite:///{tmp_path}/calls.db",
    }
    status, out, error = await run("doctor", environment=settings)
    assert (status, error) == (0, ""), out
    assert "the doctor listens in its place" in out
    assert "ok        our media: FreeSWITCH reaches our media at" in out
    # The process finds a FusionPBX that the machine has, whose checks this number has none of.
    assert ", 0 failed" in out if MACHINE_HAS_FUSIONPBX else ", 0 failed, 0 skipped" in out
    await until_async(no_channel)


@pytest.mark.parametrize(
    ("setting", "value", "told"),
    [
        ("MEDIA_MIX", "both", 'write "mono"'),
        ("MEDIA_RATE", "16000", 'write "16k"'),
        ("MEDIA_PUBLIC_URL", "ws://127.0.0.1:8085/ws/", "/stream/{domain_uuid}/{call_uuid}"),
    ],
)
async def test_what_the_settings_refuse(
    any_switch: FreeSwitch, setting: str, value: str, told: str
) -> None:
    settings = environment(any_switch, "", **{setting: value})
    status, out, error = await run("doctor", environment=settings)
    assert (status, error) == (1, ""), out
    assert out.startswith("failed    settings: ")
    assert told in out
    assert "1 failed, 1 skipped" in out


# --- faults of the switch and its dialplan --------------------------------------------------------

Plant = Callable[[FreeSwitch, dict[str, str]], contextlib.AbstractContextManager[None]]


def rewritten(change: Callable[[str], str], file: str = f"dialplan/{OURS}") -> Plant:
    """Another text in one of the switch's files, until the block is left."""

    @contextlib.contextmanager
    def plant(switch: FreeSwitch, _: dict[str, str]) -> Iterator[None]:
        path = switch.directory / "conf" / file
        before = path.read_text()
        after = change(before)
        assert after != before
        path.write_text(after)
        switch.api("reloadxml")
        try:
            yield
        finally:
            path.write_text(before)
            switch.api("reloadxml")

    return plant


def replaced(old: str, new: str, file: str = f"dialplan/{OURS}") -> Plant:
    return rewritten(lambda text: text.replace(old, new), file)


def extension(*actions: tuple[str, str], number: str = "^8000$", name: str = "other") -> str:
    rows = "".join(f'<action application="{app}" data="{data}"/>\n' for app, data in actions)
    condition = f'<condition field="destination_number" expression="{number}">\n{rows}</condition>'
    return f'<include>\n<extension name="{name}">\n{condition}\n</extension>\n</include>\n'


def dialplan(*actions: tuple[str, str]) -> Plant:
    return rewritten(lambda _: extension(*actions))


def before_ours(
    switch: FreeSwitch, settings: dict[str, str]
) -> contextlib.AbstractContextManager[None]:
    catcher = extension(("answer", ""), number=r"^\d{4}$", name="Local_Extension")
    return rewritten(lambda text: catcher[:-11] + text[9:])(switch, settings)


@contextlib.contextmanager
def stale(switch: FreeSwitch, _: dict[str, str]) -> Iterator[None]:
    file = switch.directory / "conf" / "dialplan" / OURS
    grow_old(file, -60)
    try:
        yield
    finally:
        grow_old(file, 60)


def unloaded(module: str, again: Callable[[FreeSwitch], object]) -> Plant:
    @contextlib.contextmanager
    def plant(switch: FreeSwitch, _: dict[str, str]) -> Iterator[None]:
        assert switch.api(f"unload {module}").startswith("+OK")
        try:
            yield
        finally:
            again(switch)

    return plant


def setting(name: str, value: str) -> Plant:
    @contextlib.contextmanager
    def plant(_: FreeSwitch, settings: dict[str, str]) -> Iterator[None]:
        settings[name] = value
        yield

    return plant


CONFIGURATION = "freeswitch.xml"
SET_STREAM = f"x=${{uuid_audio_stream(${{uuid}} start {SEED} both 8000)}}"
SOCKET = ("socket", "127.0.0.1:8022 async full")
Fault = tuple[Plant, str, Status, str, str]

FAULTS: dict[str, Fault] = {
    "application": (
        dialplan(("audio_stream", SEED)),
        *("dialplan", FAILED, "uses audio_stream as an application", "esl-controller dialplan"),
    ),
    "stale": (stale, "switch configuration", FAILED, OURS, "fs_cli -x reloadxml"),
    "mix": (
        dialplan(("set", SET_STREAM), SOCKET),
        *("dialplan", FAILED, "the mix type 'both'", "esl-controller dialplan"),
    ),
    "path": (
        dialplan(("set", SET_STREAM.replace("both 8000", "mono 16k")), SOCKET),
        *("dialplan", FAILED, "a path that begins with /ws/", "esl-controller dialplan"),
    ),
    "module": (
        unloaded("mod_audio_stream", FreeSwitch.load_stream_module),
        *("stream module", FAILED, "not loaded", 'fs_cli -x "load mod_audio_stream"'),
    ),
    "script": (
        dialplan(("lua", "voice_secretary.lua")),
        *("dialplan", FAILED, "runs lua voice_secretary.lua", "esl-controller dialplan"),
    ),
    "autoload": (
        replaced('<load module="mod_audio_stream"', '<load module="mod_other"', CONFIGURATION),
        *("stream module autoload", WARNING, "not in modules.conf.xml", "modules.conf.xml"),
    ),
    "no switch": (
        setting("ESL_CONTROLLER_FREESWITCH_PORT", "9"),
        *("switch", FAILED, "nobody answers", "[freeswitch] host and port"),
    ),
    "password": (
        setting("FREESWITCH_PASSWORD", "wrong"),
        *("switch", FAILED, "refuses the password", "FREESWITCH_PASSWORD"),
    ),
    "exposed": (
        rewritten(
            lambda text: text.replace(
                '"listen-ip" value="127.0.0.1"', '"listen-ip" value="::"'
            ).replace('value="live-tests"', 'value="ClueCon"'),
            CONFIGURATION,
        ),
        *("switch exposure", FAILED, "that everybody knows", "listen-ip 127.0.0.1"),
    ),
    "loopback": (
        unloaded("mod_loopback", lambda switch: switch.api("load mod_loopback")),
        *("switch modules", FAILED, "mod_loopback not loaded", 'fs_cli -x "load mod_loopback"'),
    ),
    "context": (
        replaced('<context name="default">', '<context name="inside">', CONFIGURATION),
        *("dialplan", FAILED, "no context 'default'", "--context"),
    ),
    "number": (
        replaced("^8000$", "^8001$"),
        *("dialplan", FAILED, "takes 8000", "esl-controller dialplan"),
    ),
    "caught": (before_ours, "dialplan", FAILED, "'Local_Extension' catches 8000", "move"),
    "mode": (replaced(" async full", ""), "dialplan target", FAILED, "lacks async", "async full"),
    "port": (
        rewritten(
            lambda text: text.replace("socket&quot; data=&quot;", "").replace(
                "127.0.0.1:", "127.0.0.1:1"
            )
        ),
        *("dialplan target", FAILED, "and [esl] port is", "[esl] port"),
    ),
    "resume": (
        replaced("socket_resume=true", "other=true"),
        *("dialplan resume", WARNING, "does not set socket_resume", "socket_resume=true"),
    ),
    "uuid": (
        replaced(DOMAIN_UUID, "our-tenant"),
        *("dialplan identity", FAILED, "domain_uuid=our-tenant: not a UUID", "domain_uuid=UUID"),
    ),
    "rtp": (
        rewritten(
            lambda text: text.replace(
                '"rtp-start-port" value="', '"rtp-start-port" value="10000" x="'
            ),
            CONFIGURATION,
        ),
        *("lane", FAILED, "also FreeSWITCH's RTP ports", "lane_ports"),
    ),
    "model": (
        setting("ESL_CONTROLLER_AGENT_BASE_URL", "http://127.0.0.1:9/v1"),
        *("model", FAILED, "no connection to the model", "[agent] base_url"),
    ),
    "record": (
        setting("ESL_CONTROLLER_STORE_URL", "sqlite:////nonexistent/calls.db"),
        *("record", FAILED, "/nonexistent", "[store] url"),
    ),
    "web": (
        setting("ESL_CONTROLLER_WEB_PORT", "9"),
        *("controller", FAILED, "cannot be had", "[web] host"),
    ),
}


def check(report: Report, fault: Fault) -> None:
    _, name, status, found, remedy = fault
    assert ill(report) == {name: status}, report.json()
    assert found in report.findings[name].found
    assert remedy in report.findings[name].remedy


@pytest.mark.parametrize("name", FAULTS)
async def test_one_fault_is_found(name: str, any_switch: FreeSwitch) -> None:
    async with live(any_switch) as rig:
        settings = of(rig)
        with FAULTS[name][0](any_switch, settings):
            check(await doctor(settings), FAULTS[name])


@contextlib.asynccontextmanager
async def controller(switch: FreeSwitch, **settings: str) -> AsyncIterator[dict[str, str]]:
    """One with other settings; what the doctor is given."""
    async with live(switch, None, "", **settings) as rig:
        yield of(rig) | {f"ESL_CONTROLLER_{name}": value for name, value in settings.items()}


async def test_an_address_that_is_not_allowed(any_switch: FreeSwitch) -> None:
    async with controller(any_switch, ESL_ALLOW="10.0.0.0/8") as settings:
        remedy = '[esl] allow = ["127.0.0.1", ...]'
        fault = (stale, "our event socket", FAILED, "its address is not within", remedy)
        check(await doctor(settings), fault)


async def test_media_that_nobody_serves(switch: FreeSwitch) -> None:
    async with controller(switch, MEDIA_PUBLIC_URL="ws://127.0.0.1:9") as settings:
        fault = (stale, "our media", FAILED, "onnect", "[media] public_url")
        check(await doctor(settings), fault)


async def test_media_behind_something_that_does_not_know_the_path(switch: FreeSwitch) -> None:
    web = free_port()
    elsewhere = {"WEB_PORT": str(web), "MEDIA_PUBLIC_URL": f"ws://127.0.0.1:{web}"}
    async with controller(switch, **elsewhere) as settings:
        fault = (stale, "our media", FAILED, "does not reach our media", "must keep the path")
        check(await doctor(settings), fault)

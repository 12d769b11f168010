"""The command: what it prints, what it mends, what it says where it can look at nothing."""

from __future__ import annotations

import asyncio
import io
import json
import signal
from pathlib import Path

import pytest

from esl_controller.cli.main import main
from esl_controller.diagnostics.doctor import command
from esl_controller.diagnostics.doctor.report import Status
from esl_controller.simulator.freeswitch import SwitchStandIn, api
from tests.diagnostics.doctor.clinic import Clinic, clinic, grow_old, ill


async def run(place: Clinic, monkeypatch: pytest.MonkeyPatch, *words: str) -> int:
    """``esl-controller doctor``, in another thread."""
    for name, value in place.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(place.folder)
    return await asyncio.to_thread(main, ["doctor", *words])


async def test_json_is_all_that_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with clinic(tmp_path) as place:
        assert await run(place, monkeypatch, "--json", "--call") == 0
        out, error = capsys.readouterr()
        told = json.loads(out)
        assert told["ok"]
        assert {each["status"] for each in told["findings"]} == {"ok"}
        assert error == ""


async def test_no_secret_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with clinic(tmp_path) as place:
        rows = '<param name="listen-ip" value="::"/><param name="password" value="hidden-1"/>'
        place.of.switch.installation.configurations["event_socket"] = f"<a>{rows}</a>"
        place.environment["OPENAI_API_KEY"] = "sk-hidden-2"
        await run(place, monkeypatch)
        printed = "".join(capsys.readouterr())
        assert "apply-inbound-acl is not set" in printed
        assert "hidden" not in printed
        assert place.environment["FREESWITCH_PASSWORD"] not in printed


def test_without_a_freeswitch_it_says_what_it_could_not_look_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for section in ("ESL", "MEDIA"):
        monkeypatch.setenv(f"ESL_CONTROLLER_{section}_PORT", "0")
    for section in ("FREESWITCH", "WEB"):
        monkeypatch.setenv(f"ESL_CONTROLLER_{section}_PORT", "9")
    assert main(["doctor", "--call"]) == 1
    out = capsys.readouterr().out
    assert out.count("failed    ") == 1
    assert "failed    switch: nobody answers at 127.0.0.1:9" in out
    for check in ("stream module", "dialplan", "our media", "lane", "clock", "test call"):
        assert f"skipped   {check}: because of switch" in out
    assert "ok        record: " in out
    assert not list(tmp_path.iterdir()), "it has made no record"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("ESL_CONTROLLER_MEDIA_MIX", "both", 'write "mono"'),
        ("ESL_CONTROLLER_MEDIA_RATE", "16000", 'write "16k"'),
        ("ESL_CONTROLLER_MEDIA_PUBLIC_URL", "ws://pbx:8085/ws/", "/stream/{domain_uuid}/"),
    ],
)
def test_settings_with_a_mistake(
    variable: str,
    value: str,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(variable, value)
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert out.startswith("failed    settings: ")
    assert told in out
    assert "skipped   everything else: because of settings" in out
    assert main(["doctor", "--json"]) == 1
    assert not json.loads(capsys.readouterr().out)["ok"]


async def test_what_is_wanted_is_mended_and_looked_at_again(tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        place.of.switch.installation.modules.discard("mod_audio_stream")
        grow_old(tmp_path / "log" / "freeswitch.xml.fsxml", 60)
        asked: list[str] = []

        def no(what: str) -> bool:
            asked.append(what)
            return False

        report = await place.examine(wanted=no)
        assert asked == ["fs_cli -x reloadxml", 'fs_cli -x "load mod_audio_stream"']
        failed = Status.FAILED
        assert ill(report) == {"switch configuration": failed, "stream module": failed}
        report = await place.examine(wanted=lambda what: True)
        assert ill(report) == {}
        assert "our media" in report.findings
        assert place.of.switch.has_stream_module


async def test_what_cannot_be_mended_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with clinic(tmp_path) as place:
        place.of.switch.installation.modules.discard("mod_audio_stream")
        monkeypatch.setitem(vars(api)["COMMANDS"], "load", lambda *_: "-ERR [no]\n")
        report = await place.examine(wanted=lambda what: True)
        assert ill(report) == {"stream module": Status.FAILED}
        assert "cannot load /usr/lib/freeswitch/mod/mod_audio_stream.so: -ERR [no]" in (
            report.findings["stream module"].found
        )


async def test_fix_asks_on_the_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async with clinic(tmp_path) as place:
        place.of.switch.installation.modules.discard("mod_audio_stream")
        monkeypatch.setattr("sys.stdin", io.StringIO("\n"))
        assert await run(place, monkeypatch, "--fix") == 1
        assert 'fs_cli -x "load mod_audio_stream"    now? [y/N]' in capsys.readouterr().err
        assert await run(place, monkeypatch, "--fix", "--yes") == 0


@pytest.mark.parametrize("stdin", [io.StringIO(""), None], ids=["its end", "closed"])
def test_nobody_who_could_answer_is_a_no(
    monkeypatch: pytest.MonkeyPatch, stdin: io.StringIO | None
) -> None:
    monkeypatch.setattr("sys.stdin", stdin)
    assert not command._confirmed("reboot")


def test_ctrl_c_at_the_question_ends_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def readline(self, size: int | None = -1, /) -> str:  # type: ignore[override]
            signal.raise_signal(signal.SIGINT)
            pytest.fail("it still waits for an answer")

    async def ask() -> bool:
        return command._confirmed("reboot")

    monkeypatch.setattr("sys.stdin", Terminal())
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        asyncio.run(ask())
    assert signal.getsignal(signal.SIGINT) is before


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


async def test_nothing_is_left_at_the_switch(tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        switch: SwitchStandIn = place.of.switch
        await place.examine()
        assert not switch.sessions

"""Faults of the dialplan: each is found alone, with its remedy."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from esl_controller.diagnostics.doctor import dialplan_checks
from esl_controller.diagnostics.doctor.report import Status
from esl_controller.diagnostics.doctor.served_dialplan import Extension
from esl_controller.freeswitch.hunt import Takes
from tests.diagnostics.doctor.clinic import DOMAIN_UUID, Clinic, clinic
from tests.diagnostics.doctor.plants import (
    FAILED,
    SEED,
    WARNING,
    Planted,
    diagnosed,
    dialplan,
    extension,
    replaced,
)


def no_context(place: Clinic) -> None:
    place.of.switch.contexts["public"] = place.of.switch.contexts.pop("default")
    place.of.switch.extensions.clear()


def no_number(place: Clinic) -> None:
    place.extension = place.extension.replace("^8000$", "^8001$")


def caught_before(place: Clinic) -> None:
    catcher = extension(("bridge", "user/x"), name="Local_Extension", number=r"^\d{4}$")
    place.extension = catcher + place.extension


LUA = ("lua", "voice_secretary.lua")
SET_STREAM = f"x=${{uuid_audio_stream(${{uuid}} start {SEED} both 8000)}}"

FAULTS: dict[str, Planted] = {
    "application": (
        dialplan(("audio_stream", SEED)),
        *("dialplan", FAILED, "uses audio_stream as an application", "esl-controller dialplan"),
    ),
    "script": (
        dialplan(LUA),
        *("dialplan", FAILED, "runs lua voice_secretary.lua", "esl-controller dialplan"),
    ),
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
}


@pytest.mark.parametrize(
    ("actions", "sofia", "told"),
    [
        ((), "", "a packet that comes late is a hole"),
        ((("set", "jitterbuffer_msec=60:200:20"),), "", "(60:200:20 ms): the model hears"),
        ((("jitterbuffer", "80"),), "", "(80 ms): the model hears"),
        ((), '<param name="auto-jitterbuffer-msec" value="100"/>', "(100 ms): the model hears"),
    ],
)
async def test_what_a_jitter_buffer_does_is_told_and_no_fault(
    actions: tuple[tuple[str, str], ...], sofia: str, told: str
) -> None:
    async def api(*words: str) -> str:
        assert " ".join(words) == "xml_locate configuration configuration name sofia.conf"
        return f"<configuration>{sofia}</configuration>"

    case: Any = SimpleNamespace(extension=Extension("ours", actions, Takes.YES), api=api)
    finding = await dialplan_checks.jitter_buffer(case)
    assert finding.status is Status.OK
    assert told in finding.found


@pytest.mark.parametrize("name", FAULTS)
async def test_one_fault_is_found(name: str, tmp_path: Path) -> None:
    async with clinic(tmp_path) as place:
        await diagnosed(place, FAULTS[name])

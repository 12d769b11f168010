"""mod_audio_stream: is it loaded, now and at every start, and does it accept what we ask for?"""

from __future__ import annotations

import json
from pathlib import PurePosixPath

from esl_controller.diagnostics.catalogue.controller_log import MODULE_LOAD_FAILS, MODULE_NOT_LOADED
from esl_controller.diagnostics.doctor.case import Case, Check
from esl_controller.diagnostics.doctor.parked_leg import STREAM_ERROR, parked
from esl_controller.diagnostics.doctor.report import Finding, Fix, failed, ok, warning
from esl_controller.diagnostics.doctor.switch_checks import at_every_start
from esl_controller.freeswitch.leg import CallFailed

NAME = "mod_audio_stream"
SOURCES = (
    "https://github.com/sptmru/freeswitch_mod_audio_stream\n"
    "https://github.com/amigniter/mod_audio_stream"
)
NOBODY = "ws://127.0.0.1:1"
"""An address where nobody listens: how the module reports that tells which build it is."""


async def loaded(case: Case) -> Finding:
    """Is it loaded? If not, is it installed?"""
    if await case.api("module_exists", NAME) == "true":
        return ok(f"{NAME} is loaded")
    folder = await case.global_variable("mod_dir")
    file = PurePosixPath(folder) / f"{NAME}.so"
    if await case.api("file_exists", str(file)) != "true":
        return failed(
            f"{NAME} is not loaded, and there is no {file}",
            MODULE_NOT_LOADED.means,
            f"build it by its own instructions, put it into {folder}, load it:\n{SOURCES}\n"
            f'fs_cli -x "load {NAME}"',
        )

    async def load() -> None:
        told = await case.api("load", NAME)
        if "-ERR" in told:
            raise CallFailed(f"FreeSWITCH cannot load {file}: {' '.join(told.split())}")

    return failed(
        f"{NAME} is installed and not loaded",
        MODULE_NOT_LOADED.means,
        f'fs_cli -x "load {NAME}"\n{await at_every_start(case, NAME)}\n{MODULE_LOAD_FAILS}',
        Fix(f'fs_cli -x "load {NAME}"', load),
    )


async def autoload(case: Case) -> Finding:
    """Will it be loaded at the next start?"""
    told = await case.api("xml_locate configuration configuration name modules.conf")
    if f'"{NAME}"' in told:
        return ok(f"{NAME} is loaded at every start")
    return warning(
        f"{NAME} is not in modules.conf.xml",
        "it will be missing after FreeSWITCH's next start.",
        await at_every_start(case, NAME),
    )


async def accepts(case: Case) -> Finding:
    """Does it accept the mix type and rate that we ask for? And which build is it?"""
    media = case.settings.media
    asked = f"{media.mix} {media.rate}"
    async with parked(case.settings) as leg:
        told = await leg.stream(NOBODY, media.mix, media.rate)
        if not told.startswith("+OK"):
            return failed(
                f"{NAME} refuses {asked!r}: {' '.join(told.split())}",
                "no call's audio can be streamed.",
                "update the module: both builds accept mono, mixed, stereo and 8k, 16k\n" + SOURCES,
            )
        event = await leg.event(STREAM_ERROR)
    build = _build(event.body if event and isinstance(event.body, str) else "")
    if media.mix != "mono":
        return warning(
            f"{NAME} ({build}) accepts {asked!r}, but [media] mix is not mono",
            "the model hears its own words and may answer them.",
            '[media] mix = "mono" in our settings',
        )
    return ok(f"{NAME} ({build}) accepts {asked!r}")


def _build(body: str) -> str:
    """By the words of its event for a failed connection (captures/*/stream_refused.jsonl)."""
    try:
        message = json.loads(body)["message"]
    except (ValueError, KeyError, TypeError):
        message = {}
    if "retries" in message:
        return "sptmru's build"
    return "amigniter's build" if "code" in message else "an unknown build"


CHECKS = (
    Check("stream module", loaded, needs=("switch",)),
    Check("stream module autoload", autoload, needs=("stream module",)),
    Check("stream module format", accepts, needs=("stream module", "switch modules")),
)

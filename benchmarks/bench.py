"""`python -m benchmarks.bench`: the controller under load, between two stand-ins.

Three processes: the switch with its callers, the model, and the controller as an operator runs it.
Both ways are full all the time; then every caller interrupts. See README.md beside this file.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from asyncio.subprocess import Process
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from benchmarks import floor as floors
from benchmarks import profiler, signals
from benchmarks.floor import DELTA_MS
from benchmarks.measure import Span, measure
from benchmarks.processes import (
    BenchError,
    ask,
    busy_s,
    cpu_s,
    fetch,
    ready,
    rss_mb,
    started,
    stop,
    told,
)
from benchmarks.records import load_calls, load_sessions
from benchmarks.report import Lateness, Resources, Run, Sweep

THINK_MS: Final = 207  # no multiple of 20: utterances begin at every phase of the clock
TALKING_S: Final = 15.0
OPEN_S: Final = 30.0
END_S: Final = 60.0
FLOOR_S: Final = 5.0
KEY: Final = "sk-bench"


@dataclass(frozen=True)
class Options:
    """What to run; see `--help`."""

    calls: int = 40
    seconds: float = 20.0
    codec: str = "PCMU"
    build: str = "sptmru"
    playback: str = "lane"
    rounds: int = 3
    warm_up_s: float = 2.0
    every_ms: int = 50
    profile: bool = False


async def run(options: Options, folder: Path) -> Run:
    """One run; `folder` takes logs and records. Raises BenchError."""
    speech = folder / "speech.wav"
    await asyncio.to_thread(signals.write_speech, speech)
    model_log, controller_log = (folder / f"{name}.log" for name in ("model", "controller"))
    model_command = (
        *("esl_controller.simulator.model", "--key", KEY, "--pace", "1", "--monologue"),
        *("--delta-ms", str(DELTA_MS), "--think-ms", str(THINK_MS)),
        *("--speech", str(speech), "--save", str(folder)),
    )
    async with started(*model_command, log=model_log) as model:
        base_url = (await told(model, model_log, OPEN_S))["base_url"]
        environment = _environment(options, base_url, folder)
        async with started(
            "esl_controller", "serve", environment=environment, log=controller_log
        ) as controller:
            at = await ready(controller, controller_log, settled=True)
            called = await _called(options, at, controller, model, folder)
            await stop(controller)
        model.terminate()
        summary = await told(model, model_log, END_S)
    audio = await asyncio.to_thread(
        lambda: measure(
            load_calls(folder / "calls.npz", called.setup),
            load_sessions(summary),
            called.steady.span,
            build=options.build,
            delta_ms=DELTA_MS,
        )
    )
    return Run(
        floor_ms=await _floor(options),
        calls=options.calls,
        seconds=called.steady.span.seconds,
        codec=options.codec,
        build=options.build,
        playback=options.playback,
        audio=audio,
        resources=called.steady.resources,
        lateness=Lateness(**called.steady.clock, switch_late=called.late_ticks),
        setup=[max(call["stream"], call["lane"]) for call in called.setup],
        live=called.live,
        profile=called.profile,
    )


async def _floor(options: Options) -> float | None:
    """The floor of these calls on this machine, right after them; None without a C compiler."""
    if floors.compiler() is None:
        return None
    codecs = ("PCMU", "L16") if options.codec == "mixed" else (options.codec,)
    seconds = min(options.seconds, FLOOR_S)
    found = [
        await floors.floor(options.calls, seconds, floors.Traffic.of(codec, options.build))
        for codec in codecs
    ]
    return sum(each.cpu_ms for each in found) / len(found)


def _environment(options: Options, base_url: str, folder: Path) -> dict[str, str]:
    return {
        "OPENAI_API_KEY": KEY,
        "ESL_CONTROLLER_AGENT_BASE_URL": base_url,
        "ESL_CONTROLLER_STORE_URL": f"sqlite:///{folder}/calls.db",
        "ESL_CONTROLLER_MEDIA_PLAYBACK": options.playback,
        "ESL_CONTROLLER_LOG_FORMAT": "json",
        "ESL_CONTROLLER_ESL_MAX_LOAD": "0",  # to see what comes beyond it
        **{f"ESL_CONTROLLER_{part}_PORT": "0" for part in ("ESL", "MEDIA", "WEB")},
    }


async def _all_talking(web: str, calls: int) -> None:
    """Wait until every call has reached the model and can speak."""
    try:
        async with asyncio.timeout(TALKING_S):
            while True:
                states = [call["state"] for call in (await _ask_calls(web))["calls"]]
                if states.count("talking") == calls:
                    return
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise BenchError(f"of {calls} calls, these are there: {states}") from None


async def _ask_calls(web: str) -> dict[str, Any]:
    return await asyncio.to_thread(fetch, f"{web}/calls")


@dataclass(frozen=True)
class Steady:
    """The steady part of a run."""

    span: Span
    resources: Resources
    clock: dict[str, Any]


@dataclass(frozen=True)
class Called:
    """What the callers brought: when each call got its stream and its lane, the steady part, how
    many calls lived at the end, the switch's late ticks, and a profile, or ""."""

    setup: list[dict[str, float]]
    steady: Steady
    live: int
    late_ticks: int
    profile: str


async def _called(
    options: Options, at: dict[str, str], controller: Process, model: Process, folder: Path
) -> Called:
    idle = rss_mb(controller.pid)
    callers_log = folder / "callers.log"
    command = (
        *("benchmarks.callers", "--socket", at["esl"], "--calls", str(options.calls)),
        *("--codec", options.codec, "--build", options.build),
        *("--every-ms", str(options.every_ms)),
    )
    async with started(*command, log=callers_log) as callers:
        patience = OPEN_S + options.calls * options.every_ms / 1000
        setup = (await told(callers, callers_log, patience))["setup"]
        await _all_talking(at["web"], options.calls)
        processes = {"controller": controller, "switch": callers, "model": model}
        steady = await _steady(options, processes, at["web"], idle)
        profile = ""
        if options.profile:
            profile = await profiler.profile(controller.pid, options.seconds, folder)
            await asyncio.sleep(options.warm_up_s)  # it was held up by that
        ask(callers, f"interrupt {options.rounds}")
        await told(callers, callers_log, 30 + options.rounds * 3)
        ask(callers, f"end {folder / 'calls.npz'}")
        ended = await told(callers, callers_log, END_S)
    return Called(setup, steady, ended["live"], ended["late_ticks"], profile)


async def _steady(options: Options, processes: dict[str, Process], web: str, idle: float) -> Steady:
    await asyncio.sleep(options.warm_up_s)
    clock = (await _ask_calls(web))["clock"]
    began = {name: cpu_s(process.pid) for name, process in processes.items()}
    busy = busy_s()
    start = time.monotonic()
    await asyncio.sleep(options.seconds)
    span = Span(start, time.monotonic())
    used = {name: cpu_s(process.pid) - began[name] for name, process in processes.items()}
    others = (busy_s() - busy - sum(used.values())) / span.seconds
    rss = rss_mb(processes["controller"].pid)
    after = (await _ask_calls(web))["clock"]
    call_seconds = options.calls * span.seconds
    return Steady(
        span,
        Resources({name: s * 1000 / call_seconds for name, s in used.items()}, idle, rss),
        {
            **{name: after[name] - clock[name] for name in ("ticks", "late", "skipped")},
            "worst_ms": after["worst_late_ms"],
            "others": max(0.0, others),
        },
    )


def main(argv: list[str] | None = None) -> int:
    """Print the report; with `--check`, 1 if a limit is missed. 2 if it could not be measured."""
    args = _parser().parse_args(argv)
    fields = Options.__dataclass_fields__
    options = Options(**{n: v for n, v in vars(args).items() if n in fields and n != "calls"})
    results = []
    for calls in args.calls:
        if len(args.calls) > 1:
            print(f"bench: {calls} calls ...", file=sys.stderr)
        try:
            with tempfile.TemporaryDirectory(prefix="bench-") as folder:
                results.append(asyncio.run(run(replace(options, calls=calls), Path(folder))))
        except BenchError as error:
            print(f"bench: {error}", file=sys.stderr)
            return 2
    print(_told(results, as_json=args.json))
    return int(args.check and not all(result.ok for result in results))


def _told(results: Sequence[Run], *, as_json: bool) -> str:
    """The report of one run, or of several with other numbers of calls."""
    if len(results) > 1:
        sweep = Sweep(results)
        return json.dumps(sweep.data()) if as_json else sweep.text()
    (result,) = results
    return json.dumps(result.data()) if as_json else result.text()


def _parser() -> argparse.ArgumentParser:
    normal = Options()
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench")
    parser.description = "The controller under load, between two stand-ins, three processes."
    parser.add_argument(
        *("--calls", "-n"),
        type=int,
        nargs="+",
        default=[normal.calls],
        help="at once; for several numbers one run each, and what they have in common",
    )
    parser.add_argument("--seconds", type=float, default=normal.seconds, help="steady part")
    parser.add_argument("--codec", choices=("PCMU", "L16", "mixed"), default=normal.codec)
    parser.add_argument("--build", choices=("sptmru", "amigniter"), default=normal.build)
    parser.add_argument("--playback", choices=("lane", "file"), default=normal.playback)
    parser.add_argument(
        "--rounds", type=int, default=normal.rounds, help="of interruptions, 2 s each"
    )
    parser.add_argument(
        "--profile", action="store_true", help="where the controller's CPU goes (needs py-spy)"
    )
    parser.add_argument("--check", action="store_true", help="exit 1 if a limit is missed")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())

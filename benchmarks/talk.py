"""What a caller notices of the end of a call, and of a model that dies in mid-word.

The controller between the two stand-ins, in one process: `python -m benchmarks.talk`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import structlog

from benchmarks.report import Figure, table
from esl_controller.config.loading import load
from esl_controller.server.app import running
from esl_controller.simulator.freeswitch import CallStandIn, SwitchStandIn
from esl_controller.simulator.model import ModelFaults, ModelSession, ModelStandIn, ScriptedCall
from media import sounds
from media.frame import pcm
from media.resample import Converter

AT_ONCE: Final = 5
PATIENCE_S: Final = 20.0
_SECRETARY: Final = 'farewell = "Goodbye, and thank you."\n'


@dataclass
class Result:
    """What was seen; times in seconds."""

    farewells: int = 0
    complete: int = 0
    """Farewells that were heard to their last sample."""
    after: list[float] = field(default_factory=list)
    """From the farewell's last frame to the hangup."""
    kills: int = 0
    went_on: int = 0
    """Calls that went on with their history."""
    back: list[float] = field(default_factory=list)
    """From the model's death to its next word at the caller."""

    def figures(self) -> list[Figure]:
        """The table's lines."""
        figures = []
        if self.farewells:
            figures = [
                Figure("farewells that were cut", self.farewells - self.complete, "", 0),
                Figure(
                    f"last frame to hangup, max of {len(self.after)}", _max_ms(self.after), "ms"
                ),
            ]
        if self.kills:
            figures += [
                Figure("calls that lost their history", self.kills - self.went_on, "", 0),
                Figure(f"killed to heard again, p50 of {len(self.back)}", _median(self.back), "ms"),
                Figure("killed to heard again, max", _max_ms(self.back), "ms", 2000),
            ]
        return figures


@contextlib.asynccontextmanager
async def stand_ins(**model: Any) -> AsyncIterator[tuple[SwitchStandIn, ModelStandIn]]:
    """The controller, with a switch that calls it and a model that it calls."""
    async with contextlib.AsyncExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "default.toml").write_text(_SECRETARY)
        standin = await stack.enter_async_context(
            ModelStandIn(greeting="caller_interrupts", think_ms=20, **model)
        )
        environment: Mapping[str, str] = {
            "OPENAI_API_KEY": "sk-bench",
            "ESL_CONTROLLER_AGENT_BASE_URL": standin.base_url,
            "ESL_CONTROLLER_STORE_URL": f"sqlite:///{folder}/calls.db",
            "ESL_CONTROLLER_SECRETARIES_FOLDER": str(folder),
            **{f"ESL_CONTROLLER_{part}_PORT": "0" for part in ("ESL", "MEDIA", "WEB")},
        }
        controller = await stack.enter_async_context(running(load(None, environment).settings))
        switch = await stack.enter_async_context(
            SwitchStandIn(f"127.0.0.1:{controller.calls.port}")
        )
        yield switch, standin


async def farewells(count: int, result: Result) -> None:
    """Callers who make the model call `end_call`; it takes leave by saying what it heard."""
    script = (ScriptedCall(1, "end_call"),)
    async with stand_ins(script=script) as (switch, model):
        for done in range(0, count, AT_ONCE):
            batch = range(done, min(done + AT_ONCE, count))
            await asyncio.gather(*(_farewell(switch, model, n, result) for n in batch))
            _progress(f"{result.farewells} of {count} farewells")


async def _farewell(
    switch: SwitchStandIn, model: ModelStandIn, number: int, result: Result
) -> None:
    call = await switch.call()
    await call.wait_heard(timeout=PATIENCE_S)
    await call.wait_silence(0.5, timeout=PATIENCE_S)
    words, rate = sounds.load("caller_interrupts", "en")
    # Each at a level of its own: then one call's farewell is no other's.
    call.speak((words * (0.5 + number % AT_ONCE / 10)).astype(words.dtype), rate)
    await call.ended(timeout=PATIENCE_S)
    ended = time.monotonic()
    heard = b"".join(frame for _, frame in call.heard)
    result.farewells += 1
    result.complete += any(_last_words(session, call.rate) in heard for session in model.sessions)
    result.after.append(ended - max(at for at, frame in call.heard if any(frame)))


def _last_words(session: ModelSession, rate: int) -> bytes:
    """What a caller hears of the last thing that was said there; G.711 is not resampled."""
    last = list(session.record.spoken.values())[-1]
    return Converter(last.format, pcm(rate)).feed(bytes(last.audio))


async def kills(count: int, result: Result) -> None:
    """Models that die 600 ms into their greeting, without a goodbye."""
    async with stand_ins() as (switch, model):
        while result.kills < count:
            model.faults = ModelFaults(close_after_ms=600, close_how="abrupt")
            known = len(model.sessions)
            call = await switch.call()
            await call.wait_heard(timeout=PATIENCE_S)
            model.faults = ModelFaults()
            async with asyncio.timeout(PATIENCE_S):
                while len(model.sessions) < known + 2 or not model.sessions[-1].record.spoken:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
            await call.wait_silence(0.5, timeout=PATIENCE_S)
            call.hangup()
            await call.ended(timeout=PATIENCE_S)
            _judge(call, *model.sessions[known:], result=result)
            _progress(f"{result.kills} of {count} models killed")


def _judge(call: CallStandIn, killed: ModelSession, *others: ModelSession, result: Result) -> None:
    result.kills += 1
    died = max(delta.at for said in killed.record.spoken.values() for delta in said.deltas)
    again = others[-1].record
    first = next(iter(again.spoken.values())).deltas[0].at
    result.back.append(
        min((at for at, frame in call.heard if at > first and any(frame)), default=np.inf) - died
    )
    roles = [event["item"].get("role") for event in again.client_events if "item" in event]
    result.went_on += roles[:1] == ["assistant"]


def _progress(text: str) -> None:
    print(f"\r{text:<40}", end="", file=sys.stderr, flush=True)


def _max_ms(times: list[float]) -> float:
    return max(times, default=np.nan) * 1000


def _median(times: list[float]) -> float:
    return float(np.median(times)) * 1000 if times else np.nan


async def run(args: argparse.Namespace) -> Result:
    """Both parts."""
    result = Result()
    await farewells(args.farewells, result)
    await kills(args.kills, result)
    print(file=sys.stderr)
    return result


def main() -> int:
    """Run; 0, or 1 if a limit is missed."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    parser = argparse.ArgumentParser(prog="python -m benchmarks.talk", description=__doc__)
    parser.add_argument("--farewells", type=int, default=100, help="calls that end by end_call")
    parser.add_argument("--kills", type=int, default=20, help="models killed in mid-word")
    figures = asyncio.run(run(parser.parse_args())).figures()
    print(table(figures))
    return int(not all(figure.ok for figure in figures))


if __name__ == "__main__":
    sys.exit(main())

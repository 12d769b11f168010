"""The switch with its callers, a process of its own: `python -m benchmarks.callers --socket ...`.

Each caller says counted audio without a pause (`signals.callers`) and writes down when each frame
was handed over and what was heard when. On standard input:

    interrupt ROUNDS    everybody speaks up for 300 ms, ROUNDS times, 2 s apart
    end FILE            all hang up, the records go to FILE (numpy's .npz)

On standard output one JSON line after each step: `open` when every call has its stream and its
lane, `interrupted`, `ended`. All times are CLOCK_MONOTONIC seconds, the same in every process.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import math
import sys
import time
from collections.abc import Awaitable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks import signals
from esl_controller.simulator.freeswitch import CallStandIn, SwitchStandIn
from esl_controller.simulator.freeswitch.audio import FramedSound
from esl_controller.simulator.freeswitch.events import CodecName
from esl_controller.simulator.freeswitch.stream import Build
from media.frame import Samples

FRAME_S: Final = 0.02
PHASES: Final = 5
ROUND_FRAMES: Final = 100
LOUD_FRAMES: Final = 40  # enough to be taken for speech, and not for a cough
OPEN_S: Final = 15.0
END_S: Final = 10.0
EFFECT_S: Final = 0.5
_ENDLESS: Final = 170_000  # frames: nearly an hour, what a caller may have queued
_STAGGER: Final = 7  # frames between the bursts of one caller and the next


class Counted(FramedSound):
    """Counted audio without end; `handed` says when each frame was first asked for.

    That is when it goes into the media WebSocket: the stream comes before the lane in each tick.
    """

    def __init__(self, count: int, start: int, g711: bool) -> None:
        super().__init__(np.empty(0, np.int16), 8000)
        self.finished.clear()
        self.frames = _ENDLESS
        self.handed: list[float] = []
        self.loud: list[range] = []
        self._count, self._start, self._g711 = count, start, g711

    def frame(self, rate: int, index: int) -> bytes:
        """Frame number `index` at `rate` (Hz)."""
        if index >= len(self.handed):
            self.handed += [math.nan] * (index - len(self.handed))
            self.handed.append(time.monotonic())
        for burst in self.loud:
            if index in burst:
                spoken: bytes = signals.words(rate)[index - burst.start].tobytes()
                return spoken
        said = self._said(rate)
        data: bytes = said[(self._start + index) % len(said)].tobytes()
        return data

    def _said(self, rate: int) -> Samples:
        return signals.callers(self._count, rate, self._g711 and rate == 8000)

    def prepare(self, rate: int) -> None:
        """Make it now rather than in a tick."""
        self._said(rate)
        signals.words(rate)


@dataclass
class Caller:
    """One call with what was measured of its set-up, in seconds since the switch dialled us."""

    number: int
    codec: CodecName
    call: CallStandIn
    said: Counted
    began: float
    setup: dict[str, float] = field(default_factory=dict)

    async def opened(self) -> None:
        """Wait for stream and lane. Raises TimeoutError."""
        await asyncio.gather(
            self._mark("stream", self.call.stream_connected(OPEN_S)),
            self._mark("lane", self.call.lane_open(OPEN_S)),
        )

    async def _mark(self, name: str, event: Awaitable[None]) -> None:
        await event
        self.setup[name] = time.monotonic() - self.began


async def place(switch: SwitchStandIn, number: int, codec: CodecName, count: int) -> Caller:
    """One caller dials, and begins to speak at once."""
    said = Counted(count, number * signals.CALLER_STRIDE, codec == "PCMU")
    began = time.monotonic()
    call = await switch.call(codec=codec)
    switch.sessions[call.uuid].channel.voice.queue(said)
    return Caller(number, codec, call, said, began)


def interrupt(callers: list[Caller], rounds: int) -> float:
    """Order the bursts of every caller; seconds until the last of them has had its effect."""
    last = 0
    for caller in callers:
        wait = 5 + caller.number * _STAGGER % ROUND_FRAMES
        first = caller.said.played + wait
        caller.said.loud = [
            range(start, start + LOUD_FRAMES)
            for start in range(first, first + rounds * ROUND_FRAMES, ROUND_FRAMES)
        ]
        last = max(last, wait + (rounds - 1) * ROUND_FRAMES + LOUD_FRAMES)
    return last * FRAME_S + EFFECT_S


def save(callers: list[Caller], path: Path) -> None:
    """Everything that was measured, as arrays named `N.what`."""
    arrays: dict[str, np.ndarray[tuple[int, ...], np.dtype[np.generic]]] = {}
    for caller in callers:
        size = caller.call.rate // signals.FRAMES_A_SECOND * 2
        heard = [(at, frame) for at, frame in caller.call.heard if len(frame) == size]
        loud = caller.said.loud
        arrays |= {
            f"{caller.number}.at": np.array([at for at, _ in heard]),
            f"{caller.number}.heard": np.frombuffer(b"".join(f for _, f in heard), np.int16),
            f"{caller.number}.handed": np.array(caller.said.handed),
            f"{caller.number}.quiet_until": np.array(loud[0].start if loud else _ENDLESS),
            f"{caller.number}.odd": np.array(len(caller.call.heard) - len(heard)),
        }
    np.savez(path, **arrays)  # type: ignore[arg-type]


def codecs(choice: str, count: int) -> list[CodecName]:
    """Who has which codec; mixed: every second one is wideband."""
    if choice == "mixed":
        return ["L16" if number % 2 else "PCMU" for number in range(count)]
    return ["L16" if choice == "L16" else "PCMU"] * count


def _say(step: str, **fields: object) -> None:
    print(json.dumps({"step": step, **fields}), flush=True)


async def _switches(
    stack: contextlib.AsyncExitStack, socket: str, build: Build
) -> list[SwitchStandIn]:
    """Several, their ticks spread over the 20 ms, as each call has its own timer in FreeSWITCH."""
    switches = []
    for _ in range(PHASES):
        switches.append(await stack.enter_async_context(SwitchStandIn(socket, build=build)))
        await asyncio.sleep(FRAME_S / PHASES)
    return switches


async def run(args: argparse.Namespace) -> None:
    """From the first call to the last hangup, as standard input says."""
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), sys.stdin)
    wanted = codecs(args.codec, args.calls)
    for codec in sorted(set(wanted)):
        Counted(args.calls, 0, codec == "PCMU").prepare(16000 if codec == "L16" else 8000)
    async with contextlib.AsyncExitStack() as stack:
        switches = await _switches(stack, args.socket, args.build)
        callers: list[Caller] = []
        async with asyncio.TaskGroup() as opening:
            for number, codec in enumerate(wanted):
                switch = switches[number % len(switches)]
                caller = await place(switch, number, codec, args.calls)
                callers.append(caller)
                opening.create_task(caller.opened())
                await asyncio.sleep(args.every_ms / 1000)
        _say("open", setup=[{"rate": c.call.rate, **c.setup} for c in callers])
        while line := (await commands.readline()).decode().strip():
            command, _, argument = line.partition(" ")
            if command == "interrupt":
                await asyncio.sleep(interrupt(callers, int(argument)))
                _say("interrupted")
            elif command == "end":
                live = sum(not caller.call.cause for caller in callers)
                for caller in callers:
                    caller.call.hangup()
                await asyncio.gather(*(caller.call.ended(END_S) for caller in callers))
                save(callers, Path(argument))
                _say("ended", live=live, late_ticks=sum(switch.late_ticks for switch in switches))
                return


def main() -> int:
    """Run; 0, or 1 if not every call was answered."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.callers")
    parser.add_argument("--socket", required=True, help="HOST:PORT of the controller")
    parser.add_argument("--calls", type=int, default=40)
    parser.add_argument("--codec", choices=("PCMU", "L16", "mixed"), default="PCMU")
    parser.add_argument("--build", choices=("sptmru", "amigniter"), default="sptmru")
    parser.add_argument("--every-ms", type=int, default=50, help="between two calls")
    failed = False
    try:
        asyncio.run(run(parser.parse_args()))
    except* TimeoutError:
        print("not every call got its stream and its lane", file=sys.stderr)
        failed = True
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())

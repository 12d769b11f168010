"""`python -m benchmarks.floor`: the least that calls cost on this machine.

`floor.c` makes the system calls of a controller's audio and does no work in between. Nothing in
user space can be cheaper, so a controller's cost is told as a multiple of it: the multiple says
something about the controller, the milliseconds as much about the machine.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.measure import STREAM_FRAMES
from benchmarks.processes import BenchError
from media.frame import FRAME_MS

SOURCE: Final = Path(__file__).with_suffix(".c")
DELTA_MS: Final = 100
COMPILERS: Final = ("cc", "gcc", "clang")
RATES: Final = {"PCMU": (8000, 8000, 1), "L16": (16000, 24000, 2)}
"""Of the channel and of the model, in Hz, and the bytes of the model's samples."""


@dataclass(frozen=True)
class Traffic:
    """What passes for one call. Bytes are those of a whole message on its way."""

    message_ms: int
    message_bytes: int
    """mod_audio_stream's: a WebSocket message of 16-bit samples."""
    append_bytes: int
    """The caller's audio to the model, base64 in JSON in a WebSocket message."""
    frame_bytes: int
    """A lane's: 16-bit samples."""
    delta_ms: int
    delta_bytes: int
    """The model's audio, as the append."""

    @classmethod
    def of(cls, codec: str, build: str) -> Traffic:
        """Of calls with this codec, and this build of mod_audio_stream."""
        rate, model_rate, size = RATES[codec]
        message_ms = STREAM_FRAMES[build] * FRAME_MS
        return cls(
            message_ms,
            8 + 2 * rate * message_ms // 1000,
            60 + _base64(size * model_rate * message_ms // 1000),
            2 * rate * FRAME_MS // 1000,
            DELTA_MS,
            200 + _base64(size * model_rate * DELTA_MS // 1000),
        )


@dataclass(frozen=True)
class Floor:
    """What it came to: CPU in ms a call and second, and of it in the kernel; messages, deltas and
    frames a call and second; the latest tick."""

    calls: int
    cpu_ms: float
    kernel_ms: float
    messages: float
    deltas: float
    frames: float
    worst_late_ms: float


def compiler() -> str | None:
    """The C compiler of this machine, if it has one."""
    return next(filter(None, map(shutil.which, COMPILERS)), None)


async def floor(calls: int, seconds: float, traffic: Traffic) -> Floor:
    """Measure it. Raises BenchError where there is no C compiler, or too few files may be open."""
    if (cc := compiler()) is None:
        raise BenchError("the floor is a C program: install a compiler (Debian: apt install gcc)")
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        program = Path(folder) / "floor"
        await _run(cc, "-O2", "-o", str(program), str(SOURCE))
        told = await _run(str(program), str(calls), str(seconds), *map(str, astuple(traffic)))
    return Floor(**json.loads(told))


async def _run(*command: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, errors = await process.communicate()
    if process.returncode:
        raise BenchError(f"{Path(command[0]).name}: {errors.decode(errors='replace').strip()}")
    return out


def _base64(size: int) -> int:
    return -(-size // 3) * 4


def main(argv: Sequence[str] | None = None) -> int:
    """Print a line for each number of calls; 2 if it could not be measured."""
    args = _parser().parse_args(argv)
    traffic = Traffic.of(args.codec, args.build)
    print(f"{args.codec}, mod_audio_stream {args.build}, {args.seconds:g} s each")
    print(f"{'calls':>6}{'CPU, ms a call-second':>24}{'in the kernel':>15}{'latest tick, ms':>17}")
    for calls in args.calls:
        try:
            found = asyncio.run(floor(calls, args.seconds, traffic))
        except BenchError as error:
            print(f"floor: {error}", file=sys.stderr)
            return 2
        figures: list[Any] = [found.cpu_ms, found.kernel_ms, found.worst_late_ms]
        print("{:>6}{:>24.2f}{:>15.2f}{:>17.2f}".format(calls, *figures))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor")
    parser.description = "The system calls of calls' audio, without any work: their cost here."
    parser.add_argument("calls", type=int, nargs="*", default=[10, 40, 80], metavar="CALLS")
    parser.add_argument("--seconds", type=float, default=5.0, help="for each number of calls")
    parser.add_argument("--codec", choices=tuple(RATES), default="PCMU")
    parser.add_argument("--build", choices=tuple(STREAM_FRAMES), default="sptmru")
    return parser


if __name__ == "__main__":
    sys.exit(main())

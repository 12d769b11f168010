"""`python -m esl_controller.simulator.model`: the stand-in as a process of its own.

Prints one JSON line with `base_url` and `pid` once it listens; on SIGTERM or SIGINT prints one more
with the record of every session (times are CLOCK_MONOTONIC, the same for all processes of a
machine), and exits.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import math
import os
import signal
import sys
import types
import typing
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvloop

from media.frame import Samples

from .behaviour import Behaviour, ModelFaults, ScriptedCall
from .server import ModelStandIn, load_speech


def main(argv: list[str] | None = None) -> int:
    """Run until a signal; 0, or 1 with one line on stderr if the port is taken."""
    args = _parser().parse_args(argv)
    try:
        uvloop.run(_serve(args))
    except OSError as error:
        print(f"cannot listen on {args.host} port {args.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


async def _serve(args: argparse.Namespace) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    stand_in = ModelStandIn(
        args.host,
        args.port,
        key=args.key,
        language=args.language,
        pace=args.pace,
        delta_ms=args.delta_ms,
        think_ms=args.think_ms,
        script=tuple(args.call),
        faults=ModelFaults(**dict(args.fault)),
        record=not args.no_record,
        speech=args.speech,
        monologue=args.monologue,
    )
    async with stand_in:
        print(json.dumps({"base_url": stand_in.base_url, "pid": os.getpid()}), flush=True)
        await stop.wait()
    print(json.dumps(summary(stand_in, args.save)), flush=True)


def summary(stand_in: ModelStandIn, save: Path | None = None) -> dict[str, Any]:
    """The records of all sessions, as JSON takes them.

    With `save`, what each session heard is written there as SESSION.wav, and named in `heard`.
    """
    sessions = []
    for session in stand_in.sessions:
        told = {
            "id": session.id,
            "instructions": session.config.body["instructions"],
            **session.record.summary(),
        }
        if save is not None:
            path = save / f"{session.id}.wav"
            _write(path, *session.record.heard())
            told["heard"] = str(path)
        sessions.append(told)
    return {"refused": stand_in.refused, "sessions": sessions}


def _write(path: Path, samples: Samples, rate: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())


def _parser() -> argparse.ArgumentParser:
    normal = Behaviour()
    parser = argparse.ArgumentParser(prog="python -m esl_controller.simulator.model")
    parser.description = "A stand-in for a realtime voice model (GA OpenAI Realtime protocol)."
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=_number(int, 0, 65535), default=0, help="0: any free one")
    parser.add_argument("--key", help="what clients must show; without it, anything does")
    parser.add_argument("--language", default=normal.language, help="of the greeting")
    parser.add_argument(
        "--pace",
        type=_number(float, 0),
        default=normal.pace,
        help="times real time; 0: all at once",
    )
    parser.add_argument("--delta-ms", type=_number(int, 1), default=normal.delta_ms)
    parser.add_argument("--think-ms", type=_number(int, 0), default=normal.think_ms)
    parser.add_argument(
        "--call", type=_call, action="append", default=[], metavar="TURN:NAME[:JSON]"
    )
    parser.add_argument("--fault", type=_fault, action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--speech", type=_speech, metavar="WAV", help="say this, and only this")
    parser.add_argument("--monologue", action="store_true", help="on and on, until interrupted")
    parser.add_argument("--no-record", action="store_true", help="counters only")
    parser.add_argument("--save", type=Path, metavar="DIR", help="write what was heard as WAV")
    return parser


def _number(
    kind: type[int] | type[float], least: float, most: float = math.inf
) -> Callable[[str], float]:
    def number(text: str) -> float:
        value = kind(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    number.__name__ = f"{kind.__name__} of {least} or more"
    return number


def _speech(text: str) -> Path:
    try:
        load_speech(Path(text))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def _call(text: str) -> ScriptedCall:
    turn, _, rest = text.partition(":")
    name, _, arguments = rest.partition(":")
    if not turn.isdigit() or not name:
        raise argparse.ArgumentTypeError(f"expected TURN:NAME[:JSON], not {text!r}")
    return ScriptedCall(int(turn), name, arguments or "{}")


def _fault(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    hints = typing.get_type_hints(ModelFaults)
    if name not in {field.name for field in dataclasses.fields(ModelFaults)}:
        raise argparse.ArgumentTypeError(f"no fault {name!r}; there are {', '.join(sorted(hints))}")
    kinds = typing.get_args(hints[name]) or (hints[name],)
    kinds = tuple(kind for kind in kinds if kind is not types.NoneType)
    choices = [c for kind in kinds for c in (typing.get_args(kind) or (kind,))]
    if all(isinstance(choice, str) for choice in choices):
        if value not in choices:
            raise argparse.ArgumentTypeError(f"{name} is one of {', '.join(choices)}")
        return name, value
    if choices == [bool]:
        return name, value.lower() in ("", "1", "true", "yes", "on")
    try:
        return name, choices[0](value)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{name} is a number ({choices[0].__name__}), not {value!r}"
        ) from None


if __name__ == "__main__":
    sys.exit(main())

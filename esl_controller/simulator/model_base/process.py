"""A model stand-in as a process of its own: its command line, and what it prints.

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

from esl_controller.simulator.model_base.behaviour import Behaviour, ModelFaults, ScriptedCall
from esl_controller.simulator.model_base.server import StandInServer
from media.frame import Samples

_PASSED_ON = ("host", "port", "key", "language", "delta_ms", "think_ms")


def parser(prog: str, description: str, epilog: str = "") -> argparse.ArgumentParser:
    """The options that the stand-ins have in common."""
    normal = Behaviour()
    made = argparse.ArgumentParser(prog=prog, description=description, epilog=epilog)
    made.add_argument("--host", default="127.0.0.1")
    made.add_argument("--port", type=number(int, 0, 65535), default=0, help="0: any free one")
    made.add_argument("--key", help="that clients must show; without it, any will do")
    made.add_argument("--language", default=normal.language, help="of the greeting")
    made.add_argument(
        "--delta-ms", type=number(int, 1), default=normal.delta_ms, help="of audio in a message"
    )
    made.add_argument(
        "--think-ms", type=number(int, 0), default=normal.think_ms, help="before each answer"
    )
    made.add_argument(
        "--call",
        type=_call,
        action="append",
        default=[],
        metavar="TURN:NAME[:JSON]",
        help="call this function instead of answering the caller's TURN-th turn; 0: at once",
    )
    made.add_argument(
        "--fault",
        type=_fault,
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="misbehave: " + ", ".join(sorted(typing.get_type_hints(ModelFaults))),
    )
    made.add_argument("--no-record", action="store_true", help="counters only")
    made.add_argument("--save", type=Path, metavar="DIR", help="write what was heard as WAV")
    return made


def common(args: argparse.Namespace) -> dict[str, Any]:
    """The arguments of a stand-in that these options give."""
    return {
        **{name: vars(args)[name] for name in _PASSED_ON},
        "script": tuple(args.call),
        "faults": ModelFaults(**dict(args.fault)),
        "record": not args.no_record,
    }


def run(args: argparse.Namespace, stand_in: StandInServer[Any]) -> int:
    """Run until a signal; 0, or 1 with one line on stderr if the port is taken."""
    try:
        uvloop.run(_serve(stand_in, args.save))
    except OSError as error:
        print(f"cannot listen on {args.host} port {args.port}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


async def _serve(stand_in: StandInServer[Any], save: Path | None) -> None:
    stop = asyncio.Event()
    for signum in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(signum, stop.set)
    async with stand_in:
        print(json.dumps({"base_url": stand_in.base_url, "pid": os.getpid()}), flush=True)
        await stop.wait()
    print(json.dumps(_summary(stand_in, save)), flush=True)


def _summary(stand_in: StandInServer[Any], save: Path | None) -> dict[str, Any]:
    """The records of all sessions, as JSON takes them.

    With `save`, what each session heard is written there as SESSION.wav, and named in `heard`.
    """
    sessions = []
    for session in stand_in.sessions:
        told = {
            "id": session.id,
            "instructions": session.instructions,
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


def number(
    kind: type[int] | type[float], least: float, most: float = math.inf
) -> Callable[[str], float]:
    """The type of an option that takes a number of this kind, from `least` to `most`."""

    def convert(text: str) -> float:
        value = kind(text)
        if not least <= value <= most:
            raise ValueError(text)
        return value

    convert.__name__ = f"{kind.__name__} of {least} or more"
    return convert


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

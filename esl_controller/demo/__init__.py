"""``esl-controller demo``: one whole call on this machine, measured, written down and drawn.

``conversation`` holds the call, ``sound`` and ``figures`` measure it, ``report`` and ``picture``
show it. It may import the whole controller and the stand-ins; only the command line imports it.
No decision about calls belongs here: the controller runs as ``serve`` puts it together.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from pathlib import Path

import uvloop

from esl_controller.demo import report
from esl_controller.demo.conversation import Script, Take, hold
from esl_controller.demo.figures import Figures, measure, problems
from esl_controller.demo.sound import write_stereo
from esl_controller.server import logs
from esl_controller.server.app import settle, switch_fast

WAV = "demo-call.wav"
PICTURE = "demo-call.png"


def run(args: argparse.Namespace) -> int:
    """Hold the call; 0 if everything was heard that should be, else 1. Raises OSError."""
    logs.configure("auto", "warning")
    switch_fast()
    settle()
    script = Script(args.language, args.codec, args.playback, args.seconds)
    return demonstrate(script, args.output)


def demonstrate(script: Script, output: Path) -> int:
    """``run`` with any script; the files go to the folder ``output``, made if it is missing."""
    output.mkdir(parents=True, exist_ok=True)
    print(report.OPENING)
    take = uvloop.run(hold(script, report.tell))
    figures = measure(take)
    print("\n" + report.table(script, take, figures) + "\n")
    _write(take, figures, output)
    found = problems(take, figures)
    for problem in found:
        print(f"esl-controller demo: {problem}", file=sys.stderr)
    if found:
        return 1
    print(report.CLOSING, end="")
    return 0


def _write(take: Take, figures: Figures, output: Path) -> None:
    wav, picture = output / WAV, output / PICTURE
    write_stereo(wav, *take.sides(), take.rate)
    print(f"  {wav}   left the caller, right what the caller heard")
    if importlib.util.find_spec("matplotlib") is None:
        print("  no picture: matplotlib is not installed (pip install 'esl-controller[demo]')")
        return
    from esl_controller.demo.picture import draw

    draw(take, figures, picture)
    print(f"  {picture}   the same as a picture")

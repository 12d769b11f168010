"""`python -m esl_controller.simulator.model`: the stand-in as a process of its own; see
`esl_controller/simulator/model_base/process.py`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from esl_controller.simulator.model.server import ModelStandIn, load_speech
from esl_controller.simulator.model_base.behaviour import Behaviour
from esl_controller.simulator.model_base.process import common, number, parser, run


def main(argv: list[str] | None = None) -> int:
    """Run until a signal; 0, or 1 with one line on stderr if the port is taken."""
    args = _parser().parse_args(argv)
    stand_in = ModelStandIn(
        **common(args), pace=args.pace, speech=args.speech, monologue=args.monologue
    )
    return run(args, stand_in)


def _parser() -> argparse.ArgumentParser:
    made = parser(
        "python -m esl_controller.simulator.model",
        "A stand-in for a realtime voice model (GA OpenAI Realtime protocol).",
    )
    made.add_argument(
        "--pace",
        type=number(float, 0),
        default=Behaviour().pace,
        help="times real time; 0: all at once",
    )
    made.add_argument("--speech", type=_speech, metavar="WAV", help="say this, and only this")
    made.add_argument("--monologue", action="store_true", help="on and on, until interrupted")
    return made


def _speech(text: str) -> Path:
    try:
        load_speech(Path(text))
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


if __name__ == "__main__":
    sys.exit(main())

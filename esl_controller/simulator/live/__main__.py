"""`python -m esl_controller.simulator.live`: the stand-in as a process of its own; see
`esl_controller/simulator/model_base/process.py`."""

from __future__ import annotations

import argparse
import sys

from esl_controller.simulator.live.server import LiveStandIn
from esl_controller.simulator.model_base.process import common, parser, run


def main(argv: list[str] | None = None) -> int:
    """Run until a signal; 0, or 1 with one line on stderr if the port is taken."""
    args = _parser().parse_args(argv)
    stand_in = LiveStandIn(**common(args), acknowledge=args.acknowledge)
    return run(args, stand_in)


def _parser() -> argparse.ArgumentParser:
    made = parser(
        "python -m esl_controller.simulator.live",
        "A stand-in for GPT-Live. It greets whenever it is told to say something, repeats what the"
        " caller says, and falls silent when the caller speaks. The caller's audio is its clock.",
        'To talk to it: [agent] kind = "live" and base_url = what it prints, with any key.',
    )
    made.add_argument(
        "--acknowledge", action="store_true", help="speak, too, whenever it calls a function"
    )
    return made


if __name__ == "__main__":
    sys.exit(main())

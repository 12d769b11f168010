"""`python -m esl_controller.simulator.live`: the stand-in as a process of its own; see
`esl_controller/simulator/process.py`."""

from __future__ import annotations

import argparse
import sys

from esl_controller.simulator.model.behaviour import ModelFaults
from esl_controller.simulator.process import parser, run

from .server import LiveStandIn


def main(argv: list[str] | None = None) -> int:
    """Run until a signal; 0, or 1 with one line on stderr if the port is taken."""
    args = _parser().parse_args(argv)
    stand_in = LiveStandIn(
        args.host,
        args.port,
        key=args.key,
        language=args.language,
        delta_ms=args.delta_ms,
        think_ms=args.think_ms,
        script=tuple(args.call),
        acknowledge=args.acknowledge,
        faults=ModelFaults(**dict(args.fault)),
        record=not args.no_record,
    )
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

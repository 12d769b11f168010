"""Arguments that belong together, for the parsers of the command line."""

from __future__ import annotations

import argparse
from pathlib import Path

from esl_controller.cli import argument_types as kinds


def handover(parser: argparse.ArgumentParser) -> None:
    """Which controller gets the call, and what the caller gets without one."""
    parser.add_argument(
        "--socket",
        default="127.0.0.1:8022",
        metavar="HOST:PORT",
        help="the controller, or several with | between them (default: %(default)s)",
    )
    parser.add_argument(
        "--fallback",
        action="append",
        default=[],
        metavar='"APP DATA"',
        help="what the caller gets where no controller is; again for a next action"
        " (default: a busy tone, then the end of the call)",
    )


def extension(parser: argparse.ArgumentParser) -> None:
    """What ``fusionpbx install`` writes."""
    add = parser.add_argument
    add("--number", default="8000", type=kinds.number, help="that callers dial (default: 8000)")
    add("--secretary-uuid", required=True, type=kinds.uuid, metavar="UUID", help="the persona")
    handover(parser)
    add("--context", default="", help="of the dialplan (default: the domain's name)")
    add("--name", default="", help="of the dialplan (default: from the number)")
    add("--order", type=kinds.order, default=200, metavar="N", help="its place (default: 200)")
    add("--beside", action="store_true", help="although another dialplan has the number")


def fusionpbx_file(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Where FusionPBX is found; ``default`` SUPPRESS where that may be said before, too."""
    parser.add_argument(
        "--fusionpbx",
        type=Path,
        default=default,
        metavar="FILE",
        help="FusionPBX's configuration (default: /etc/fusionpbx/config.conf)",
    )


def fusionpbx(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """How FusionPBX is changed; ``default`` as above."""
    fusionpbx_file(parser, default)
    parser.add_argument(
        "--backup",
        type=kinds.new_file,
        default=default,
        metavar="FILE",
        help="(default: a new one here)",
    )
    for name, about in (
        ("--yes", "do not ask"),
        ("--dry-run", "show what would change"),
        ("--sql", "print the statements that would change it, for doing it by hand"),
    ):
        parser.add_argument(name, action="store_true", default=default or False, help=about)

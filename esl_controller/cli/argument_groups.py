"""Arguments that several commands share."""

from __future__ import annotations

import argparse
from pathlib import Path

from esl_controller.cli import argument_types as kinds
from esl_controller.config import default_file


def settings(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """The settings file. ``default``: SUPPRESS if a parser before this one has it, too."""
    parser.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        default=default,
        help=f"settings (default: {default_file.DESCRIPTION})",
    )


def handover(parser: argparse.ArgumentParser) -> None:
    """Which controller gets the call, and what the caller gets without one."""
    parser.add_argument(
        "--socket",
        metavar="HOST:PORT",
        help="the controller, or several with | between them (default: [esl] host and port)",
    )
    parser.add_argument(
        "--fallback",
        action="append",
        default=[],
        metavar='"APP DATA"',
        help="what the caller gets if no controller answers; may be given several times"
        " (default: a busy tone, then the end of the call)",
    )


def extension(parser: argparse.ArgumentParser) -> None:
    """What ``fusionpbx install`` writes."""
    add = parser.add_argument
    add(
        "--number",
        default="8000",
        type=kinds.number,
        help="what callers dial (default: 8000)",
    )
    add("--secretary-uuid", required=True, type=kinds.uuid, metavar="UUID", help="the persona")
    handover(parser)
    add("--context", default="", help="dialplan context (default: the domain's name)")
    add("--name", default="", help="dialplan name (default: made from the number)")
    add(
        "--order",
        type=kinds.order,
        default=200,
        metavar="N",
        help="its order (default: 200)",
    )
    add("--beside", action="store_true", help="install even if another dialplan has the number")


def fusionpbx_file(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """Where FusionPBX is; ``default`` as in ``settings``."""
    parser.add_argument(
        "--fusionpbx",
        type=Path,
        default=default,
        metavar="FILE",
        help="FusionPBX's configuration (default: /etc/fusionpbx/config.conf)",
    )


def fusionpbx(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    """How FusionPBX is changed; ``default`` as in ``settings``."""
    fusionpbx_file(parser, default)
    parser.add_argument(
        "--backup",
        type=kinds.new_file,
        default=default,
        metavar="FILE",
        help="where the backup goes (default: a new file here)",
    )
    for name, about in (
        ("--yes", "do not ask"),
        ("--dry-run", "only show what would change"),
        ("--sql", "print the SQL statements instead, to be run by hand"),
    ):
        parser.add_argument(name, action="store_true", default=default or False, help=about)

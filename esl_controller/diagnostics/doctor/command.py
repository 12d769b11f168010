"""``esl-controller doctor``: runs all checks, prints what they find, and asks before a fix."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

from esl_controller.config.settings import Loaded
from esl_controller.diagnostics.doctor import (
    call_check,
    controller_checks,
    dialplan_checks,
    fusionpbx_checks,
    reach_checks,
    stream_module_checks,
    switch_checks,
)
from esl_controller.diagnostics.doctor.case import Ask, Case, Check, examine
from esl_controller.diagnostics.doctor.report import Finding, Report, failed, skipped
from esl_controller.fusionpbx import config


def run(args: argparse.Namespace, loaded: Loaded) -> int:
    """Run all checks and print each finding at once; 0 if nothing failed, else 1."""
    wanted = (lambda what: args.yes or _confirmed(what)) if args.fix else None
    report = asyncio.run(
        examined(
            loaded,
            args.number,
            args.context,
            domain=args.domain or "",
            configured=args.fusionpbx,
            call=args.call,
            as_json=args.json,
            wanted=wanted,
        )
    )
    return _end(report, as_json=args.json)


def misconfigured(mistakes: str, *, as_json: bool) -> int:
    """The report for settings that cannot be read: ``mistakes`` has a line for each mistake."""
    report = Report()
    for number, mistake in enumerate(mistakes.splitlines(), 1):
        name = "settings" if number == 1 else f"settings ({number})"
        report.findings[name] = failed(
            mistake,
            "the controller does not start with it.",
            "correct it there; esl-controller settings    shows what is in effect then",
        )
    report.findings["everything else"] = skipped("of settings")
    for name, finding in report.findings.items():
        _show(name, finding, as_json=as_json)
    return _end(report, as_json=as_json)


def checks(*, fusionpbx: bool, call: bool) -> tuple[Check, ...]:
    """All checks, in the order in which a call meets what they test; with ``call`` a test call ends
    them."""
    return (
        *(*switch_checks.CHECKS, *stream_module_checks.CHECKS),
        *(fusionpbx_checks.CHECKS if fusionpbx else ()),
        *(*dialplan_checks.CHECKS, *reach_checks.CHECKS, *controller_checks.CHECKS),
        *(call_check.CHECKS if call else ()),
    )


async def examined(
    loaded: Loaded,
    number: str,
    context: str,
    *,
    domain: str = "",
    configured: Path | None = None,
    call: bool = False,
    as_json: bool = False,
    wanted: Ask | None = None,
) -> Report:
    """Run ``checks`` for calls to ``number`` in ``context``. ``wanted`` is asked before each fix.
    FusionPBX's: its ``domain`` (default: the context), its file ``configured`` (the usual one)."""
    async with AsyncExitStack() as stack:
        case = Case(loaded, number, context, stack, domain, configured)
        return await examine(
            case,
            checks(fusionpbx=config.is_here(configured), call=call),
            lambda name, finding: _show(name, finding, as_json=as_json),
            wanted,
        )


def _show(name: str, finding: Finding, *, as_json: bool) -> None:
    if not as_json:
        print(finding.text(name), flush=True)


def _end(report: Report, *, as_json: bool) -> int:
    print(json.dumps(report.json(), indent=2) if as_json else report.summary)
    return report.exit_status


def _confirmed(what: str) -> bool:
    """Ask on the terminal; if nobody is there, the answer is no."""
    print(f"{what}    now? [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin is None:  # closed
        return False
    with _interruptible():
        return sys.stdin.readline().strip().lower() in ("y", "yes")


@contextlib.contextmanager
def _interruptible() -> Iterator[None]:
    """Let Ctrl-C end a read that blocks the event loop; asyncio's handler waits for the loop."""
    if threading.current_thread() is not threading.main_thread():  # no handlers there
        yield
        return
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)

"""The order of the checks, what is skipped, and what is repaired."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from esl_controller.config.loading import load
from esl_controller.diagnostics.doctor import case as module
from esl_controller.diagnostics.doctor.case import Case, Check, examine
from esl_controller.diagnostics.doctor.report import (
    Finding,
    Fix,
    Report,
    Status,
    failed,
    ok,
    warning,
)
from esl_controller.freeswitch.leg import CallFailed

BAD = failed("it is broken", "calls fail", "repair it")


def made() -> Case:
    return Case(load(None, {}), "8000", "default", AsyncExitStack())


def check(name: str, finding: Finding | Exception, *needs: str) -> Check:
    async def run(case: Case) -> Finding:
        if isinstance(finding, Exception):
            raise finding
        return finding

    return Check(name, run, needs)


async def statuses(*checks: Check) -> dict[str, Status]:
    report = await examine(made(), checks, lambda *_: None)
    return {name: finding.status for name, finding in report.findings.items()}


async def test_what_builds_on_a_failed_check_is_skipped_and_names_the_first() -> None:
    checks = (check("a", BAD), check("b", ok("b"), "a"), check("c", ok("c"), "b"))
    report = await examine(made(), checks, lambda *_: None)
    assert [each.found for each in report.findings.values()][1:] == ["because of a"] * 2


async def test_a_warning_and_a_check_that_was_not_made_skip_nothing() -> None:
    found = await statuses(
        check("a", warning("a", "why", "do")), check("b", ok("b"), "a", "never made")
    )
    assert found == {"a": Status.WARNING, "b": Status.OK}


async def test_findings_are_told_as_soon_as_they_are_known() -> None:
    told: list[str] = []

    async def second(case: Case) -> Finding:
        assert told == ["a"]
        return ok("b")

    await examine(
        made(), (check("a", ok("a")), Check("b", second)), lambda name, _: told.append(name)
    )
    assert told == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "told"),
    [(CallFailed("no leg"), "no leg"), (OSError(24, "Too many open files"), "Too many open files")],
)
async def test_a_check_that_cannot_be_made_has_failed(error: Exception, told: str) -> None:
    report = await examine(made(), (check("a", error),), lambda *_: None)
    assert report.findings["a"].status is Status.FAILED
    assert told in report.findings["a"].found


async def test_a_check_that_does_not_end_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(case: Case) -> Finding:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(module, "CHECK_S", 0.05)
    assert (await statuses(Check("a", never)))["a"] is Status.FAILED


async def repaired(do: Callable[[], Awaitable[None]], *, agreed: bool) -> Report:
    """A check that is well once its fix was made."""
    done: list[bool] = []

    async def fix() -> None:
        await do()
        done.append(True)

    async def run(case: Case) -> Finding:
        return ok("well") if done else replace(BAD, fix=Fix("fs_cli -x reloadxml", fix))

    def asked(what: str) -> bool:
        assert what == "fs_cli -x reloadxml"
        return agreed

    return await examine(made(), (Check("a", run),), lambda *_: None, asked)


async def works() -> None:
    """A fix that does its work."""


async def fails() -> None:
    raise CallFailed("FreeSWITCH refused")


async def test_a_fix_is_made_if_it_is_wanted() -> None:
    assert (await repaired(works, agreed=True)).findings["a"].status is Status.OK
    assert (await repaired(works, agreed=False)).findings["a"].status is Status.FAILED


async def test_a_fix_that_fails_says_why() -> None:
    found = (await repaired(fails, agreed=True)).findings["a"]
    assert (found.status, found.found) == (Status.FAILED, "it is broken; FreeSWITCH refused")
    assert found.fix is None


def test_the_domain_is_the_contexts_unless_it_is_named() -> None:
    assert made().domain == "default"
    named = Case(load(None, {}), "8000", "sales", AsyncExitStack(), domain="pbx.example.net")
    assert named.domain == "pbx.example.net"

"""Arguments that several commands share, and where they may stand."""

from __future__ import annotations

import argparse
from pathlib import Path

from esl_controller.cli import argument_groups as groups

UUID = "b1d2f7a4-5c3e-4f60-8a9b-0c1d2e3f4a5b"


def parsed(group: object, *argv: str) -> dict[str, object]:
    parser = argparse.ArgumentParser()
    assert callable(group)
    group(parser)
    return vars(parser.parse_args(argv))


def test_defaults() -> None:
    assert parsed(groups.settings) == {"config": None}
    assert parsed(groups.handover) == {"socket": None, "fallback": []}
    assert parsed(groups.fusionpbx) == {
        "fusionpbx": None,
        "backup": None,
        "yes": False,
        "dry_run": False,
        "sql": False,
    }


def test_a_fallback_may_have_several_actions() -> None:
    given = parsed(groups.handover, "--fallback", "answer", "--fallback", "hangup NO_ANSWER")
    assert given["fallback"] == ["answer", "hangup NO_ANSWER"]


def test_an_extension_needs_a_secretary_only() -> None:
    given = parsed(groups.extension, "--secretary-uuid", UUID.upper())
    assert (given["number"], given["order"], given["beside"]) == ("8000", 200, False)
    assert given["secretary_uuid"] == UUID


def test_what_stands_before_an_action_is_not_undone_by_the_action() -> None:
    parser = argparse.ArgumentParser()
    groups.settings(parser)
    groups.fusionpbx(parser)
    action = parser.add_subparsers(dest="action").add_parser("show")
    groups.settings(action, argparse.SUPPRESS)
    groups.fusionpbx(action, argparse.SUPPRESS)
    before = parser.parse_args(["--config", "a", "--yes", "--fusionpbx", "b", "show"])
    after = parser.parse_args(["show", "--config", "a", "--yes", "--fusionpbx", "b"])
    assert before == after
    assert (before.config, before.yes, before.fusionpbx) == (Path("a"), True, Path("b"))

"""How findings look."""

from __future__ import annotations

from esl_controller.diagnostics.doctor.report import Report, Status, failed, ok, skipped, warning


def test_a_finding_in_words() -> None:
    assert ok("all is well").text("switch") == "ok        switch: all is well"
    assert skipped("of switch").text("lane") == "skipped   lane: because of switch"
    text = failed("it is not", "because " * 20, "first this; then\nfs_cli -x reloadxml").text("x")
    lines = text.splitlines()
    assert lines[0] == "failed    x: it is not"
    assert lines[1].startswith("          why: because because")
    assert max(map(len, lines)) <= 100
    assert lines[-2:] == ["          do: first this; then", "              fs_cli -x reloadxml"]


def test_only_what_failed_makes_the_exit_status() -> None:
    report = Report({"a": ok("x"), "b": warning("y", "why", "do"), "c": skipped("of b")})
    assert report.exit_status == 0
    assert report.summary == "1 ok, 1 warning, 0 failed, 1 skipped"
    report.findings["d"] = failed("z", "why", "do")
    assert report.exit_status == 1


def test_json() -> None:
    told = Report({"lane": failed("found", "why", "do this")}).json()
    assert told == {
        "ok": False,
        "findings": [
            {
                "check": "lane",
                "status": Status.FAILED.value,
                "found": "found",
                "why": "why",
                "remedy": "do this",
            }
        ],
    }

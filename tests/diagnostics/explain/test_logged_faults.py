"""Faults are counted once for all their lines, and the memory for them is bounded."""

from __future__ import annotations

from esl_controller.diagnostics.explain.logged_faults import MOST_CALLS, MOST_FAULTS, LoggedFaults


def line(text: str, call: int = 0, second: int = 0, level: str = "ERR") -> str:
    return f"00000000-0000-4000-8000-{call:012} 2026-11-22 10:00:{second:02}.0 [{level}] {text}"


def test_lines_of_one_fault_are_one_finding() -> None:
    findings = LoggedFaults()
    assert findings.add(line("mod_audio_stream.c:256 invalid mix type: both, must", 1, 1))
    assert not findings.add(line("mod_audio_stream.c:256 invalid mix type: both, must", 1, 2))
    assert findings.add(line("mod_audio_stream.c:256 invalid mix type: both, must", 2, 3))
    (found,) = findings
    assert (found.detail, found.lines, len(found.calls)) == ("both", 3, 2)
    assert (found.first, found.last) == ("2026-11-22 10:00:01", "2026-11-22 10:00:03")
    assert findings.read == 3


def test_a_consequence_is_no_finding_in_the_same_call() -> None:
    findings = LoggedFaults()
    refused = "mod_event_socket.c:486 Socket Error: Connection refused"
    findings.add(line(refused, 1))
    findings.add(line("mod_event_socket.c:490 Socket Error!", 1))
    assert [of.fault.name for of in findings] == ["controller not reached"]
    findings.add(line("mod_event_socket.c:490 Socket Error!", 2))
    assert [of.fault.name for of in findings][1:] == ["controller's address"]


def test_what_is_quoted_in_a_debug_line_is_none() -> None:
    findings = LoggedFaults()
    findings.add(line("mod_dptools.c:1 invalid mix type: both, must", level="DEBUG"))
    assert not list(findings)


def test_what_is_refused_to_a_leg_of_the_doctor_is_none() -> None:
    findings = LoggedFaults()
    refused = "audio_streamer_glue.cpp:177 connection error"
    findings.add(line("mod_loopback.c:1562 Channel [null/doctor] has been answered", 1))
    assert not findings.add(line(refused, 1, level="INFO"))
    assert findings.add(line(refused, 2, level="INFO"))
    assert [found.calls for found in findings] == [["00000000-0000-4000-8000-000000000002"]]


def test_where_the_log_names_no_call_the_doctor_hides_none() -> None:
    findings = LoggedFaults()
    findings.add("2026-11-22 10:00:00.0 [NOTICE] x.c:1 Channel [null/doctor] has been answered")
    assert findings.add("2026-11-22 10:00:00.0 [ERR] x.c:1 Invalid Application lua")


def test_the_memory_is_bounded() -> None:
    findings = LoggedFaults()
    for number in range(MOST_FAULTS + 5):
        findings.add(line(f"x.c:1 Invalid Application app{number}", number))
    assert len(list(findings)) == MOST_FAULTS
    assert findings.dropped == 5
    for number in range(MOST_CALLS + 5):
        findings.add(line("x.c:1 Invalid Application app0", number + 1000))
    assert len(next(iter(findings)).calls) == MOST_CALLS

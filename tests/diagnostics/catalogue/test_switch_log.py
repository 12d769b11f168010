"""Each fault of FreeSWITCH's log is found in what a real FreeSWITCH wrote."""

from __future__ import annotations

from pathlib import Path

import pytest

from esl_controller.diagnostics.catalogue import switch_log
from esl_controller.diagnostics.explain.logged_faults import LoggedFaults
from tests.paths import CAPTURES

LOGS = CAPTURES / "logs"
# The faults of a capture, and what they name.
CAPTURED = {
    "invalid_application": {("invalid application", "audio_stream")},
    "lua_missing": {("invalid application", "lua")},
    "context": {("context not found", "nocontext")},
    "no_route": {("no route", "")},
    "codec": {("codec", "INCOMPATIBLE_DESTINATION")},
    "session_limit": {("too many calls", "Over Session Limit")},
    "socket_refused": {("controller not reached", "Connection refused")},
    "socket_name": {("controller's address", "")},
    "acl": {("event socket closed to it", "127.0.0.1")},
    "module_missing": {("module not found", "/usr/lib/freeswitch/mod/mod_audio_stream.so")},
    "load_missing": {("library missing", "/usr/lib/freeswitch/mod/mod_no_such.so")},
    "load_symbol": {("module does not fit", "/usr/lib/freeswitch/mod/mod_symbol.so")},
    "load_broken": {("module cannot be loaded", "/usr/lib/freeswitch/mod/mod_broken.so")},
    "mix_type": {("mix type", "both")},
    "sample_rate": {("sample rate", "24k")},
    "stream_address": {("stream's address", "http://127.0.0.1:1/stream/a/b")},
    "ws_closed": {("stream closed", "")},
    "ws_refused": {("stream refused", "")},
    "ws_404": {("stream refused", "")},
    "ws_name": {("stream refused", "")},
    "stream_twice": {("stream started twice", "")},
    "no_such_call": {("stream without a call", "00000000-0000-4000-8000-000000000000")},
    "lane_busy": {("lane not opened", "127.0.0.1:43396")},
    "file": {("file not found", "/no/such/file.wav")},
    "recording": {("recording not written", "/proc/nowhere")},
    "stream_stopped": set(),
    "parked": set(),
    "healthy_call": set(),
}
# Consequences that come beside it: the other leg's end, the first stream's, which nobody took.
BESIDE = {
    ("destination out of order", ""): {"invalid_application", "lua_missing"},
    ("stream refused", ""): {"stream_twice"},
}


def found(path: Path) -> set[tuple[str, str]]:
    findings = LoggedFaults()
    for line in path.read_text().splitlines():
        findings.add(line)
    return {
        (of.fault.name, of.detail)
        for of in findings
        if path.stem not in BESIDE.get((of.fault.name, of.detail), ())
    }


@pytest.mark.parametrize(
    "path", sorted(LOGS.glob("*/*.log")), ids=lambda p: f"{p.parent.name}-{p.stem}"
)
def test_a_capture_says_what_was_wrong(path: Path) -> None:
    assert found(path) == CAPTURED[path.stem]


def test_each_capture_is_there() -> None:
    assert {path.stem for path in LOGS.glob("*/*.log")} == set(CAPTURED)


def test_each_fault_of_the_switch_was_captured() -> None:
    captured = {name for faults in CAPTURED.values() for name, _ in faults}
    beside = {name for name, _ in BESIDE}
    assert {fault.name for fault in switch_log.ALL} == captured | beside

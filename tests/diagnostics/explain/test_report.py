"""What is printed of the faults in a log."""

from __future__ import annotations

import json

from esl_controller.diagnostics.explain.logged_faults import MOST_FAULTS, LoggedFaults
from esl_controller.diagnostics.explain.report import as_json, as_text, block

CALL = "00000000-0000-4000-8000-000000000001"


def read(*texts: str, call: str = CALL) -> LoggedFaults:
    found = LoggedFaults()
    for second, text in enumerate(texts):
        found.add(f"{call} 2026-11-22 10:00:{second:02}.0 [ERR] {text}")
    return found


def test_a_fault_is_a_paragraph() -> None:
    (found,) = read(*["x.c:1 Invalid Application lua"] * 2)
    lines = block(found).splitlines()
    assert lines[:4] == [
        "invalid application: lua",
        "  line   x.c:1 Invalid Application lua",
        "  seen   2 times, 2026-11-22 10:00:00 to 2026-11-22 10:00:01",
        f"  call   {CALL}",
    ]
    assert max(map(len, lines)) <= 96


def test_commands_are_left_whole() -> None:
    (found,) = read("mod_event_socket.c:486 Socket Error: Connection refused")
    assert "\n         from FreeSWITCH's machine: nc -vz HOST PORT\n" in block(found)


def test_what_a_log_holds_is_masked_and_escaped() -> None:
    found = read("x.c:1 Invalid Application \x1b]0;x\x07Authorization:\x1bBearer\x1babc")
    for text in (as_text(found), json.loads(as_json(found))["found"][0]["line"]):
        assert "\x1b" not in text
        assert "\x07" not in text


def test_how_much_was_read_and_dropped() -> None:
    assert as_text(read("all is well")) == "nothing known in 1 lines"
    found = read(*(f"x.c:1 Invalid Application app{number}" for number in range(MOST_FAULTS + 3)))
    assert as_text(found).splitlines()[-1] == (
        f"{MOST_FAULTS} known in {MOST_FAULTS + 3} lines; no room for what 3 more lines say"
    )
    told = json.loads(as_json(found))
    assert (told["lines"], told["dropped"], len(told["found"])) == (MOST_FAULTS + 3, 3, MOST_FAULTS)

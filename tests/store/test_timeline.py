"""The timeline that people read."""

from __future__ import annotations

from dataclasses import replace

from esl_controller.call.agent import Usage
from esl_controller.store.records import Noted, StoredCall
from esl_controller.store.timeline import table, timeline
from tests.store.samples import AT, GREETING, MESSAGE, NOTE, REPLY, TOOL, USAGE, UUID, WISH

CALL = StoredCall(
    UUID,
    "tenant",
    "clinic",
    "+5511",
    "8000",
    AT,
    AT + 9.5,
    "NORMAL_CLEARING",
    "completed",
    "/var/calls/a.wav",
    USAGE,
    [GREETING, WISH, REPLY],
    [TOOL],
    [MESSAGE],
    [NOTE],
)


def test_a_call_is_told_in_its_order() -> None:
    assert (
        timeline(CALL)
        == f"""\
call      {UUID}
started   2026-09-21 14:13:20 UTC
caller    +5511, who dialled 8000
secretary clinic (domain tenant)
ended     after 9.5 s: completed (NORMAL_CLEARING)
recording /var/calls/a.wav
tokens    in 10 text, 200 audio (30 of both cached); out 40 text, 500 audio
model     8 s that are paid by time

    0.5  agent   Olá! Como posso ajudar?
    0.5          cut off after 0.9 s, heard: "Olá! Como"
    1.4  caller  An appointment, please.
    3.1  tool    book({{"day": "monday"}}) -> {{"ok": true}}  [180 ms]
    3.6  agent   On Monday at nine.  [620 ms after the caller]
    5.5  note    the model was connected again
    6.0  message Ana, +5511: Call me back"""
    )


def test_a_call_of_which_little_is_known_is_told_too() -> None:
    call = StoredCall(
        UUID, "", "", "", "", None, None, "", "", "", Usage(), [replace(WISH, text="")]
    )
    text = timeline(call)
    assert "started   ? UTC\n" in text
    assert "ended     not yet, or it was not written down\n" in text
    assert "    0.0  caller  (no transcript)" in text
    assert "recording" not in text
    assert "paid by time" not in text


def test_a_sentence_of_which_nothing_was_heard() -> None:
    turn = replace(REPLY, interrupted_ms=0, heard_text="")
    assert "cut off after 0.0 s, heard: nothing" in timeline(replace(CALL, turns=[turn]))


def test_nobody_writes_control_sequences_to_the_terminal() -> None:
    note = Noted(UUID, AT, "a\x1b[31mb\nc\u202ed")
    text = timeline(replace(CALL, caller="\x1b]0;x\x07", notes=[note]))
    assert "\x1b" not in text + table([replace(CALL, caller="\x1b]0;x\x07")])
    assert "note    a [31mb c d" in text


def test_calls_in_a_table() -> None:
    live = replace(CALL, ended_at=None, cause="", outcome="", started_at=AT - 60)
    assert (
        table([CALL, live])
        == f"""\
started (UTC)        lasted_s  caller  number  outcome    call_uuid
2026-09-21 14:13:20  9.5       +5511   8000    completed  {UUID}
2026-09-21 14:12:20  -         +5511   8000               {UUID}"""
    )
    assert table([]) == "started (UTC)  lasted_s  caller  number  outcome  call_uuid"

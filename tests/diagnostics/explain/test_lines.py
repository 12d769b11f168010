"""Lines of FreeSWITCH's log and of ours, in every form that they come in."""

from __future__ import annotations

import io
import json

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.diagnostics.explain.lines import LONGEST, Line, parse
from esl_controller.server import logs

UUID = "e6fdfe5d-9a91-4dc2-929a-a8c4c8bb7ef4"
SWITCH = "2026-11-22 23:25:35.302801 99.23% [ERR] switch_core_session.c:2662 Invalid Application x"


@pytest.mark.parametrize(
    ("raw", "call"),
    [
        (SWITCH, ""),
        (f"{UUID} {SWITCH}", UUID),
        (f"{UUID} {SWITCH.replace(' 99.23%', '')}\r\n", UUID),  # before 1.10
        (f"\x1b[31m{SWITCH}\x1b[0m", ""),
        (f"freeswitch-1  | {UUID} {SWITCH}", UUID),
    ],
)
def test_a_line_of_freeswitch(raw: str, call: str) -> None:
    text = "switch_core_session.c:2662 Invalid Application x"
    assert parse(raw) == Line(text, call, "2026-11-22 23:25:35")


def logged(format: str) -> str:
    """What our log writes."""
    stream = io.StringIO()
    logs.configure(format, stream=stream)  # type: ignore[arg-type]
    log = structlog.stdlib.get_logger("esl_controller.test").bind(call_uuid=UUID)
    log.warning("the call record cannot be written now", reason="no answer in 5 s")
    return stream.getvalue()


@pytest.mark.parametrize("format", ["json", "console"])
@pytest.mark.parametrize("before", ["", "Nov 22 23:43:28 pbx esl-controller[4711]: "])
def test_a_line_of_ours(format: str, before: str) -> None:
    line = parse(before + logged(format))
    assert line.ours
    assert line.call == UUID
    assert line.at.endswith("Z")
    assert line.text == "the call record cannot be written now: no answer in 5 s"


def test_why_a_call_was_over_is_its_text() -> None:
    line = parse(json.dumps({"timestamp": "now", "event": "call over", "cause": "lost"}))
    assert line.text == "call over: lost"


def test_a_module_that_cannot_be_loaded_has_a_line_of_its_own_form() -> None:
    assert parse("**x.so: undefined symbol: y**\n") == Line("**x.so: undefined symbol: y**")


@pytest.mark.parametrize("raw", ['{"timestamp"', '{"timestamp": []', '{"timestamp": 1}', ""])
def test_what_only_looks_like_ours(raw: str) -> None:
    assert parse(raw).call == ""


@given(st.text())
def test_anything_is_a_line(raw: str) -> None:
    assert len(parse(raw).text) <= LONGEST


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.text())))
def test_any_object_is_a_line(fields: dict[str, object]) -> None:
    line = parse(json.dumps({"timestamp": "now"} | fields))
    assert isinstance(line.text, str)
    assert isinstance(line.call, str)

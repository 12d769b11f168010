"""Messages of a model: read, or counted and dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from esl_controller.agents.base import Counters
from esl_controller.agents.messages import read, text, told
from esl_controller.call.agent_events import AgentEvent, AgentText


def _said(event: Mapping[str, Any]) -> Sequence[AgentEvent]:
    return (AgentText("item", text(event, "delta")),)


@pytest.mark.parametrize(
    ("message", "events", "ignored"),
    [
        (b'{"type": "said", "delta": "x"}', [AgentText("item", "x")], 0),
        (b'{"type": "other"}', [], 0),
        (b'{"type": 7}', [], 0),
        (b'{"type": "said"}', [], 1),
        (b'{"type": "said", "delta": 7}', [], 1),
        (b"[]", [], 1),
        (b"{", [], 1),
        (b"\xff", [], 1),
        (b"[" * 5000, [], 1),
    ],
)
def test_what_cannot_be_used_is_counted(
    message: bytes, events: list[AgentEvent], ignored: int
) -> None:
    counters = Counters()
    assert list(read(message, {"said": _said}, counters)) == events
    assert counters.ignored == ignored


def test_an_error_is_told_in_one_line() -> None:
    assert told({"code": "bad", "type": "t", "message": "It is."}) == "bad: It is."
    assert told({"type": "t", "message": "It is."}) == "t: It is."
    assert told({"code": "bad", "message": None}) == "bad"
    assert told({"code": "bad", "message": "It is.\nVery."}) == "bad: It is. Very."
    assert len(told({"code": "x" * 9000})) == 500


def test_of_thousands_of_faults_few_have_a_line() -> None:
    counters = Counters()
    with capture_logs() as lines:
        for _ in range(20_000):
            read(b'{"type": "said"}', {"said": _said}, counters)
    assert counters.ignored == 20_000
    assert [line["ignored"] for line in lines] == [*range(1, 11), 100, 1000, 10_000]

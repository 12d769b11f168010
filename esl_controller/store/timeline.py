"""The record of calls as text for people. [core]"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from esl_controller.call.records import ToolUsed, Turn
from esl_controller.config import terminal
from esl_controller.store.records import CallSummary, StoredCall


def timeline(call: StoredCall) -> str:
    """The record of ``call``: its head, then what happened in it and at which second."""
    happened = sorted(_happened(call), key=lambda line: line[0])
    start = call.started_at or min((at for at, _, _ in happened), default=0.0)
    lines = [f"{at - start:7.1f}  {_named(who, text, 7)}" for at, who, text in happened]
    return "\n".join([*(_named(name, text, 9) for name, text in _head(call)), "", *lines])


def table(calls: Sequence[CallSummary]) -> str:
    """A table with a line for each of ``calls``."""
    head = ("started (UTC)", "lasted_s", "caller", "number", "outcome", "call_uuid")
    return terminal.table([head, *map(_row, calls)])


def _named(name: str, text: str, width: int) -> str:
    return terminal.line((name, terminal.printable(text)), (width,), gap=" ")


def _row(call: CallSummary) -> tuple[str, ...]:
    what = call.outcome or call.cause
    return (_date(call), _lasted(call), call.caller, call.destination, what, call.call_uuid)


def _date(call: CallSummary) -> str:
    if call.started_at is None:
        return "?"
    return f"{datetime.fromtimestamp(call.started_at, UTC):%Y-%m-%d %H:%M:%S}"


def _lasted(call: CallSummary) -> str:
    if call.started_at is None or call.ended_at is None:
        return "-"
    return f"{call.ended_at - call.started_at:.1f}"


def _head(call: StoredCall) -> Iterator[tuple[str, str]]:
    yield "call", call.call_uuid
    yield "started", f"{_date(call)} UTC"
    yield (
        "caller",
        f"{call.caller or '?'}, who dialled {call.destination or '?'}",
    )
    yield "secretary", f"{call.secretary} (domain {call.domain_uuid})"
    if call.ended_at is None:
        yield "ended", "not yet, or it was not written down"
    else:
        yield "ended", f"after {_lasted(call)} s: {call.outcome} ({call.cause})"
    if call.recording:
        yield "recording", call.recording
    used = call.usage
    yield (
        "tokens",
        f"in {used.input_text} text, {used.input_audio} audio ({used.cached} of both cached);"
        f" out {used.output_text} text, {used.output_audio} audio",
    )
    if used.seconds:
        yield "model", f"{used.seconds:.0f} s that are paid by time"


def _happened(call: StoredCall) -> Iterator[tuple[float, str, str]]:
    for turn in call.turns:
        yield from _said(turn)
    for tool in call.tools:
        yield tool.at, "tool", _used(tool)
    for message in call.messages:
        yield message.at, "message", f"{message.name}, {message.phone}: {message.text}"
    for note in call.notes:
        yield note.at, "note", note.text


def _said(turn: Turn) -> Iterator[tuple[float, str, str]]:
    latency = "" if turn.latency_ms is None else f"  [{turn.latency_ms} ms after the caller]"
    yield turn.started_at, turn.who, (turn.text or "(no transcript)") + latency
    if turn.interrupted_ms is not None:
        heard = f'"{turn.heard_text}"' if turn.heard_text else "nothing"
        # With the time of the turn's start, so that no other turn is sorted between the two lines.
        yield (
            turn.started_at,
            "",
            f"cut off after {turn.interrupted_ms / 1000:.1f} s, heard: {heard}",
        )


def _used(tool: ToolUsed) -> str:
    return f"{tool.name}({tool.arguments}) -> {tool.output}  [{tool.took_ms} ms]"

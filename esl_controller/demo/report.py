"""What the demo prints: lines while the call runs, and the table at its end."""

from __future__ import annotations

from collections.abc import Iterator

from esl_controller.config.terminal import line
from esl_controller.demo.conversation import Script, Take
from esl_controller.demo.figures import Figures

OPENING = """\
One call, all of it on this machine. FreeSWITCH (with its caller) and the voice model are stand-ins,
which are no AI and need no key; the controller between them is the one that `serve` runs.
"""

CLOSING = """
Next: OPENAI_API_KEY=... esl-controller serve   takes real calls from your FreeSWITCH, with a real
model; README.md says how FreeSWITCH hands them over (esl-controller dialplan --help).
"""


def tell(at: float, who: str, what: str) -> None:
    """Print what happens, at once: seconds since the answer, who, what."""
    print(line((f"{max(0.0, at):7.2f} s", who, what), (9, 10)), flush=True)


def table(script: Script, take: Take, figures: Figures) -> str:
    """The figures, one per line, with their meaning; those that were not reached are left out.

    In whole milliseconds: neither the FreeSWITCH stand-in nor the loop's clock is finer.
    """
    rows = [*_opening_rows(figures), *_turn_rows(figures), *_sound_rows(script, take, figures)]
    return "\n".join(
        f"  {name:<17} {value:>8}   {meaning}".rstrip() for name, value, meaning in rows
    )


TableRow = tuple[str, str, str]


def _opening_rows(figures: Figures) -> Iterator[TableRow]:
    if figures.marks:
        marks = ", ".join(f"{name} {_number(at)}" for name, at in figures.marks.items())
        yield "set-up", _ms(figures.set_up), f"from FreeSWITCH's connection: {marks} ms"
    if figures.words:
        greeting = figures.words[0]
        own = f"until {_ms(greeting.sent)} the stand-in model thinks"
        yield "greeting begins", _ms(greeting.begins), f"after the answer; {own}"


def _turn_rows(figures: Figures) -> Iterator[TableRow]:
    if turn := figures.turn:
        yield "turn latency", _ms(turn.total), "the caller's last word to the reply's first sound:"
        own = (
            f"{_number(turn.detecting)} to detect silence, {_number(turn.thinking)} to think,"
            f" {_number(turn.leading)} of silence repeated"
        )
        yield "  the stand-in's", _ms(turn.standin), own
        travel = (
            f"{_number(turn.to_model)} from caller to model (up to 20 are mod_audio_stream's),"
            f" {_number(turn.to_caller)} back"
        )
        yield "  the controller's", _ms(turn.ours), travel
    if figures.words:
        times = ", ".join(_number(words.to_caller) for words in figures.words)
        worst = max(words.to_caller for words in figures.words)
        about = f"the model's first audio to the first frame heard: worst of {times} ms"
        yield "model to caller", _ms(worst), about
    if barge_in := figures.barge_in:
        before = f"before that, {_ms(barge_in.detected - barge_in.sounds)} to detect it"
        about = f"the model's speech_started to silence ({before})"
        yield "barge-in", _ms(barge_in.total), about


def _sound_rows(script: Script, take: Take, figures: Figures) -> Iterator[TableRow]:
    barge_in = figures.barge_in
    if barge_in and barge_in.told is not None:
        reply = figures.words[1]
        heard = f"{reply.ends - reply.begins:.2f} s"
        yield (
            "reply heard",
            heard,
            f"of {reply.length:.2f} s; the model was told {barge_in.told:.2f} s",
        )
    late = f"; {take.starved} because the model was late" if take.starved else ""
    gaps = str(figures.missing + take.starved)
    yield "gaps", gaps, f"frames missing, of {figures.frames} that the caller heard{late}"
    if script.playback == "lane":
        worst = f"more than 5 ms late (worst {take.worst_late_ms:.0f} ms)"
        yield (
            "late ticks",
            str(take.late_ticks),
            f"of {take.ticks} of the controller's clock, {worst}",
        )


def _number(seconds: float) -> str:
    return f"{max(0.0, seconds) * 1000:.0f}"


def _ms(seconds: float) -> str:
    return f"{_number(seconds)} ms"

"""The call as a picture: both sides over time, and below it the moments that matter, enlarged.

Needs matplotlib (the extra "demo"). The colours are of Okabe and Ito's palette, which colour-blind
people can tell apart, and nothing is said by colour alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from esl_controller.demo.conversation import Take
from esl_controller.demo.figures import Figures
from media.frame import Samples

_CALLER, _MODEL = "#0072B2", "#D55E00"
_OURS, _STANDIN = "#009E73", "#9A9A9A"
_INK, _FAINT = "#222222", "#DDDDDD"

_SIZE, _DPI = (16, 7), 100
_ROWS = 4  # of labels above the waveforms
_LOUDEST = 0.62  # of full scale: the height of a waveform's half
_LETTER_PX = 8.4  # of a bold letter in a bar, on average


@dataclass(frozen=True)
class _Mark:
    """A labelled moment; ``row`` 0 is the highest, ``left`` is the label's side of its line."""

    at: float
    text: str
    row: int
    colour: str = _INK
    left: bool = False


@dataclass(frozen=True)
class _Span:
    """A stretch of time, and whose it is."""

    begins: float
    ends: float
    text: str
    colour: str


@dataclass(frozen=True)
class _Detail:
    """A part of the call, enlarged: what it shows, from when to when, and what happens in it."""

    title: str
    begins: float
    ends: float
    spans: Sequence[_Span]


def draw(take: Take, figures: Figures, path: Path) -> None:
    """Write the picture, 1600 x 700. Raises OSError."""
    figure = Figure(figsize=_SIZE, dpi=_DPI, facecolor="white")
    FigureCanvasAgg(figure)
    sides = take.sides()
    details = list(_details(figures))
    bottom = 0.36 if details else 0.09
    main = figure.add_gridspec(
        3, 1, height_ratios=[0.75, 1, 1], hspace=0, left=0.06, right=0.985, top=0.9, bottom=bottom
    )
    labels, caller, heard = (figure.add_subplot(main[row]) for row in range(3))
    for axes, name, side, colour in (
        (caller, "caller\nsays", sides[0], _CALLER),
        (heard, "caller\nhears", sides[1], _MODEL),
    ):
        _plain(axes)
        _wave(axes, side, take.rate, colour, step_s=0.004)
        axes.set_ylim(-_LOUDEST, _LOUDEST)
        axes.set_xlim(-0.02 * figures.ended, figures.ended * 1.01)
        _name(axes, name, colour)
    _time_axis(heard, 20)
    heard.set_xlabel("seconds since the answer", color="#555555", size=10.5, labelpad=2)
    _label(labels, (caller, heard), list(_marks(figures)))
    if turn := figures.turn:
        _measure(caller, turn.at, turn.at + turn.total, "turn latency")
    _title(figure, take)
    if details:
        _legend(figure)
        below = figure.add_gridspec(
            1, len(details), wspace=0.08, left=0.06, right=0.985, top=0.25, bottom=0.065
        )
        for column, detail in enumerate(details):
            _enlarge(figure.add_subplot(below[column]), detail, sides, take.rate)
    figure.savefig(path)


# --- what is shown --------------------------------------------------------------------------------


def _marks(figures: Figures) -> Iterator[_Mark]:
    """In rows, so that no label hides another however close they are."""
    names = {"answered": "answered", "stream": "stream open", "lane": "lane open"}
    for row, (name, text) in enumerate(names.items()):
        if name in figures.marks:
            yield _Mark(figures.connected + figures.marks[name], text, row)
    if figures.words:
        yield _Mark(figures.words[0].begins, "greeting begins", 3, _MODEL)
    if turn := figures.turn:
        yield _Mark(turn.at, "caller's words end", 0, _CALLER, left=True)
        yield _Mark(turn.at + turn.total, "reply begins", 0, _MODEL)
    if barge_in := figures.barge_in:
        yield _Mark(barge_in.sounds, "caller interrupts", 0, _CALLER)
        yield _Mark(barge_in.detected, "speech detected", 1)
        text = f"silence: barge-in time {barge_in.total * 1000:.0f} ms"
        yield _Mark(barge_in.silent, text, 2, _OURS)
    if len(figures.words) > 2:
        yield _Mark(figures.words[2].sounds, "second reply begins", 3, _MODEL)
    yield _Mark(figures.ended, "caller hangs up", 0, _INK, left=True)


def _details(figures: Figures) -> Iterator[_Detail]:
    if figures.marks and figures.words:
        answered, ready = (figures.connected + at for at in (figures.answer, figures.set_up))
        greeting = figures.words[0]
        opened = ", ".join(name for name in figures.marks if name != "answered")
        spans = [
            _Span(figures.connected, answered, "answer", _STANDIN),
            _Span(answered, ready, opened, _OURS),
            _Span(ready, greeting.sent, "the model thinks", _STANDIN),
            _Span(greeting.sent, greeting.begins, "", _OURS),
        ]
        title = f"Set-up: {figures.set_up * 1000:.0f} ms from FreeSWITCH's connection"
        yield _Detail(title, figures.connected - 0.03, greeting.sounds + 0.1, spans)
    if turn := figures.turn:
        spans = []
        at = turn.at
        for length, text, colour in (
            (turn.to_model, "", _OURS),
            (turn.detecting, "silence detection", _STANDIN),
            (turn.thinking, "thinking", _STANDIN),
            (turn.to_caller, "", _OURS),
            (turn.leading, "its silence", _STANDIN),
        ):
            spans.append(_Span(at, at + length, text, colour))
            at += length
        title = f"Turn: {turn.total * 1000:.0f} ms, {turn.ours * 1000:.0f} of them the controller's"
        yield _Detail(title, turn.at - 0.2, at + 0.2, spans)
    if barge_in := figures.barge_in:
        spans = [
            _Span(barge_in.sounds, barge_in.detected, "detection", _STANDIN),
            _Span(barge_in.detected, barge_in.silent, "", _OURS),
        ]
        title = f"Barge-in: {barge_in.total * 1000:.0f} ms from speech detected to silence"
        yield _Detail(title, barge_in.sounds - 0.15, barge_in.silent + 0.15, spans)


def _title(figure: Figure, take: Take) -> None:
    script = take.script
    figure.text(0.06, 0.955, "One call through esl-controller", size=15, weight="bold", color=_INK)
    playbacks = {"lane": "over the lane", "file": "as files"}
    languages = {"en": "English", "pt-BR": "Brazilian Portuguese"}
    about = (
        "FreeSWITCH and the voice model are stand-ins, the controller between them is real."
        f"   {script.codec} {take.rate // 1000} kHz, replies {playbacks[script.playback]},"
        f" {languages[script.language]}"
    )
    figure.text(0.985, 0.957, about, size=10.5, color="#555555", ha="right")


def _legend(figure: Figure) -> None:
    """Whose time each bar in the details is."""
    names = ((0.785, _OURS, "the controller's time"), (0.89, _STANDIN, "the stand-ins' time"))
    for at, colour, name in names:
        figure.text(at, 0.005, "■", color=colour, size=11, va="bottom")
        figure.text(at + 0.011, 0.006, name, color="#555555", size=10, va="bottom")


# --- how it is drawn ------------------------------------------------------------------------------


def _wave(
    axes: Axes, side: Samples, rate: int, colour: str, *, step_s: float, middle: float = 0.0
) -> None:
    """The range of the samples in each step, filled."""
    size = int(rate * step_s)
    steps = side[: side.size // size * size].reshape(-1, size) / 32768
    axes.axhline(middle, color=colour, linewidth=0.6, alpha=0.5, zorder=2)
    if len(steps):
        times = (np.arange(len(steps)) + 0.5) * step_s
        low, high = middle + steps.min(axis=1), middle + steps.max(axis=1)
        axes.fill_between(times, low, high, color=colour, linewidth=0.3, zorder=3)


def _plain(axes: Axes) -> None:
    """Neither frame nor scales."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_facecolor("#FAFAFA")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _name(axes: Axes, name: str, colour: str) -> None:
    """At the left of a side."""
    axes.text(
        -0.008,
        0.5,
        name,
        transform=axes.transAxes,
        color=colour,
        size=12,
        weight="bold",
        ha="right",
        va="center",
    )


def _time_axis(axes: Axes, ticks: int) -> None:
    axes.spines["bottom"].set_visible(True)
    axes.spines["bottom"].set_color("#888888")
    axes.xaxis.set_major_locator(MaxNLocator(ticks, steps=[1, 2, 5, 10]))
    axes.tick_params(axis="x", colors="#555555", labelsize=10, length=3)


def _label(labels: Axes, sides: Sequence[Axes], marks: Sequence[_Mark]) -> None:
    """A flag for each mark, with its pole through both waveforms."""
    labels.set_xlim(sides[0].get_xlim())
    labels.set_ylim(0, _ROWS)
    labels.axis("off")
    for mark in marks:
        height = _ROWS - mark.row - 0.5
        labels.plot([mark.at, mark.at], [0, height + 0.3], color=mark.colour, linewidth=1.0)
        for axes in sides:
            axes.axvline(mark.at, color=mark.colour, linewidth=1.0, alpha=0.75, zorder=1)
        labels.annotate(
            mark.text,
            (mark.at, height),
            xytext=(-5 if mark.left else 5, 0),
            textcoords="offset points",
            ha="right" if mark.left else "left",
            va="center",
            size=10.5,
            color=mark.colour,
        )


def _measure(axes: Axes, begins: float, ends: float, name: str) -> None:
    """A double arrow between two marks."""
    height = 0.5 * _LOUDEST
    style = {"arrowstyle": "<->", "color": _INK, "shrinkA": 0, "shrinkB": 0}
    axes.annotate("", (begins, height), (ends, height), arrowprops=style)
    text = f"{name}\n{(ends - begins) * 1000:.0f} ms"
    middle = (begins + ends) / 2
    axes.text(middle, height - 0.06, text, ha="center", va="top", size=9.5, color=_INK)


def _enlarge(axes: Axes, detail: _Detail, sides: tuple[Samples, Samples], rate: int) -> None:
    """Both sides, one above the other, and between them where the time went."""
    _plain(axes)
    _time_axis(axes, 6)
    axes.set_xlim(detail.begins, detail.ends)
    axes.set_ylim(-1.3, 1.3)
    axes.set_title(detail.title, size=11, color=_INK, loc="left", pad=5)
    for side, colour, middle in ((sides[0], _CALLER, 0.8), (sides[1], _MODEL, -0.8)):
        _wave(axes, side, rate, colour, step_s=0.001, middle=middle)
    pixels_per_s = axes.get_window_extent().width / (detail.ends - detail.begins)
    outside = cycle((0.26, -0.26))
    for span in detail.spans:
        times, middle = (span.begins, span.ends), (span.begins + span.ends) / 2
        axes.fill_between(times, -0.15, 0.15, color=span.colour, linewidth=0, zorder=4)
        axes.vlines(times, -1.3, 1.3, colors=span.colour, linewidth=0.9, zorder=1)
        fits = len(span.text) * _LETTER_PX < (span.ends - span.begins) * pixels_per_s
        axes.text(
            middle,
            0 if fits else next(outside),
            span.text,
            ha="center",
            va="center",
            size=9.5,
            color="white" if fits else _INK,
            weight="bold" if fits else "normal",
            zorder=5,
        )

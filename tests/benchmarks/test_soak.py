"""What is taken for growth, and what a soak finds fault with."""

from __future__ import annotations

from benchmarks.processes import Footprint
from benchmarks.soak import Soak

MINUTES = 60.0


def soaked(*memory_mb: float) -> Soak:
    """A soak of an hour with these samples, evenly apart."""
    apart = MINUTES * 60 / len(memory_mb)
    samples = [(apart * (i + 0.5), Footprint(mb, 10, 3)) for i, mb in enumerate(memory_mb)]
    before = Footprint(100.0, 10, 3)
    return Soak(before, calls=5, ended=5, samples=samples, after=samples[-1][1])


def faults(of: Soak) -> list[str]:
    return [figure.name.strip() for figure in of.figures(MINUTES) if not figure.ok]


def test_what_grows_before_it_is_warm_is_no_growth() -> None:
    assert faults(soaked(100, 140, 141, 140, 141, 140)) == []


def test_what_grows_afterwards_is() -> None:
    assert faults(soaked(100, 140, 142, 144, 146, 148)) == ["its growth once warm"]


def test_nothing_may_be_left() -> None:
    of = soaked(100, 140, 140, 140, 140, 140)
    of.after = Footprint(140.0, 13, 6)
    of.live = of.unfinished = of.undelivered = 1
    of.ended -= 1
    of.errors = ["a bug"]
    assert faults(of) == [
        "files left",
        "threads left",
        "calls left",
        "calls without an end in the record",
        "ended calls that the server was not told of",
        "deliveries left",
        "errors in the log",
    ]

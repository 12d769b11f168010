"""Whatever comes in, nothing escapes, and nothing takes the event loop for long.

``FUZZ=100000 SEED=7 make test ARGS=tests/fuzz`` tries more of it, ``make fuzz`` a hundred thousand.
"""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tests.fuzz.holding import Take
from tests.fuzz.mutation import Mutator
from tests.fuzz.targets import TARGETS, Target

COUNT: Final = int(os.environ.get("FUZZ") or 2_000)
SEED: Final = int(os.environ.get("SEED") or 1)
ESCAPED: Final = Path(__file__).parent / "escaped"
EACH: Final = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


@EACH
def test_nothing_escapes(target: Target) -> None:
    mutator = Mutator(target.corpus, SEED)
    for start in range(0, COUNT, target.batch):
        with target.open() as take:
            for _ in range(min(target.batch, COUNT - start)):
                message = mutator.message()
                try:
                    held = _held(take, message)
                except BaseException as error:
                    error.add_note(f"it came of {_kept(target, message)}")
                    raise
                if held > target.held_s and (held := _again(target, message)) > target.held_s:
                    pytest.fail(f"{held * 1000:.0f} ms for {_kept(target, message)}")


def _held(take: Take, message: bytes) -> float:
    """For how long, in seconds of CPU time, a message holds the event loop."""
    began = time.thread_time()
    held = take(message)
    return time.thread_time() - began if held is None else held


def _again(target: Target, message: bytes) -> float:
    """The shortest of three times, each in a place of its own: the first may have met an import, or
    the garbage collector."""
    times = []
    for _ in range(3):
        with target.open() as take:
            times.append(_held(take, message))
    return min(times)


def _kept(target: Target, message: bytes) -> Path:
    """The file in which a message is kept that escaped, for the test below."""
    path = ESCAPED / target.name / hashlib.sha256(message).hexdigest()[:16]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(message)
    return path


def escaped() -> Iterator[tuple[Target, Path]]:
    """What once escaped, by target."""
    for target in TARGETS:
        for path in sorted((ESCAPED / target.name).glob("*")):
            yield target, path


@pytest.mark.parametrize(("target", "path"), list(escaped()), ids=lambda part: part.name)
def test_what_escaped_once_does_not_again(target: Target, path: Path) -> None:
    with target.open() as take:
        take(path.read_bytes())
    assert _again(target, path.read_bytes()) <= target.held_s


def test_the_same_seed_makes_the_same_messages() -> None:
    corpus = [b'{"type": "x", "list": [1, {"a": null}]}', b"Content-Type: a\n\n"]
    first, second, other = (Mutator(corpus, seed) for seed in (3, 3, 4))
    made = [first.message() for _ in range(300)]
    assert made == [second.message() for _ in range(300)]
    assert made != [other.message() for _ in range(300)]
    assert len(set(made)) > 200

"""Logs that are binary, endless, rotated, emptied."""

from __future__ import annotations

import contextlib
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import pytest

from esl_controller.diagnostics.explain.lines import LONGEST
from esl_controller.diagnostics.explain.reading import follow, lines, opened


def test_lines_of_a_stream() -> None:
    assert list(lines(io.BytesIO(b"one\ntwo"))) == ["one\n", "two"]
    assert list(lines(io.BytesIO(b"\xff\xfe\n"))) == ["\ufffd\ufffd\n"]


def test_a_log_that_was_compressed_and_one_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "freeswitch.log.1.gz"
    whole = gzip.compress(b"one\ntwo\n" * 500)
    path.write_bytes(whole)
    with opened(path) as stream:
        assert list(lines(stream)) == ["one\n", "two\n"] * 500
    for damaged in (b"no such thing", whole[:-12], whole[:20] + b"\xff" * 20):
        path.write_bytes(damaged)
        with opened(path) as stream, pytest.raises(OSError, match=r"1\.gz|gzip"):
            list(lines(stream))


def test_of_an_endless_line_the_beginning_is_kept() -> None:
    read = list(lines(io.BytesIO(b"x" * (3 * LONGEST) + b"\nnext\n")))
    assert [len(line) for line in read] == [LONGEST, 5]


class Writer:
    """Writes the next piece each time that there is nothing to read."""

    def __init__(self, *pieces: Callable[[], object]) -> None:
        self._pieces = list(pieces)

    def __call__(self, seconds: float) -> None:
        if not self._pieces:
            raise KeyboardInterrupt
        self._pieces.pop(0)()


def append(path: Path, text: str) -> Callable[[], object]:
    def write() -> None:
        with path.open("a") as file:
            file.write(text)

    return write


def followed(path: Path, writer: Writer) -> list[str]:
    read = []
    with contextlib.suppress(KeyboardInterrupt):
        for line in follow(path, writer):
            read.append(line)
    return read


def test_only_what_is_new_and_whole(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    writer = Writer(append(path, "ne"), append(path, "w\nrest"))
    assert followed(path, writer) == ["new\n"]


def test_a_log_that_is_rotated_or_emptied(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")
    writer = Writer(
        append(path, "1\n"),
        lambda: path.rename(tmp_path / "log.1"),
        append(path, "2\n"),
        lambda: path.write_text(""),
        append(path, "3\n"),
    )
    assert followed(path, writer) == ["1\n", "2\n", "3\n"]


def test_what_comes_just_before_a_rotation_is_read(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("old\n")

    def at_once() -> None:
        append(path, "1\n2\n")()
        path.rename(tmp_path / "log.1")
        append(path, "3\n")()

    assert followed(path, Writer(at_once, append(path, "4\n"))) == ["1\n", "2\n", "3\n", "4\n"]


def test_a_log_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        next(follow(tmp_path / "log"))

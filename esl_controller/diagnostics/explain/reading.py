"""The lines of a log: all that there are, or those that are being written."""

from __future__ import annotations

import gzip
import os
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO, cast

from esl_controller.diagnostics.explain.lines import LONGEST

POLL_S = 0.25


def opened(path: Path) -> BinaryIO:
    """A log for reading, also one that rotation has compressed. Raises OSError."""
    return cast(BinaryIO, gzip.open(path)) if path.suffix == ".gz" else path.open("rb")


def lines(stream: BinaryIO) -> Iterator[str]:
    """All lines of ``stream``. What is not UTF-8 is replaced, a line is cut after 8,192 bytes.
    Raises OSError."""
    try:
        yield from _lines(stream)
    except (EOFError, zlib.error):
        raise OSError(f"{stream.name}: the compressed log is damaged") from None


def _lines(stream: BinaryIO) -> Iterator[str]:
    while piece := stream.readline(LONGEST):
        begin = piece
        while not piece.endswith(b"\n") and (piece := stream.readline(LONGEST)):
            pass
        yield begin.decode(errors="replace")


def follow(path: Path, wait: Callable[[float], None] = time.sleep) -> Iterator[str]:
    """The lines that are written to ``path`` from now on, for ever, also after the log is rotated
    or emptied. Raises OSError if there is no such file."""
    stream = path.open("rb")
    try:
        stream.seek(0, os.SEEK_END)
        rest, old = b"", False
        while True:
            piece = stream.readline(LONGEST)
            if piece:
                rest = (rest + piece)[:LONGEST]
                if piece.endswith(b"\n"):
                    yield rest.decode(errors="replace")
                    rest = b""
                continue
            if old:
                stream.close()
                stream, rest, old = path.open("rb"), b"", False
                continue
            wait(POLL_S)
            # What was written before the rotation is read before the new file.
            old = _replaced(stream, path)
    finally:
        stream.close()


def _replaced(stream: BinaryIO, path: Path) -> bool:
    try:
        now = path.stat()
    except OSError:
        return False  # rotated away; the next line makes the new file
    mine = os.fstat(stream.fileno())
    return now.st_ino != mine.st_ino or now.st_size < stream.tell()

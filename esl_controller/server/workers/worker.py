"""A worker's side: it waits for its turn, and knows when its supervisor is gone."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

BEGIN = b"begin\n"
WAITS = "waits for its turn"  # a worker's status; "taking calls; web at URL" comes next
LEAVES = "takes no more calls"
_DRAIN = re.compile(rb"drain (\S+)\n")


def drain_line(limit_s: float) -> bytes:
    """What the supervisor writes so that a worker drains."""
    return f"drain {limit_s}\n".encode()


class SupervisorLine:
    """Standard input, at whose other end the supervisor is. Made by ``to_supervisor``."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader

    async def turn(self) -> bool:
        """Wait until we are to take calls. False: that will not be; the supervisor is gone, or has
        no use for us."""
        return await self._reader.readline() == BEGIN

    async def watch(self, drain: Callable[[float], object], gone: Callable[[], None]) -> None:
        """Call ``drain`` with its limit in seconds when we are told so, and ``gone`` when the
        supervisor is. Another one may be on its way, with workers of its own."""
        while line := await self._reader.readline():
            if found := _DRAIN.fullmatch(line):
                drain(float(found[1]))
        gone()


@asynccontextmanager
async def to_supervisor() -> AsyncIterator[SupervisorLine]:
    """The line, for the length of the block."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        yield SupervisorLine(reader)
    finally:
        transport.close()

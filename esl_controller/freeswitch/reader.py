"""What is read of an outbound Event Socket before Genesis parses it: limits, in linear time.

Genesis' parser has no limits, and takes quadratic time for header lines without a colon and for one
header that comes many times. Its reader loses a connection at a header line over 64 KiB, but
FreeSWITCH sends each channel variable in one line, URL-encoded: three bytes for each byte that is
no plain letter or digit (``switch_url_encode``, switch_utils.c).
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import cast

import structlog

from esl_controller.freeswitch.esl import Session

UNREADABLE = "FreeSWITCH sent bytes that are no Event Socket message"
LINE_LIMIT = 327_680
BLOCK_LIMIT = 524_288
LINES_LIMIT = 2_000
ENCODED_LIMIT = BLOCK_LIMIT // 3  # percent signs: each takes a microsecond, whatever follows it
BODY_LIMIT = 524_288

# Genesis makes a list of a header that comes twice, and fails where it looks these up. FreeSWITCH
# itself sends others twice, such as Hangup-Cause (captures/conversation.jsonl).
_ONCE = frozenset(
    {"Content-Length", "Content-Type", "Event-Name", "Event-Subclass", "Job-UUID", "Unique-ID"}
)

_CONTENT_TYPE = re.compile(rb"^Content-Type: ([!-~]+)$", re.MULTILINE)
_WITHOUT_HEADERS = frozenset({b"api/response", b"log/data", b"text/rude-rejection"})

log = structlog.stdlib.get_logger(__name__)


class Refused(ValueError):
    """A message that is beyond a limit, or that FreeSWITCH would not send."""


class BoundedReader:
    """Stands in for the ``StreamReader`` of a connection; Genesis calls two of its methods.

    The ``StreamReader`` must have been made with ``limit=BLOCK_LIMIT``. A message that is refused
    is logged, and Genesis closes the connection.
    """

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._content_type = b""

    async def readline(self) -> bytes:
        """A whole block of headers at once: so Genesis need not put it together line by line."""
        # Messages that are all there already would be read, and their events taken, in one go,
        # while everything else waits.
        await asyncio.sleep(0)
        try:
            block = await self._reader.readuntil(b"\n\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise
            return b""  # the end, between two messages
        except asyncio.LimitOverrunError:
            raise _refused(f"headers of more than {BLOCK_LIMIT} bytes") from None
        check_headers(block)
        match = _CONTENT_TYPE.findall(block)
        self._content_type = match[0] if len(match) == 1 else b""
        return block

    async def readexactly(self, length: int) -> bytes:
        """A body."""
        if length > BODY_LIMIT:
            raise _refused(f"a body of {length} bytes; the limit is {BODY_LIMIT}")
        body = await self._reader.readexactly(length)
        headers, blank_line, _ = body.partition(b"\n\n")
        is_event = self._content_type == b"text/event-plain" or blank_line
        if is_event and self._content_type not in _WITHOUT_HEADERS:
            check_headers(headers)
        return body


def check_headers(block: bytes) -> None:
    """Raise Refused, and log it, unless Genesis parses ``block`` in linear time."""
    try:
        lines = block.decode().splitlines()  # as Genesis does, also at \v and the like
    except UnicodeDecodeError:
        raise _refused("headers that are no UTF-8") from None
    if len(lines) > LINES_LIMIT:
        raise _refused(f"{len(lines)} headers; the limit is {LINES_LIMIT}")
    if (encoded := block.count(b"%")) > ENCODED_LIMIT:
        raise _refused(f"{encoded} percent signs; the limit is {ENCODED_LIMIT}")
    seen = set()
    for line in lines:
        name = line.partition(":")[0]
        if name in _ONCE and name in seen:
            raise _refused(f"the header {name} twice")
        seen.add(name)
        if len(line) > LINE_LIMIT:
            raise _refused(f"a header of {len(line)} characters; the limit is {LINE_LIMIT}")
        if line and ": " not in line:
            raise _refused("a header line without a colon")


@contextlib.asynccontextmanager
async def bounded_session(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> AsyncIterator[Session]:
    """Genesis' session over a connection that was accepted with ``limit=BLOCK_LIMIT``; it is closed
    at the end, or when bytes come that are no Event Socket message."""
    async with Session(cast(asyncio.StreamReader, BoundedReader(reader)), writer) as session:
        guard = asyncio.create_task(_stop_when_unreadable(session))
        try:
            yield session
        finally:
            guard.cancel()
            await asyncio.gather(guard, return_exceptions=True)


async def _stop_when_unreadable(session: Session) -> None:
    """Close the connection when bytes come that are no Event Socket message.

    Genesis' reader stops at them without telling anyone: commands would wait for replies in vain.
    """
    reader = session.producer
    assert reader is not None
    await asyncio.wait([reader])
    if not reader.cancelled() and (error := reader.exception()) is not None:
        log.warning(UNREADABLE, stranger=True, reason=str(error))
        await session.stop()


def _refused(reason: str) -> Refused:
    log.warning(UNREADABLE, stranger=True, reason=reason)
    return Refused(reason)

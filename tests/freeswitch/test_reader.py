"""Limits in front of Genesis' parser: at, below and above each; and no more time than it takes."""

from __future__ import annotations

import asyncio
import time
from urllib.parse import quote

import pytest
from structlog.testing import capture_logs

from esl_controller.freeswitch.esl import CommandStage, ConnectionLost
from esl_controller.freeswitch.reader import (
    BLOCK_LIMIT,
    BODY_LIMIT,
    ENCODED_LIMIT,
    LINE_LIMIT,
    LINES_LIMIT,
    BoundedReader,
    Refused,
    bounded_session,
    check_headers,
)
from esl_controller.freeswitch.wire import SwitchError
from tests.calls.rig import rig
from tests.freeswitch.peer import OK, UUID, dialled, messages, pair
from tests.waiting import until

EVENT = b"Content-Type: text/event-plain\n"
AT_LIMITS_S = 0.4  # of CPU for one message; it takes 0.15 s
PROMPT_S = 0.5  # of CPU; it took 2.1 s for 600 kB and 15 s for 1.5 MB


def fed(*parts: bytes) -> BoundedReader:
    """A reader that has these bytes, and then the end."""
    stream = asyncio.StreamReader(limit=BLOCK_LIMIT)
    for part in parts:
        stream.feed_data(part)
    stream.feed_eof()
    return BoundedReader(stream)


def block_of(size: int) -> bytes:
    """A block of headers with so many bytes, in lines that are within their limit."""
    line = b"variable_x: " + b"y" * 1000 + b"\n"
    full, rest = divmod(size - 1, len(line))
    return line * (full - 1) + b"z: " + b"y" * (rest + len(line) - 4) + b"\n\n"


@pytest.mark.parametrize("size", [BLOCK_LIMIT - 1, BLOCK_LIMIT])
async def test_a_block_within_its_limit(size: int) -> None:
    block = block_of(size)
    assert len(block) == size
    assert await fed(block, OK).readline() == block


@pytest.mark.parametrize("size", [BLOCK_LIMIT + 3, 1_500_000])
async def test_a_block_beyond_its_limit(size: int) -> None:
    with capture_logs() as logs, pytest.raises(Refused, match="more than 524288 bytes"):
        await fed(block_of(size)).readline()
    assert [line["log_level"] for line in logs] == ["warning"]


@pytest.mark.parametrize("length", [LINE_LIMIT - 1, LINE_LIMIT])
def test_a_header_within_its_limit(length: int) -> None:
    check_headers(b"v: ".ljust(length, b"y") + b"\n\n")


def test_a_header_beyond_its_limit() -> None:
    with pytest.raises(Refused, match="a header of 327681 characters"):
        check_headers(b"v: ".ljust(LINE_LIMIT + 1, b"y") + b"\n\n")


@pytest.mark.parametrize("count", [LINES_LIMIT - 1, LINES_LIMIT])
def test_headers_within_their_number(count: int) -> None:
    check_headers(b"v: y\n" * count)


def test_more_headers_than_their_number() -> None:
    with pytest.raises(Refused, match="2001 headers"):
        check_headers(b"v: y\n" * (LINES_LIMIT + 1))


@pytest.mark.parametrize("line", [b"HTTP/1.1 400 Bad Request", b"a: b\x0bc", b"a: b\xc2\x85c"])
def test_what_genesis_takes_for_the_rest_of_a_value(line: bytes) -> None:
    with pytest.raises(Refused, match="without a colon"):
        check_headers(b"a: b\n" + line + b"\n\n")


@pytest.mark.parametrize("length", [BODY_LIMIT - 1, BODY_LIMIT])
async def test_a_body_within_its_limit(length: int) -> None:
    assert len(await fed(bytes(length)).readexactly(length)) == length


async def test_a_body_beyond_its_limit_is_refused_before_it_comes() -> None:
    with pytest.raises(Refused, match="a body of 524289 bytes"):
        await fed().readexactly(BODY_LIMIT + 1)


async def test_the_headers_of_an_event_are_in_its_body() -> None:
    reader = fed(EVENT + b"\n", b"a\n" * 9)
    await reader.readline()
    with pytest.raises(Refused, match="without a colon"):
        await reader.readexactly(18)
    answer = fed(b"Content-Type: api/response\n\n", b"-ERR no\n\nsuch thing")
    await answer.readline()
    assert await answer.readexactly(19) == b"-ERR no\n\nsuch thing"


@pytest.mark.parametrize(
    "hostile",
    [
        b"Content-Type: command/reply\n" + b"x\n" * 300_000,
        b"Content-Type: command/reply\n" + b"x: y\n" * 120_000,
        b"Content-Type: command/reply\n" + b"v: " + b"%41" * 500_000,
        b"x" * 1_500_000,
        b"Content-Type: command/reply\nContent-Length: 999999999\n\n",
        b"Content-Type: command/reply\nContent%2DLength: 999999999\n\n",
        b"Content-Type: command/reply\nContent-Length: " + b"9" * 5000 + b"\n\n",
        EVENT + b"Content-Length: 400000\n\n" + b"x\n" * 200_000,
    ],
)
async def test_hostile_bytes_cost_the_connection_and_no_time(hostile: bytes) -> None:
    async with pair() as (switch, peer):
        began = time.process_time()
        connecting = asyncio.ensure_future(switch.connect())
        for _ in range(4):
            await peer.command()
        peer.writer.write(hostile + b"\n\n")
        with pytest.raises(SwitchError):
            await connecting
        assert time.process_time() - began < PROMPT_S


def filled(first: bytes, most: int, name: bytes, value: bytes) -> bytes:
    """Headers that begin with ``first``, up to the limits, or ``most`` more: as long as they may
    be, of ``value`` again and again. ``{}`` in the ``name`` is their number."""
    count = min(most, LINES_LIMIT - 1 - first.count(b"\n"))
    room = (BLOCK_LIMIT - len(first) - 1) // count - len(name + b"1234: \n")
    lines = (name.replace(b"{}", b"%d" % number) + b": " for number in range(count))
    block = first + b"".join(line + value * (room // len(value)) + b"\n" for line in lines) + b"\n"
    assert BLOCK_LIMIT * 0.8 < len(block) <= BLOCK_LIMIT
    return block


AT_LIMITS = {
    "equal headers": (LINES_LIMIT, b"variable_x", b"y"),
    "different ones": (LINES_LIMIT, b"variable_{}", b"y"),
    "values that are all encoded": (LINES_LIMIT, b"variable_{}", b"%C3%A4"),
    "two such values": (2, b"variable_{}", b"%C3%A4"),
    "colons": (LINES_LIMIT, b"variable_{}", b": "),
}


@pytest.mark.parametrize(("most", "name", "value"), AT_LIMITS.values(), ids=AT_LIMITS)
async def test_what_is_just_within_the_limits_is_taken_in_time(
    most: int, name: bytes, value: bytes
) -> None:
    first, *_ = messages("conversation")
    async with pair() as (switch, peer):
        connecting = asyncio.ensure_future(switch.connect())
        for _ in range(4):
            await peer.command()
        connect = filled(first.rstrip(b"\n") + b"\n", most, name, value)
        others = b"Event-Name: CHANNEL_HANGUP\nUnique-ID: another\n"
        event = filled(others, most, name, value)
        began = time.thread_time()
        peer.writer.write(connect + OK * 3)
        assert (await connecting).uuid == UUID
        assert time.thread_time() - began < AT_LIMITS_S
        began = time.thread_time()
        peer.writer.write(EVENT + b"Content-Length: %d\n\n" % len(event) + event)
        await until(lambda: switch.dropped == 1)
        assert time.thread_time() - began < AT_LIMITS_S


def test_more_percent_signs_than_freeswitch_encodes() -> None:
    check_headers(b"v: " + b"%" * ENCODED_LIMIT + b"\n")
    with pytest.raises(Refused, match="174763 percent signs"):
        check_headers(b"v: " + b"%" * (ENCODED_LIMIT + 1) + b"\n")


async def test_a_session_ends_at_what_genesis_cannot_read() -> None:
    """Its reader would stop without a word, and commands would wait for their replies."""
    async with dialled() as (reader, writer, peer), bounded_session(reader, writer) as session:
        with capture_logs() as logs:
            peer.writer.write(b"Content-Type: a/b\nContent-Length: x\n\n")
            async with asyncio.timeout(1):
                with pytest.raises(ConnectionLost):
                    await session.wait_lost(CommandStage.ACCEPTED)
        assert [line["event"] for line in logs] == [
            "FreeSWITCH sent bytes that are no Event Socket message"
        ]


async def test_a_call_with_a_variable_of_100_kilobytes_is_taken() -> None:
    value = "{ä:1}" * 20_000
    line = f"variable_notes: {quote(value)}\n".encode()
    assert len(line) > 300_000
    first, *_ = messages("conversation")
    async with rig() as of:
        reader, writer = await asyncio.open_connection("127.0.0.1", of.controller.calls.port)
        writer.write(line.join(first.split(b"\n", 1)).replace(line, b"\n" + line, 1) + OK * 3)
        for _ in range(5):  # of connect; then it answers the call
            await reader.readuntil(b"\n\n")
        session = of.controller.calls.calls[UUID]
        assert session.channel.variables["notes"] == value
        writer.close()
        await writer.wait_closed()
        await of.no_calls()


@pytest.mark.parametrize("name", ["Event-Name", "Unique-ID", "Content-Length"])
def test_what_an_event_is_told_by_comes_once(name: str) -> None:
    check_headers(b"Hangup-Cause: A\nHangup-Cause: B\n" + f"{name}: 1\n".encode())
    with pytest.raises(Refused, match=f"the header {name} twice"):
        check_headers(f"{name}: 1\nA: 2\n{name}: 1\n".encode())

"""What a socket brings, in pieces of any size, cut into frames."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.utils import apply_mask as slow_mask

from media.websocket import BINARY, MASKED, TEXT, FrameCutter, apply_mask

PING, FRAGMENT = 0x89, 0x02
SIZES = (0, 1, 125, 126, 127, 640, 65535, 65536, 70_000)
KEY = b"\x11\x22\x33\x44"


def frame(first: int, payload: bytes, key: bytes = KEY) -> bytes:
    """A frame as a client sends it; as a server does, without a ``key``."""
    mask, size = MASKED if key else 0, len(payload)
    if size < 126:
        head = struct.pack("!BB", first, mask | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", first, mask | 126, size)
    else:
        head = struct.pack("!BBQ", first, mask | 127, size)
    return head + key + (slow_mask(payload, key) if key else payload)


class Cut:
    """What came of it: messages and what the library got, in one order."""

    def __init__(self, *, masked: bool, limit: float = 100_000) -> None:
        self.messages: list[bytes] = []
        self.passed_on: list[bytes] = []
        self.cutter = FrameCutter(BINARY, limit, self.passed_on.append, masked=masked)
        self.cutter.on_message = self.messages.append


def pieces(data: bytes, cuts: list[int]) -> list[bytes]:
    at = [0, *sorted(cut % (len(data) + 1) for cut in cuts), len(data)]
    return [data[a:b] for a, b in pairwise(at)]


@given(
    st.lists(
        st.tuples(st.sampled_from((BINARY, TEXT, PING, FRAGMENT)), st.sampled_from(SIZES)),
        max_size=8,
    ),
    st.lists(st.integers(0, 1 << 20), max_size=12),
    st.booleans(),
)
def test_messages_of_its_kind_are_handed_over_and_all_others_as_they_came(
    frames: list[tuple[int, int]], cuts: list[int], masked: bool
) -> None:
    key = KEY if masked else b""
    payloads = [
        (first, bytes(range(256)) * (size // 256) + bytes(size % 256)) for first, size in frames
    ]
    cut = Cut(masked=masked)
    whole = b"".join(frame(first, payload, key) for first, payload in payloads)
    for piece in pieces(whole, cuts):
        assert cut.cutter.feed(piece) == b""
    assert cut.messages == [payload for first, payload in payloads if first == BINARY]
    assert cut.passed_on == [frame(f, payload, key) for f, payload in payloads if f != BINARY]
    assert not cut.cutter.in_frame


def test_a_frame_of_one_byte_at_a_time() -> None:
    cut, whole = Cut(masked=True), frame(BINARY, b"x" * 300)
    for at, byte in enumerate(whole):
        assert cut.cutter.in_frame is (at > 0)
        cut.cutter.feed(bytes((byte,)))
    assert cut.messages == [b"x" * 300]


@pytest.mark.parametrize(
    "wrong",
    [
        frame(BINARY, b"not masked", b""),
        frame(BINARY, bytes(1001)),
        struct.pack("!BBQ", BINARY, MASKED | 127, 1 << 63),
    ],
    ids=["not masked", "too long", "endless"],
)
def test_what_the_library_has_to_refuse_goes_there_with_all_that_follows(wrong: bytes) -> None:
    cut = Cut(masked=True, limit=1000)
    after = frame(BINARY, b"after")
    cut.cutter.feed(frame(BINARY, b"before") + wrong + after)
    cut.cutter.feed(after)
    assert cut.messages == [b"before"]
    assert cut.passed_on == [wrong + after, after]


def test_a_masked_frame_of_a_server_is_for_the_library() -> None:
    cut = Cut(masked=False)
    cut.cutter.feed(frame(BINARY, b"masked"))
    assert cut.messages == []
    assert cut.passed_on == [frame(BINARY, b"masked")]


def test_once_stopped_it_passes_everything_on_what_has_begun_included() -> None:
    cut, whole = Cut(masked=True), frame(BINARY, b"audio")
    cut.cutter.feed(whole[:4])
    cut.cutter.stop()
    cut.cutter.feed(whole[4:] + whole)
    assert cut.messages == []
    assert b"".join(cut.passed_on) == whole + whole


def test_stopped_within_a_message_the_rest_is_the_librarys() -> None:
    cut, whole = Cut(masked=True), frame(BINARY, b"audio")
    cut.cutter.on_message = lambda message: cut.cutter.stop()
    cut.cutter.feed(whole + whole)
    assert cut.passed_on == [whole]


def test_nobody_wants_the_messages() -> None:
    cut, whole = Cut(masked=True), frame(BINARY, b"audio")
    cut.cutter.on_message = None
    cut.cutter.feed(whole[:4])
    cut.cutter.feed(whole[4:])
    assert cut.passed_on == [whole]


def test_what_takes_too_long_is_returned_frame_by_frame() -> None:
    cut = Cut(masked=True)
    left = b"".join(frame(BINARY, b"%d" % number) for number in range(5))
    turns = 0
    while left:
        left = cut.cutter.feed(left, turn_s=-1.0)
        turns += 1
        assert len(cut.messages) == turns, "one is handed over in any case"
    assert cut.messages == [b"0", b"1", b"2", b"3", b"4"]


@given(st.binary(max_size=3000), st.binary(min_size=4, max_size=4))
def test_the_fast_mask_is_the_slow_one(data: bytes, key: bytes) -> None:
    assert apply_mask(data, key) == slow_mask(data, key)

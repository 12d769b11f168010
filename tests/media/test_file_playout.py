"""The playout of files: items in order, at most two files out, and bounds on what was heard."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.file_playout import FIRST_MS, LATER_MS, LONGEST_MS, FilePlayout, Segment
from media.playout import CutOff, Finished, Started

MS = b"\x01\x00" * 8  # a millisecond at 8 kHz


def _next(playout: FilePlayout) -> Segment:
    segment = playout.next_segment()
    assert segment is not None
    return segment


def _ms(segment: Segment) -> int:
    return len(segment.data) // len(MS)


def _events(playout: FilePlayout) -> list[Started | Finished]:
    events = list(playout.events)
    playout.events.clear()
    return events


def test_the_first_segment_is_short_and_the_next_is_long() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * (FIRST_MS - 1))
    assert playout.next_segment() is None
    playout.push("a", MS)
    assert _ms(_next(playout)) == FIRST_MS
    playout.push("a", MS * (LATER_MS - 1))
    assert playout.next_segment() is None
    playout.push("a", MS)
    assert _ms(_next(playout)) == LATER_MS


def test_with_nothing_out_a_short_one_is_enough_again() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * FIRST_MS)
    playout.played(_next(playout), 1.0)
    playout.push("a", MS * FIRST_MS)
    assert _ms(_next(playout)) == FIRST_MS


def test_what_is_complete_is_given_out_however_short() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * 5)
    assert playout.next_segment() is None
    playout.complete("a")
    assert _ms(_next(playout)) == 5
    assert playout.next_segment() is None


def test_a_segment_has_a_longest_length() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * (LONGEST_MS + LATER_MS))
    assert [_ms(_next(playout)), _ms(_next(playout))] == [LONGEST_MS, LATER_MS]


def test_two_are_outstanding_at_most() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * LONGEST_MS * 4)
    out = [_next(playout) for _ in range(2)]
    assert playout.next_segment() is None
    playout.played(out[0], 1.0)
    assert playout.next_segment() is not None
    assert playout.next_segment() is None


def test_items_do_not_overtake() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * FIRST_MS)
    playout.push("b", MS * LATER_MS)
    playout.complete("b")
    assert _next(playout).item == "a"
    assert playout.next_segment() is None  # more of a may come
    playout.complete("a")
    assert _next(playout).item == "b"


def test_started_and_finished_once_an_item() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * LONGEST_MS * 3)
    playout.complete("a")
    seen: list[Started | Finished] = []
    now = 0.0
    while (segment := playout.next_segment()) is not None:
        playout.playing(segment, now)
        now += _ms(segment) / 1000
        seen += _events(playout)
        playout.played(segment, now)
        seen += _events(playout)
    assert seen == [Started("a"), Finished("a", LONGEST_MS * 3)]
    assert not playout.speaking


def test_started_once_where_a_file_begins_before_the_end_of_another_is_told() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * LONGEST_MS * 2)
    first, second = _next(playout), _next(playout)
    playout.playing(first, 0.0)
    playout.playing(second, 8.0)
    assert _events(playout) == [Started("a")]


def test_started_where_the_first_file_could_not_be_played() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * LONGEST_MS * 2)
    first, second = _next(playout), _next(playout)
    playout.played(first, 0.0)
    playout.playing(second, 0.1)
    assert _events(playout) == [Started("a")]


def test_complete_after_the_last_file_ended_finishes_the_item() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * FIRST_MS)
    segment = _next(playout)
    playout.playing(segment, 0.0)
    playout.played(segment, 0.24)
    assert _events(playout) == [Started("a")]
    assert playout.speaking
    playout.complete("a")
    assert _events(playout) == [Finished("a", FIRST_MS)]
    assert not playout.speaking
    assert not playout.wants("a")


def test_heard_is_bounded_by_the_clock_and_by_the_file() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * (FIRST_MS + 8))
    first = _next(playout)
    assert playout.heard_ms("a", 5.0) == 0  # the switch has it, but does not play it yet
    playout.playing(first, 5.0)
    assert playout.heard_ms("a", 4.9) == 0
    assert playout.heard_ms("a", 5.125) == 125
    assert playout.heard_ms("a", 9.0) == FIRST_MS + 8
    playout.played(first, 5.125)  # the event counts, not the clock
    assert playout.heard_ms("a", 5.125) == FIRST_MS + 8
    assert playout.heard_ms("b", 5.125) == 0


def test_flush_tells_what_was_heard_and_drops_the_rest() -> None:
    playout = FilePlayout(8000)
    playout.push("a", MS * FIRST_MS)
    playout.complete("a")
    playout.push("b", MS * 300)
    playout.complete("b")
    playout.push("c", MS * LATER_MS)
    first, second = _next(playout), _next(playout)
    playout.playing(first, 0.0)
    playout.played(first, 0.24)
    assert _next(playout).item == "c"
    playout.playing(second, 0.25)
    _events(playout)
    assert playout.flush(0.375) == [CutOff("b", 125), CutOff("c", 0)]
    assert not playout.speaking
    assert playout.next_segment() is None
    playout.played(second, 0.36)  # a late event of FreeSWITCH
    playout.playing(second, 0.36)
    for item in "abc":
        assert not playout.wants(item)
        playout.push(item, MS * LATER_MS)
        playout.complete(item)
    assert playout.next_segment() is None
    assert _events(playout) == []
    playout.push("d", MS * FIRST_MS)
    assert _next(playout).item == "d"


def test_the_unknown_is_ignored() -> None:
    playout = FilePlayout(8000)
    stranger = Segment("a", MS * 10)
    playout.push("a", MS * FIRST_MS)
    playout.playing(stranger, 0.0)
    playout.played(stranger, 0.1)
    playout.complete("nobody")
    assert stranger.started is None
    assert playout.heard_ms("a", 1.0) == 0
    assert _events(playout) == []
    segment = _next(playout)
    playout.played(segment, 0.2)
    playout.played(segment, 0.2)  # reported twice, counted once
    assert playout.heard_ms("a", 1.0) == FIRST_MS


def test_the_limit_drops_what_comes_on_top_and_counts_it() -> None:
    playout = FilePlayout(8000, limit_ms=300)
    playout.push("a", MS * 290)
    playout.push("b", MS * 25)
    assert playout.dropped_ms == 15
    assert _ms(_next(playout)) == 290
    playout.push("b", MS * 25)  # segments at the switch do not count
    assert playout.dropped_ms == 15


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("push"), st.sampled_from("ab"), st.integers(1, 3000)),
            st.tuples(st.just("complete"), st.sampled_from("ab"), st.just(0)),
            st.tuples(st.just("give"), st.just(""), st.just(0)),
            st.tuples(st.just("played"), st.just(""), st.just(0)),
        ),
        max_size=60,
    )
)
@pytest.mark.parametrize("rate", [8000, 16000])
def test_every_sample_goes_out_once_and_in_order(
    rate: int, steps: list[tuple[str, str, int]]
) -> None:
    playout = FilePlayout(rate)
    pushed: dict[str, bytes] = {}
    given: dict[str, bytes] = {}
    out: list[Segment] = []
    now = counter = 0
    for step, item, ms in [*steps, *[("complete", item, 0) for item in "ab"]]:
        now += 1
        if step == "push" and playout.wants(item):
            counter += 1
            data = counter.to_bytes(2, "little") * (ms * rate // 1000)
            pushed[item] = pushed.get(item, b"") + data
            playout.push(item, data)
        elif step == "complete":
            playout.complete(item)
        elif step == "give":
            _give(playout, given, out)
        elif step == "played" and out:
            playout.playing(out[0], now)
            playout.played(out.pop(0), now + 1)
        assert len(out) <= 2
    while playout.speaking:
        _give(playout, given, out)
        playout.playing(out[0], now)
        playout.played(out.pop(0), now + 1)
    assert given == pushed
    assert list(given) == list(pushed)  # in the order of their first audio
    events = list(playout.events)
    for item, data in pushed.items():
        finished = Finished(item, len(data) * 1000 // (2 * rate))
        assert [event for event in events if event.item == item] == [Started(item), finished]


def _give(playout: FilePlayout, given: dict[str, bytes], out: list[Segment]) -> None:
    segment = playout.next_segment()
    if segment is not None:
        given[segment.item] = given.get(segment.item, b"") + segment.data
        out.append(segment)


def test_a_hold_hands_out_again_what_was_not_played() -> None:
    playout = FilePlayout(8000)
    playout.push("a", b"".join(bytes([n % 251, 0]) * 8 for n in range(3000)))
    playout.complete("a")
    first = _next(playout)
    playout.playing(first, 10.0)
    playout.hold(11.0)
    assert playout.heard(11.0) == [CutOff("a", 1000)]
    assert playout.next_segment() is None
    playout.played(first, 11.1)
    assert playout.heard_ms("a", 12.0) == 1000, "the file that was stopped counts no more"
    playout.unhold()
    rest = _next(playout)
    assert rest.data == first.data[1000 * 16 :]
    playout.playing(rest, 20.0)
    playout.played(rest, 22.0)
    assert _events(playout)[-1] == Finished("a", 3000)

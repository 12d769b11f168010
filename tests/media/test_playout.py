"""The playout: nothing is lost or doubled, and what was heard is exact."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from media.playout import LOST_MS, CutOff, Finished, Playout, Started

MS = b"\x01\x00" * 8  # a millisecond at 8 kHz
FRAME = MS * 20
SILENCE = bytes(320)


def _events(playout: Playout) -> list[Started | Finished]:
    events = list(playout.events)
    playout.events.clear()
    return events


# --- one thing at a time --------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 32000, 48000])
def test_silence_is_a_whole_frame_of_any_rate(rate: int) -> None:
    playout = Playout(rate)
    assert playout.pop() == bytes(rate // 50 * 2)
    assert not playout.speaking
    assert not playout.events
    assert playout.gaps == 0


def test_an_item_from_its_first_to_its_last_sample() -> None:
    playout = Playout(8000)
    playout.push("a", MS * 50)
    playout.complete("a")
    assert playout.waiting_ms == 50
    assert [playout.pop(), playout.pop()] == [FRAME, FRAME]
    assert _events(playout) == [Started("a")]
    assert playout.pop() == MS * 10 + bytes(160)
    assert playout.speaking  # its last frame has only just been sent
    assert _events(playout) == []
    assert playout.pop() == SILENCE
    assert _events(playout) == [Finished("a", 50)]
    assert not playout.speaking
    assert playout.waiting_ms == 0
    assert playout.pop() == SILENCE
    assert _events(playout) == []


def test_the_next_item_follows_without_a_frame_of_silence() -> None:
    playout = Playout(8000)
    for item in ("a", "b"):
        playout.push(item, FRAME)
        playout.complete(item)
    assert [playout.pop(), playout.pop(), playout.pop()] == [FRAME, FRAME, SILENCE]
    assert _events(playout) == [Started("a"), Finished("a", 20), Started("b"), Finished("b", 20)]


def test_items_play_in_the_order_of_their_first_audio() -> None:
    playout = Playout(8000)
    playout.push("b", b"bb" * 160)
    playout.push("a", b"aa" * 160)
    playout.push("b", b"BB" * 160)
    playout.complete("a")
    playout.complete("b")
    assert [playout.pop() for _ in range(3)] == [b"bb" * 160, b"BB" * 160, b"aa" * 160]


def test_a_part_frame_waits_for_its_rest() -> None:
    playout = Playout(8000)
    playout.push("a", MS * 19)
    assert playout.pop() == SILENCE
    playout.push("a", MS)
    assert playout.pop() == FRAME


def test_silence_in_the_middle_of_an_item_is_a_gap() -> None:
    playout = Playout(8000)
    playout.push("a", b"")
    playout.pop()
    assert playout.gaps == 0  # it has not begun
    playout.push("a", FRAME + MS)
    assert [playout.pop() for _ in range(3)] == [FRAME, SILENCE, SILENCE]
    assert playout.gaps == 2
    playout.pause()
    playout.pop()
    playout.unpause()
    assert playout.gaps == 2  # a pause is not a gap
    playout.complete("a")
    playout.pop()
    playout.pop()
    assert playout.gaps == 2  # nor is the end of an item


def test_pause_is_silent_at_once_and_resume_goes_on_at_the_same_sample() -> None:
    playout = Playout(8000)
    playout.push("a", b"11" * 160 + b"22" * 160)
    assert playout.pop() == b"11" * 160
    playout.pause()
    assert [playout.pop(), playout.pop()] == [SILENCE, SILENCE]
    assert playout.speaking
    assert playout.heard_ms("a") == 20
    playout.unpause()
    assert playout.pop() == b"22" * 160


def test_flush_tells_what_was_heard_of_every_item() -> None:
    playout = Playout(8000)
    playout.push("a", FRAME * 3)
    playout.push("b", FRAME)
    playout.pop()
    playout.pause()
    assert playout.flush() == [CutOff("a", 20), CutOff("b", 0)]
    assert not playout.speaking
    assert not playout.paused
    assert playout.waiting_ms == 0
    assert playout.flush() == []
    assert playout.pop() == SILENCE
    assert _events(playout) == [Started("a")]  # nothing finished


def test_late_audio_of_what_is_over_is_dropped() -> None:
    playout = Playout(8000)
    playout.push("flushed", FRAME)
    playout.flush()
    playout.push("finished", FRAME)
    playout.complete("finished")
    playout.pop()
    playout.pop()
    _events(playout)
    for item in ("flushed", "finished"):
        assert not playout.wants(item)
        playout.push(item, FRAME)
        playout.complete(item)
    assert playout.wants("new")
    assert not playout.speaking
    assert playout.pop() == SILENCE
    assert _events(playout) == []
    assert playout.dropped_ms == 0  # that counts only what did not fit


def test_the_limit_drops_what_comes_on_top_and_counts_it() -> None:
    playout = Playout(8000, limit_ms=100)
    playout.push("a", MS * 90)
    playout.push("a", b"zz" * 8 * 25)
    assert playout.dropped_ms == 15
    assert playout.waiting_ms == 100
    playout.push("b", FRAME)
    assert playout.dropped_ms == 35
    playout.pop()
    playout.push("b", FRAME)  # there is room again
    playout.complete("a")
    assert [playout.pop() for _ in range(5)] == [
        FRAME,
        FRAME,
        FRAME,
        MS * 10 + b"zz" * 80,
        FRAME,
    ]


def test_heard_is_in_whole_milliseconds() -> None:
    playout = Playout(16000)
    playout.push("a", b"\0\0" * 170)  # 10.6 ms
    playout.complete("a")
    playout.pop()
    assert playout.heard_ms("a") == 10
    playout.pop()
    assert _events(playout) == [Started("a"), Finished("a", 10)]
    assert playout.heard_ms("a") == 0  # it is over


def test_completing_the_unknown_is_nothing() -> None:
    playout = Playout(8000)
    playout.complete("nobody")
    assert not playout.speaking
    assert playout.heard_ms("nobody") == 0


# --- any order of calls ---------------------------------------------------------------------------


@dataclass
class Spoken:
    """What was put into an item, and what came out."""

    name: str
    pushed: bytearray = field(default_factory=bytearray)
    heard: int = 0  # bytes
    complete: bool = False
    events: list[str] = field(default_factory=list)


class PlayoutMachine(RuleBasedStateMachine):
    """Pushes numbered samples, by any order of calls, and accounts for each of them."""

    names = st.sampled_from("abcd")

    @initialize(rate=st.sampled_from([8000, 16000, 48000]))
    def start(self, rate: int) -> None:
        self.playout = Playout(rate, limit_ms=200)
        self.size = rate // 50 * 2
        self.live: deque[Spoken] = deque()
        self.over: set[str] = set()
        self.generation = 0
        self.counter = 0
        self.gaps = 0
        self.dropped = 0.0

    def _name(self, letter: str) -> str:
        return f"{letter}{self.generation}"

    def _find(self, name: str) -> Spoken | None:
        return next((item for item in self.live if item.name == name), None)

    def _waiting(self) -> int:
        return sum(len(item.pushed) - item.heard for item in self.live)

    @rule(letter=names, ms=st.floats(0, 90))
    def push(self, letter: str, ms: float) -> None:
        count = int(self.playout.format.rate * ms / 1000)
        data = b"".join(
            (self.counter + i & 0x7FFF | 1).to_bytes(2, "little") for i in range(count)
        )  # never silent
        self.counter += count
        name = self._name(letter)
        self.playout.push(name, data)
        if name in self.over:
            return
        room = self.size * 10 - self._waiting()
        self.dropped += self.playout.format.ms(max(0, len(data) - room))
        item = self._find(name)
        if item is None:
            item = Spoken(name)
            self.live.append(item)
        item.pushed += data[:room]

    @rule(letter=names)
    def complete(self, letter: str) -> None:
        self.playout.complete(self._name(letter))
        item = self._find(self._name(letter))
        if item is not None:
            item.complete = True

    @rule(times=st.integers(1, 6))
    def pop(self, times: int) -> None:
        for _ in range(times):
            frame = self.playout.pop()
            assert len(frame) == self.size
            assert frame == self._expected()

    def _expected(self) -> bytes:
        """The frame that must come now, computed from all that was pushed."""
        if self.playout.paused:
            return bytes(self.size)
        while self.live:
            item = self.live[0]
            rest = item.pushed[item.heard : item.heard + self.size]
            if len(rest) == self.size or (rest and item.complete):
                if not item.heard:
                    self._event(Started(item.name))
                item.heard += len(rest)
                return bytes(rest).ljust(self.size, b"\0")
            if not item.complete:
                self.gaps += item.heard > 0
                break
            self.live.popleft()
            self.over.add(item.name)
            self._event(Finished(item.name, item.heard * 1000 // (2 * self.playout.format.rate)))
        return bytes(self.size)

    def _event(self, event: Started | Finished) -> None:
        assert self.playout.events.popleft() == event

    @rule()
    def pause(self) -> None:
        self.playout.pause()

    @rule()
    def resume(self) -> None:
        self.playout.unpause()

    @rule()
    @precondition(lambda self: len(self.live) > 0)
    def flush(self) -> None:
        expected = [
            CutOff(item.name, item.heard * 1000 // (2 * self.playout.format.rate))
            for item in self.live
        ]
        assert self.playout.flush() == expected
        self.over.update(item.name for item in self.live)
        self.live.clear()

    @rule()
    def new_names(self) -> None:
        self.generation += 1

    @invariant()
    def accounts(self) -> None:
        assert not self.playout.events  # none but those expected, each once
        assert self.playout.speaking == bool(self.live)
        assert self.playout.waiting_ms == self.playout.format.ms(self._waiting())
        assert self.playout.gaps == self.gaps
        assert self.playout.dropped_ms == pytest.approx(self.dropped)
        for item in self.live:
            heard = item.heard * 1000 // (2 * self.playout.format.rate)
            assert self.playout.heard_ms(item.name) == heard


TestPlayout = PlayoutMachine.TestCase
TestPlayout.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


# --- nobody hears us ------------------------------------------------------------------------------


def test_a_hold_takes_back_what_was_sent_before_we_knew_of_it() -> None:
    playout = Playout(8000)
    frames = [bytes([n]) * 320 for n in range(1, 6)]
    playout.push("a", b"".join(frames))
    playout.complete("a")
    assert [playout.pop() for _ in range(3)] == frames[:3]
    playout.hold()
    assert playout.heard() == [CutOff("a", 20)]
    assert playout.waiting_ms == 80
    assert [playout.pop() for _ in range(50)] == [SILENCE] * 50
    playout.hold()
    playout.unhold()
    assert [playout.pop() for _ in range(4)] == frames[1:]
    playout.pop()
    assert _events(playout)[-1] == Finished("a", 100)


def test_of_a_hold_in_a_silence_nothing_is_taken_back() -> None:
    playout = Playout(8000)
    playout.push("a", FRAME * 2)
    playout.pop()
    playout.pause()
    playout.pop()
    playout.pop()
    playout.hold()
    assert playout.heard_ms("a") == 20
    playout.unhold()
    assert playout.pop() == SILENCE, "a pause is not ended by a hold"


def test_a_last_frame_that_is_not_full_is_taken_back_as_it_was() -> None:
    playout = Playout(8000)
    playout.push("a", MS * 30)
    playout.complete("a")
    playout.pop()
    playout.pop()
    playout.take_back(40)
    assert playout.heard_ms("a") == 0
    assert playout.waiting_ms == 30
    assert playout.pop() + playout.pop() == MS * 30 + bytes(160)
    playout.pop()
    assert _events(playout)[-1] == Finished("a", 30)


@pytest.mark.parametrize("frame_ms", [10, 20, 30, 60])
def test_another_packet_time_loses_nothing(frame_ms: int) -> None:
    playout = Playout(8000)
    speech = b"".join(bytes([n, 0]) * 8 for n in range(1, 131))  # 130 ms
    playout.push("a", speech)
    heard = playout.pop()
    playout.fit(frame_ms)
    playout.complete("a")
    assert playout.waiting_ms == 110
    while playout.speaking:
        heard += playout.pop()
    assert len(playout.silence) == 16 * frame_ms
    assert heard.rstrip(b"\0") == speech.rstrip(b"\0")
    assert _events(playout) == [Started("a"), Finished("a", 130)]


def test_an_item_that_was_taken_back_to_its_beginning_has_begun() -> None:
    playout = Playout(8000)
    playout.push("a", FRAME * 3)
    playout.push("b", FRAME)
    playout.pop()
    playout.take_back(LOST_MS)
    assert playout.heard() == [CutOff("a", 0)]
    assert playout.pop() == FRAME
    assert _events(playout) == [Started("a"), Started("a")]


def test_what_was_cut_off_is_not_taken_back() -> None:
    playout = Playout(8000)
    playout.push("a", FRAME)
    playout.pop()
    playout.flush()
    playout.take_back(LOST_MS)
    assert playout.pop() == SILENCE


@pytest.mark.parametrize("frame_ms", [10, 20, 30, 40, 60])
def test_frames_of_any_length_count_by_their_samples(frame_ms: int) -> None:
    playout = Playout(8000, frame_ms=frame_ms)
    playout.push("a", MS * 600)
    playout.complete("a")
    frames = [playout.pop() for _ in range(8)]
    assert {len(frame) for frame in frames} == {16 * frame_ms}
    assert playout.heard_ms("a") == 8 * frame_ms
    playout.take_back(LOST_MS)
    back = -(-LOST_MS // frame_ms)
    assert playout.heard_ms("a") == (8 - min(8, back)) * frame_ms
    while playout.speaking:
        playout.pop()
    assert _events(playout)[-1] == Finished("a", 600)

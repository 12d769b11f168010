"""Voice activity: real speech is found where it is; silence, noise and clicks are not speech."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media import sounds
from media.frame import FRAME_MS, Samples
from media.resample import convert
from media.voice_activity import VoiceActivity, VoiceEvent, VoiceStarted, VoiceStopped

RATE = 8000
CHANCE = np.random.default_rng(7)


def noise(ms: int, db: float, rate: int = RATE) -> Samples:
    """White noise at `db` dBFS RMS."""
    values = CHANCE.normal(0, 32768 * 10 ** (db / 20), ms * rate // 1000)
    return np.clip(values, -32768, 32767).astype(np.int16)


def silence(ms: int, rate: int = RATE) -> Samples:
    return np.zeros(ms * rate // 1000, np.int16)


def speech(name: str, rate: int = RATE, language: str = "en") -> Samples:
    samples, given_rate = sounds.load(name, language)
    return convert(samples, given_rate, rate)


def added(speech: Samples, background: Samples) -> Samples:
    total: Samples = np.clip(speech.astype(np.int32) + background, -32768, 32767).astype(np.int16)
    return total


@pytest.mark.parametrize("rate", [8000, 16000, 24000, 48000])
@pytest.mark.parametrize("language", sounds.LANGUAGES)
@pytest.mark.parametrize("name", sounds.NAMES)
@pytest.mark.parametrize("noise_db", [-90, -60, -50, -40])
def test_speech_is_one_piece(name: str, language: str, rate: int, noise_db: float) -> None:
    said = speech(name, rate, language)
    line = np.concatenate((silence(1000, rate), said, silence(1500, rate)))
    line = added(line, noise(line.size * 1000 // rate + 1, noise_db, rate)[: line.size])
    events = VoiceActivity(rate, silence_ms=500, prefix_ms=300).feed(line)
    assert [type(e) for e in events] == [VoiceStarted, VoiceStopped]
    end_ms = 1000 + said.size * 1000 // rate
    # Speech has 50 ms of silence before and 100 ms after it, and fades into noise.
    assert 1050 - 300 - 20 <= events[0].at_ms <= 1050 - 300 + 120
    assert end_ms - 100 + 500 - 250 <= events[1].at_ms <= end_ms + 500


def test_a_pause_longer_than_the_silence_ends_the_turn() -> None:
    said = speech("caller_interrupts")
    line = np.concatenate((said, silence(700), said, silence(700)))
    events = VoiceActivity(RATE, silence_ms=500).feed(line)
    assert [type(e) for e in events] == [VoiceStarted, VoiceStopped] * 2
    events = VoiceActivity(RATE, silence_ms=1200).feed(np.concatenate((line, silence(700))))
    assert [type(e) for e in events] == [VoiceStarted, VoiceStopped]


@pytest.mark.parametrize("db", [-70, -50, -40, -30, -20])
def test_steady_noise_from_the_start_is_not_speech(db: float) -> None:
    assert VoiceActivity(RATE).feed(noise(10_000, db)) == []


def test_lost_frames_do_not_make_noise_speech() -> None:
    line = noise(10_000, -40)
    for at in range(RATE * 240 // 1000, line.size, RATE // 2):
        line[at : at + RATE * FRAME_MS // 1000] = 0
    assert VoiceActivity(RATE).feed(line) == []


def test_noise_that_begins_is_soon_the_floor() -> None:
    activity = VoiceActivity(RATE)
    activity.feed(silence(2000))
    events = activity.feed(noise(8000, -40))
    assert [type(e) for e in events] == [VoiceStarted, VoiceStopped]
    assert events[1].at_ms - events[0].at_ms < 4500
    assert activity.noise_db == pytest.approx(-40, abs=2)
    events = activity.feed(added(speech("caller"), noise(5000, -40)[: speech("caller").size]))
    assert [type(e) for e in events] == [VoiceStarted]


def test_hum_offset_and_clicks_are_not_speech() -> None:
    time_s = np.arange(10 * RATE) / RATE
    hum = (400 * np.sin(2 * np.pi * 50 * time_s) + 3000).astype(np.int16)
    hum[::RATE] = 30_000
    assert VoiceActivity(RATE).feed(hum) == []


def test_quiet_speech_on_a_quiet_line() -> None:
    for lower_db, threshold, found in ((18, 0.5, 2), (18, 0.0, 2), (30, 0.0, 2), (30, 1.0, 0)):
        quiet = (speech("caller") * 10 ** (-lower_db / 20)).astype(np.int16)  # from -20 dBFS
        line = np.concatenate((silence(500), quiet, silence(1000)))
        assert len(VoiceActivity(RATE, threshold=threshold).feed(line)) == found


def test_a_start_is_told_while_the_word_is_being_said() -> None:
    activity = VoiceActivity(RATE, min_speech_ms=80)
    line = np.concatenate((silence(1000), speech("caller_interrupts")))
    for at in range(0, line.size, 160):
        if activity.feed(line[at : at + 160]):
            break
    assert activity.speaking
    assert at * 1000 // RATE <= 1000 + 50 + 160


def test_end_turn_is_silent_and_the_next_start_is_not_before_it() -> None:
    activity = VoiceActivity(RATE, prefix_ms=2000)
    said = speech("caller")
    assert len(activity.feed(said[: RATE * 2])) == 1
    activity.end_turn()
    assert not activity.speaking
    (event,) = activity.feed(said[RATE * 2 : RATE * 3])
    assert event == VoiceStarted(2000)


@pytest.mark.parametrize(
    ("rate", "wrong"),
    [
        (0, {}),
        (-8000, {}),
        (11025, {}),  # 220.5 samples in 20 ms
        (8000, {"threshold": 1.1}),
        (8000, {"threshold": float("nan")}),
        (8000, {"silence_ms": -1}),
        (8000, {"prefix_ms": -1}),
        (8000, {"min_speech_ms": -1}),
    ],
)
def test_values_out_of_range(rate: int, wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"frames at|threshold|must not be negative"):
        VoiceActivity(rate, **wrong)  # type: ignore[arg-type]


pieces = st.lists(
    st.tuples(st.integers(0, 900), st.integers(-95, -5), st.booleans()), min_size=1, max_size=8
)


def line_of(parts: list[tuple[int, int, bool]], seed: int) -> Samples:
    """Pieces of (ms, level, whether it swells and fades like syllables)."""
    chance = np.random.default_rng(seed)
    out = []
    for ms, db, syllables in parts:
        count = ms * RATE // 1000
        values = chance.normal(0, 32768 * 10 ** (db / 20), count)
        if syllables:
            values *= np.abs(np.sin(np.arange(count) * np.pi * 4 / RATE))
        out.append(np.clip(values, -32768, 32767).astype(np.int16))
    return np.concatenate(out)


@settings(deadline=None, max_examples=60)
@given(pieces, st.integers(0, 99), st.lists(st.integers(0, 700), max_size=60))
def test_chunking_never_changes_the_result(
    parts: list[tuple[int, int, bool]], seed: int, cuts: list[int]
) -> None:
    line = line_of(parts, seed)
    whole = VoiceActivity(RATE, silence_ms=200)
    expected = whole.feed(line)
    cut = VoiceActivity(RATE, silence_ms=200)
    got: list[VoiceEvent] = []
    at = 0
    for size in [*cuts, line.size]:
        got += cut.feed(line[at : at + size])
        at += size
    assert got == expected
    assert (cut.speaking, cut.noise_db) == (whole.speaking, whole.noise_db)


@settings(deadline=None, max_examples=60)
@given(pieces, st.integers(0, 99), st.integers(0, 800), st.integers(0, 800), st.integers(0, 300))
def test_events_alternate_and_never_go_back(
    parts: list[tuple[int, int, bool]], seed: int, silence_ms: int, prefix_ms: int, least_ms: int
) -> None:
    line = line_of(parts, seed)
    activity = VoiceActivity(
        RATE, silence_ms=silence_ms, prefix_ms=prefix_ms, min_speech_ms=least_ms
    )
    events = activity.feed(line)
    kinds = [type(event) for event in events]
    assert kinds == [VoiceStarted, VoiceStopped] * (len(kinds) // 2) + [VoiceStarted] * (
        len(kinds) % 2
    )
    assert activity.speaking == (len(kinds) % 2 == 1)
    times = [0, *(event.at_ms for event in events), line.size * 1000 // RATE]
    assert all(a <= b for a, b in pairwise(times))
    assert all(event.at_ms % FRAME_MS == 0 for event in events if isinstance(event, VoiceStopped))


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 5000), st.integers(-32768, 32767), st.sampled_from([8000, 16000, 48000]))
def test_silence_never_triggers(ms: int, offset: int, rate: int) -> None:
    line = np.full(ms * rate // 1000, offset, np.int16)
    assert VoiceActivity(rate, threshold=0.0, min_speech_ms=0).feed(line) == []

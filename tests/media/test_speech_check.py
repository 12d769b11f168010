"""The corpus of caller sounds, row by row, and what holds for any sound."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frame import FRAME_MS, Samples, decode, encode, to_pcm
from media.resample import convert
from media.speech_check import SpeechCheck, Verdict
from tests.media.corpus import NOISE, RATE, SPEECH, VOWEL_MS, Sound, at_level, buzz, recorded

SEEDS = range(6)
LEAD_MS = 500
BEFORE_MS = 350  # the model takes 150 ms to report a start
NOISE_WITHIN_MS = 1000


def verdicts(line: Samples, check: SpeechCheck, rate: int = RATE) -> Iterator[tuple[int, Verdict]]:
    """(ms, verdict), fed as in a call: what led to the report at once, then frame by frame."""
    lead, frame = LEAD_MS * rate // 1000, FRAME_MS * rate // 1000
    for start, end in ((0, lead), *((at, at + frame) for at in range(lead, line.size, frame))):
        verdict = check.feed(line[start:end])
        if verdict is not None:
            yield min(end, line.size) * 1000 // rate, verdict


def over_g711(line: Samples) -> Samples:
    return decode(encode(line, "pcmu"), "pcmu")


def confirmed_ms(sound: Sound, seed: int) -> float:
    """From the vowel to SPEECH; the vowel falls anywhere in a frame."""
    before_ms = BEFORE_MS + 7 * seed % FRAME_MS
    line = over_g711(sound.made(seed, before_ms, 500))
    for ms, verdict in verdicts(line, SpeechCheck(RATE)):
        if verdict is Verdict.SPEECH:
            return ms - before_ms - sound.vowel_ms
        # We would go on while the caller speaks.
        assert sound.share < 1, f"NOISE after {ms} ms, seed {seed}"
    return float("inf")


@pytest.mark.parametrize("sound", SPEECH, ids=lambda sound: sound.name)
def test_speech_is_confirmed(sound: Sound) -> None:
    assert sound.within_ms is not None
    taken = [confirmed_ms(sound, seed) for seed in SEEDS]
    assert sum(ms <= sound.within_ms for ms in taken) >= sound.share * len(taken), taken


@pytest.mark.parametrize("sound", NOISE, ids=lambda sound: sound.name)
def test_what_is_no_speech_is_never_confirmed_and_soon_called_noise(sound: Sound) -> None:
    mistaken = []
    for seed in SEEDS:
        found = list(verdicts(over_g711(sound.made(seed, BEFORE_MS, 500)), SpeechCheck(RATE)))
        first_ms, first = found[0]
        if first is Verdict.NOISE:
            assert first_ms <= LEAD_MS + NOISE_WITHIN_MS
        if any(verdict is Verdict.SPEECH for _, verdict in found):
            mistaken.append(seed)
    assert len(mistaken) <= (1 - sound.share) * len(SEEDS), mistaken


def silence(ms: int, rate: int = RATE) -> Samples:
    return np.zeros(ms * rate // 1000, np.int16)


def said(name: str, language: str, db: float = -26.0) -> Samples:
    return to_pcm(at_level(recorded(name, language), db))


def outcome(line: Samples, check: SpeechCheck, rate: int = RATE) -> list[Verdict]:
    return [verdict for _, verdict in verdicts(line, check, rate)]


@pytest.mark.parametrize("rate", [16000, 24000])
@pytest.mark.parametrize(("name", "language"), VOWEL_MS)
def test_every_rate_hears_the_same(name: str, language: str, rate: int) -> None:
    for db, expected in ((-26, Verdict.SPEECH), (-40, Verdict.NOISE)):
        line = np.concatenate((silence(BEFORE_MS), said(name, language, db), silence(500)))
        found = outcome(convert(line, RATE, rate), SpeechCheck(rate), rate)
        assert set(found) == {expected}


@pytest.mark.parametrize("language", ["en", "pt-BR"])
def test_speech_is_heard_wherever_it_begins(language: str) -> None:
    phrase = said("caller", language)
    for start_ms in range(0, 3000, 130):
        line = np.concatenate((silence(BEFORE_MS), phrase[start_ms * RATE // 1000 :]))
        check = SpeechCheck(RATE)
        assert Verdict.SPEECH in outcome(line[: 2 * RATE], check), start_ms


def test_what_we_play_sets_the_level() -> None:
    line = np.concatenate((silence(BEFORE_MS), said("caller", "en", -38), silence(500)))
    assert Verdict.SPEECH not in outcome(line, SpeechCheck(RATE, reference_db=-20))
    assert Verdict.SPEECH in outcome(line, SpeechCheck(RATE, reference_db=-30))
    faint = np.concatenate((silence(BEFORE_MS), said("caller", "en", -55), silence(500)))
    assert Verdict.SPEECH not in outcome(faint, SpeechCheck(RATE, reference_db=-120))


def test_speech_comes_once_and_is_final() -> None:
    line = np.concatenate((said("caller", "en"), silence(2000), said("caller", "en")))
    assert outcome(line, SpeechCheck(RATE)) == [Verdict.SPEECH]


def test_a_hesitant_start_becomes_speech() -> None:
    hesitant = recorded("caller_interrupts", "pt-BR")[820 * RATE // 1000 :][: RATE // 10]
    line = (silence(BEFORE_MS), to_pcm(at_level(hesitant, -26)), silence(700), said("caller", "en"))
    found = outcome(np.concatenate(line), SpeechCheck(RATE))
    assert found[0] is Verdict.NOISE
    assert found[-1] is Verdict.SPEECH


@pytest.mark.parametrize("lead_ms", [0, 200, 500])
def test_silence_is_noise_after_the_lead_and_again(lead_ms: int) -> None:
    check = SpeechCheck(RATE, lead_ms=lead_ms)
    line = silence(lead_ms + 900)
    frame = RATE * FRAME_MS // 1000
    found = [check.feed(line[at : at + frame]) for at in range(0, line.size, frame)]
    assert [at * FRAME_MS for at, verdict in enumerate(found, 1) if verdict] == [
        lead_ms + 300,
        lead_ms + 600,
        lead_ms + 900,
    ]


def test_a_glide_now_and_then_does_not_put_the_verdict_off() -> None:
    glide, still = np.linspace(200, 210, RATE * 40 // 1000), np.full(RATE * 260 // 1000, 200.0)
    notes = to_pcm(at_level(buzz(np.tile(np.concatenate((glide, still)), 10)), -26))
    found = list(verdicts(notes, SpeechCheck(RATE)))
    assert {verdict for _, verdict in found} == {Verdict.NOISE}
    assert found[0][0] <= LEAD_MS + NOISE_WITHIN_MS


def test_more_voice_takes_longer() -> None:
    line = np.concatenate((silence(BEFORE_MS), said("greeting", "en"), silence(500)))
    first = [
        next(ms for ms, found in verdicts(line, SpeechCheck(RATE, ms)) if found is Verdict.SPEECH)
        for ms in (100, 240, 400, 800)
    ]
    assert first == sorted(set(first))


@pytest.mark.parametrize("level", [-32768, 32767])
def test_the_loudest_there_can_be_is_noise(level: int) -> None:
    steady = np.full(2 * RATE, level, np.int16)
    flipping = np.where(np.arange(2 * RATE) // 40 % 2, np.int16(level), np.int16(~level))
    for line in (steady, flipping):
        assert set(outcome(line, SpeechCheck(RATE))) == {Verdict.NOISE}


@pytest.mark.parametrize(
    ("rate", "wrong"),
    [
        (0, {}),
        (-8000, {}),
        (11025, {}),
        (8000, {"confirm_ms": 0}),
        (8000, {"lead_ms": -1}),
        (8000, {"reference_db": float("nan")}),
    ],
)
def test_values_out_of_range(rate: int, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=r"must be|not negative"):
        SpeechCheck(rate, **wrong)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 900), max_size=60), st.sampled_from([8000, 16000, 24000]))
def test_chunking_never_changes_the_result(cuts: list[int], rate: int) -> None:
    word = said("caller_interrupts", "pt-BR")[: RATE // 5]
    line = np.concatenate((silence(400), word, silence(600), said("caller", "pt-BR")[:RATE]))
    line = convert(line, RATE, rate)
    frame = rate * FRAME_MS // 1000
    check = SpeechCheck(rate)
    expected = [check.feed(line[at : at + frame]) for at in range(0, line.size, frame)]
    assert set(expected) == {None, *Verdict}
    check = SpeechCheck(rate)
    start = 0
    for end in [*np.cumsum(cuts), line.size]:
        found = check.feed(line[start:end])
        ended = [verdict for verdict in expected[start // frame : end // frame] if verdict]
        assert found == (ended[-1] if ended else None)
        start = max(start, end)

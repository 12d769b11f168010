"""Tones of machines, and everything that must not be taken for one."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from media.frame import FRAME_MS, Samples, decode, encode
from media.resample import convert
from media.tone_check import ToneCheck
from tests.media.corpus import (
    CORPUS,
    RATE,
    SPEECH,
    Chance,
    Sound,
    Wave,
    buzz,
    hum,
    pink,
    tones,
    white,
)

SEEDS = range(6)
FRAME = RATE * FRAME_MS // 1000

FAINT = Sound("dial tone, faint and noisy", partial(tones, (350, 440), 4, 0), -32)
TONES = (
    Sound("fax calling (T.30)", partial(tones, (1100,), 0.5, 3), -20),
    Sound("fax called (T.30)", partial(tones, (2100,), 3, 1), -20),
    Sound("dial tone (US)", partial(tones, (350, 440), 4, 0), -20),
    Sound("dial tone (Brazil)", partial(tones, (425,), 4, 0), -20),
    replace(FAINT, behind=white, behind_db=-52),
    Sound("ringback (US)", partial(tones, (440, 480), 4, 0), -19),
    Sound("busy (US)", partial(tones, (480, 620), 0.5, 0.5), -24),
    Sound("busy (Brazil)", partial(tones, (425,), 0.25, 0.25), -19, 0, 0, 1.0, pink, -50),
    Sound("a long key", partial(tones, (770, 1336), 0.6, 3), -15),
)


def verdict(line: Samples, rate: int = RATE) -> bool:
    """As in a call: frame by frame."""
    return checked(line, rate).is_tone


def checked(line: Samples, rate: int = RATE) -> ToneCheck:
    """The check after that."""
    check = ToneCheck(rate)
    size = rate * FRAME_MS // 1000
    for at in range(0, line.size, size):
        check.feed(line[at : at + size])
    return check


def over_g711(line: Samples) -> Samples:
    return decode(encode(line, "pcmu"), "pcmu")


@pytest.mark.parametrize("sound", TONES, ids=lambda sound: sound.name)
def test_a_tone_is_known(sound: Sound) -> None:
    found = [verdict(over_g711(sound.made(seed, 100, 500))) for seed in SEEDS]
    assert set(found) == {True}


@pytest.mark.parametrize("rate", [16_000, 24_000])
def test_a_tone_is_known_at_any_rate(rate: int) -> None:
    line = TONES[0].made(1, 100, 500)
    assert verdict(convert(line, RATE, rate), rate) is True


@pytest.mark.parametrize("sound", SPEECH, ids=lambda sound: sound.name)
def test_speech_is_no_tone(sound: Sound) -> None:
    for seed in SEEDS:
        assert not verdict(over_g711(sound.made(seed, 100, 500)))


SHORT = ("the word", "1 cough", "hum", "white")
WORDS = [sound for sound in CORPUS if sound.name.startswith(SHORT)]


@pytest.mark.parametrize("sound", WORDS, ids=lambda sound: sound.name)
def test_nor_is_a_short_word_or_a_noise(sound: Sound) -> None:
    for seed in SEEDS:
        assert not verdict(over_g711(sound.made(seed, 100, 500)))


def held(hertz: float, dull: float, chance: Chance) -> Wave:
    """A vowel or a hum that is held as still as a person can: the pitch wanders by a percent or so,
    and the loudness with it. ``dull``: how little of the harmonics is left."""
    size = 2 * RATE
    wander = np.convolve(chance.normal(size=size), np.ones(800) / 800, "same")
    pitch = hertz * (1 + 0.012 * wander / wander.std())
    voice = buzz(pitch)
    for _ in range(int(dull)):
        voice = np.convolve(voice, np.ones(6) / 6, "same")
    return np.asarray(voice * (1 + 0.1 * wander / wander.std()))


@pytest.mark.parametrize("hertz", [90, 120, 170, 220, 260, 330, 400, 500])
@pytest.mark.parametrize("dull", [0, 2, 6])
def test_nor_is_a_voice_that_holds_a_note(hertz: float, dull: float) -> None:
    sound = Sound("held", partial(held, hertz, dull), -22)
    found = [verdict(over_g711(sound.made(seed, 100, 500))) for seed in range(20)]
    assert True not in found


def test_a_tone_after_words_is_known_once_it_lasts() -> None:
    words = SPEECH[0].made(1, 0, 0)[: 2 * RATE]
    tone = Sound("tone", partial(tones, (425,), 4, 0), -20).made(1, 0, 0)
    late = checked(over_g711(np.concatenate((words, tone[: 5 * RATE // 2]))))
    assert (late.is_tone, late.alone) == (True, False)
    assert not verdict(over_g711(np.concatenate((words, tone[: 3 * RATE // 2]))))
    assert checked(tone).alone


def test_silence_is_nothing() -> None:
    assert not verdict(np.zeros(2 * RATE, np.int16))
    assert not verdict(np.full(2 * RATE, 3000, np.int16))


@pytest.mark.parametrize("rate", [0, -8000, 44_100])
def test_a_rate_must_have_whole_frames(rate: int) -> None:
    with pytest.raises(ValueError, match="multiple of 8000"):
        ToneCheck(rate)


def test_the_mains_are_no_tone() -> None:
    for seed in SEEDS:
        assert not verdict(Sound("hum", partial(hum, 50), -25).made(seed, 0, 0))

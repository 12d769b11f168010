"""The bundled speech: all there, all alike, found by any language tag; and the music."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from media import sounds
from media.sounds.music import loop

EACH = [(name, language) for name in sounds.NAMES for language in sounds.LANGUAGES]


@pytest.mark.parametrize(("name", "language"), EACH)
def test_level_and_length(name: str, language: str) -> None:
    samples, rate = sounds.load(name, language)
    assert rate == 24_000
    assert samples.dtype == np.int16
    short = {"back": (1.0, 2.0), "caller_interrupts": (1.5, 4.0), "moment": (1.5, 4.0)}
    wanted_s = short.get(name, (3.0, 5.0))
    assert wanted_s[0] <= samples.size / rate <= wanted_s[1]
    full_scale = samples / 32768
    assert 20 * np.log10(np.abs(full_scale).max()) < -3
    frames = full_scale[: samples.size // 480 * 480].reshape(-1, 480)
    power = (frames**2).mean(axis=1)
    speech_db = 10 * np.log10(power[power > power.max() / 1000].mean())
    assert speech_db == pytest.approx(-20, abs=1)


def test_size_of_the_package() -> None:
    root = files(sounds)
    total = sum(len(root.joinpath(language, f"{name}.wav").read_bytes()) for name, language in EACH)
    assert total < 2_000_000


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", "en"),
        ("en-GB", "en"),
        ("pt", "pt-BR"),
        ("pt_BR", "pt-BR"),
        ("PT-br", "pt-BR"),
        ("pt-PT", "pt-BR"),
        ("xx", "en"),
        ("", "en"),
    ],
)
def test_languages_fall_back(tag: str, language: str) -> None:
    assert sounds.language_of(tag) == language
    assert sounds.load("greeting", tag)[0] is sounds.load("greeting", language)[0]
    assert sounds.transcript("greeting", tag) == sounds.transcript("greeting", language)


def test_samples_are_shared_and_cannot_be_changed() -> None:
    samples, _ = sounds.load("sorry", "en")
    with pytest.raises(ValueError, match="read-only"):
        samples[0] = 1


@pytest.mark.parametrize("name", ["nonsense", "../en/greeting", ""])
def test_a_name_that_is_not_bundled(name: str) -> None:
    with pytest.raises(KeyError, match="greeting"):
        sounds.load(name)
    with pytest.raises(KeyError, match="greeting"):
        sounds.transcript(name)


RATES = (8000, 16000, 24000, 48000)


@pytest.mark.parametrize("rate", RATES)
def test_music_is_quieter_than_speech_and_never_pauses(rate: int) -> None:
    music = loop(rate)
    assert music.dtype == np.int16
    assert music.size % (rate // 50) == 0
    assert 10 <= music.size / rate <= 60
    full_scale = music / 32768
    level_db = 10 * np.log10((full_scale**2).mean())
    assert level_db == pytest.approx(-26, abs=1)
    assert 20 * np.log10(np.abs(full_scale).max()) < -12
    quarters = (full_scale.reshape(-1, rate // 4) ** 2).mean(axis=1)
    assert 10 * np.log10(quarters.min()) > level_db - 10


@pytest.mark.parametrize("rate", RATES)
def test_music_has_no_click_where_it_begins_anew(rate: int) -> None:
    music = loop(rate).astype(float)
    twice = np.concatenate((music, music))
    bends = np.abs(np.diff(twice, 2))  # a click is a corner
    seam = bends[music.size - 5 : music.size + 5].max()
    assert seam <= np.quantile(bends[: music.size - 10], 0.95)
    # A cut in the middle of the music is one.
    cut = np.concatenate((music[: music.size // 2 - rate // 7], music))
    at = music.size // 2 - rate // 7
    assert np.abs(np.diff(cut, 2))[at - 5 : at + 5].max() > seam


def test_music_is_shared_and_cannot_be_changed() -> None:
    assert loop(8000) is loop(8000)
    with pytest.raises(ValueError, match="read-only"):
        loop(8000)[0] = 1

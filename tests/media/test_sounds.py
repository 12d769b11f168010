"""The bundled speech: complete, alike in level, found by any language tag."""

from __future__ import annotations

from importlib.resources import files

import numpy as np
import pytest

from media import sounds

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

"""The hold music: its level, its seam, one copy for all."""

from __future__ import annotations

import numpy as np
import pytest

from media.sounds.music import loop

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
def test_music_has_no_click_where_it_begins_again(rate: int) -> None:
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

"""The measures themselves; these need no FreeSWITCH."""

from __future__ import annotations

import numpy as np
import pytest

from media import sounds
from media.frame import Samples
from media.resample import convert
from tests.live.audio import gaps, match


@pytest.fixture
def words() -> Samples:
    values, rate = sounds.load("caller")
    return convert(values, rate, 8000)


def padded(*parts: Samples) -> Samples:
    return np.concatenate([np.zeros(1234, np.int16), *parts, np.zeros(8000, np.int16)])


def test_a_whole_copy_is_found(words: Samples) -> None:
    found = match(padded(words), words)
    assert found.at == 1234
    assert found.correlation == pytest.approx(1.0)
    assert found.worst < 1e-6
    assert gaps(padded(words), words, 8000) == []


@pytest.mark.parametrize("cut", [160, 320])
def test_a_dropped_or_doubled_frame_is_noticed(words: Samples, cut: int) -> None:
    for heard in (
        padded(words[:12000], words[12000 + cut :]),
        padded(words[: 12000 + cut], words[12000:]),
    ):
        assert match(heard, words).worst > 0.5
        with pytest.raises(AssertionError):
            gaps(heard, words, 8000)


def test_silence_between_two_pieces_is_measured(words: Samples) -> None:
    quiet = np.zeros(240, np.int16)
    heard = padded(words[:12000], quiet, words[12000:])
    assert match(heard, words).worst > 0.5
    assert gaps(heard, words, 8000) == [30.0]


def test_what_a_telephone_puts_in_the_place_of_late_audio_is_measured(words: Samples) -> None:
    last = words[11840:12000].astype(float)
    fading = np.concatenate([last * gain for gain in (0.9, 0.5, 0.2)]).astype(np.int16)
    heard = padded(words[:12000], fading, words[12000:])
    assert gaps(heard, words, 8000) == [60.0]


def test_an_end_that_is_missing_is_noticed(words: Samples) -> None:
    heard = padded(words[:12000])
    with pytest.raises(AssertionError, match="missing"):
        gaps(heard, words, 8000)

"""Utterances found in a stream without end."""

from __future__ import annotations

import numpy as np
import pytest

from esl_controller.agents.openai.utterances import LEAD_MS, SILENCE_MS, Cut, Utterances
from media.frame import FRAME_MS, PCMU, Format, encode, pcm

FORMATS = (pcm(24000), PCMU)


def tone(fmt: Format, ms: int, level: float = 0.1) -> bytes:
    at = np.arange(fmt.rate * ms // 1000) / fmt.rate
    wave = np.rint(32767 * level * np.sin(2 * np.pi * 440 * at)).astype(np.int16)
    return encode(wave, fmt.encoding)


def silence(fmt: Format, ms: int) -> bytes:
    return tone(fmt, ms, 0.0)


def feed(utterances: Utterances, stream: bytes, size: int) -> list[Cut]:
    cuts = [utterances.feed(stream[at : at + size]) for at in range(0, len(stream), size)]
    return [cut for cut in cuts if cut != Cut()]


@pytest.mark.parametrize("fmt", FORMATS, ids=str)
@pytest.mark.parametrize("piece_ms", [20, 100, 130])
def test_speech_is_cut_out_with_its_lead_and_the_silence_that_ends_it(
    fmt: Format, piece_ms: int
) -> None:
    speech = tone(fmt, 1000)
    stream = silence(fmt, 500) + speech + silence(fmt, 2000)
    cuts = feed(Utterances(fmt), stream, fmt.frame_bytes * piece_ms // 20)
    audio = b"".join(cut.audio for cut in cuts)
    lead, _, tail = audio.partition(speech)
    assert LEAD_MS <= fmt.ms(len(lead)) < LEAD_MS + FRAME_MS
    assert lead == silence(fmt, 100)[: len(lead)]
    assert SILENCE_MS - FRAME_MS < fmt.ms(len(tail)) < SILENCE_MS + piece_ms
    assert [cut.began for cut in cuts] == [True] + [False] * (len(cuts) - 1)
    assert [cut.ended for cut in cuts] == [False] * (len(cuts) - 1) + [True]


def test_a_pause_between_sentences_is_kept_whole() -> None:
    fmt = FORMATS[0]
    said = tone(fmt, 400) + silence(fmt, SILENCE_MS - 100) + tone(fmt, 400)
    cuts = feed(Utterances(fmt), said + silence(fmt, 1000), fmt.frame_bytes * 5)
    assert sum(cut.began for cut in cuts) == 1
    assert b"".join(cut.audio for cut in cuts).startswith(said)


def test_two_utterances_are_two() -> None:
    fmt = FORMATS[0]
    one = tone(fmt, 300) + silence(fmt, 1500)
    cuts = feed(Utterances(fmt), one * 2, fmt.frame_bytes * 5)
    assert sum(cut.began for cut in cuts) == sum(cut.ended for cut in cuts) == 2


def test_what_is_not_quite_silent_is_no_speech() -> None:
    fmt = FORMATS[0]
    assert not feed(Utterances(fmt), tone(fmt, 1000, 0.0006), fmt.frame_bytes * 5)


def test_odd_pieces_lose_nothing() -> None:
    fmt = FORMATS[0]
    speech = tone(fmt, 700)
    cuts = feed(Utterances(fmt), speech, 1234)
    assert b"".join(cut.audio for cut in cuts) == speech


def test_nothing_is_nothing_and_half_a_sample_is_refused() -> None:
    utterances = Utterances(FORMATS[0])
    assert utterances.feed(b"") == Cut()
    with pytest.raises(ValueError, match="multiple of element size"):
        utterances.feed(b"x")

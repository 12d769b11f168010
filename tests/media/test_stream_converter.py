"""The stream's true rate, found without losing a sample."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frame import PCMU, Format, pcm
from media.resample import Converter
from media.stream_converter import PROBE_LIMIT, PROBE_S, SETTLE_S, StreamConverter


@dataclass(frozen=True)
class Source:
    """A module that sends ``size`` bytes each ``every`` seconds."""

    size: int
    every: float
    jitter: float = 0.0  # each message is late by up to this, and none overtakes another

    def messages(self, data: bytes) -> list[tuple[float, bytes]]:
        chance = random.Random(self.size)
        arrivals, last = [], 0.0
        for number, start in enumerate(range(0, len(data), self.size), 1):
            last = max(last, number * self.every + chance.uniform(0, self.jitter))
            arrivals.append((last, data[start : start + self.size]))
        return arrivals


def _noise(count: int) -> bytes:
    return np.random.default_rng(5).integers(0, 256, count, dtype=np.uint8).tobytes()


def _feed(converter: StreamConverter, source: Source, data: bytes, start: float = 100.0) -> bytes:
    return b"".join(converter.feed(part, start + at) for at, part in source.messages(data))


def test_the_rate_of_the_channel_needs_no_probe() -> None:
    converter = StreamConverter(pcm(16000), 16000, 16000, "mono")
    assert converter.feed(b"\x01\x02" * 320, 0.0) == b"\x01\x02" * 320


def test_a_channel_of_unknown_rate_is_taken_at_its_word() -> None:
    converter = StreamConverter(pcm(16000), 16000, 0, "mono")
    assert converter.feed(b"\x01\x02" * 320, 0.0) == b"\x01\x02" * 320


# (channel, what the module sends, its true rate), always asked for 16 kHz
CASES = [
    # sptmru build on a PCMU call: the channel's rate whatever was asked for
    pytest.param(8000, Source(1280, 0.080), 8000, id="8k-as-it-is"),
    pytest.param(8000, Source(320, 0.020), 8000, id="8k-as-it-is-small"),
    pytest.param(8000, Source(4000, 0.250), 8000, id="8k-as-it-is-250ms"),
    pytest.param(8000, Source(640, 0.020), 16000, id="8k-resampled"),
    pytest.param(8000, Source(1280, 0.040), 16000, id="8k-resampled-40ms"),
    pytest.param(8000, Source(1920, 0.060), 16000, id="8k-resampled-60ms"),
    pytest.param(48000, Source(1920, 0.020), 48000, id="48k-as-it-is"),
    pytest.param(48000, Source(640, 0.020), 16000, id="48k-resampled"),
    pytest.param(8000, Source(1280, 0.080, jitter=0.06), 8000, id="8k-as-it-is-jitter"),
    pytest.param(8000, Source(640, 0.020, jitter=0.06), 16000, id="8k-resampled-jitter"),
    pytest.param(48000, Source(1920, 0.020, jitter=0.06), 48000, id="48k-as-it-is-jitter"),
    pytest.param(8000, Source(1281, 0.080), 8000, id="odd-messages"),
]


@pytest.mark.parametrize(("channel", "source", "rate"), CASES)
@pytest.mark.parametrize("target", [pcm(24000), pcm(16000), PCMU], ids=str)
def test_speed_decides_and_no_sample_is_lost(
    channel: int, source: Source, rate: int, target: Format
) -> None:
    converter = StreamConverter(target, 16000, channel, "mono")
    data = _noise(rate * 2)  # a second
    heard = _feed(converter, source, data)
    assert converter.rate == rate
    assert heard == Converter(pcm(rate), target).feed(data)


@pytest.mark.parametrize(("channel", "source", "rate"), CASES)
def test_the_probe_ends_on_time(channel: int, source: Source, rate: int) -> None:
    converter = StreamConverter(pcm(24000), 16000, channel, "mono")
    messages = source.messages(_noise(rate * 2))
    first = messages[0][0]
    spoke = next(at for at, part in messages if converter.feed(part, at))
    held = SETTLE_S + PROBE_S
    assert held <= spoke - first + 1e-9 <= held + 2 * (source.every + source.jitter)
    assert all(converter.feed(part, at) for at, part in messages if at > spoke)


def test_a_flood_decides_at_once() -> None:
    converter = StreamConverter(pcm(24000), 16000, 8000, "mono")
    assert converter.feed(bytes(PROBE_LIMIT - 2), 0.0) == b""
    assert converter.feed(bytes(2), 0.0)


def test_restart_forgets_the_old_connection() -> None:
    converter = StreamConverter(pcm(16000), 16000, 8000, "mono")
    _feed(converter, Source(1280, 0.080), _noise(16001))
    assert converter.rate == 8000
    converter.restart()
    data = _noise(32000)  # the other build, after a failover: resampled
    assert _feed(converter, Source(640, 0.020), data, start=200.0) == data
    assert converter.rate == 16000


def test_restart_in_the_middle_of_a_probe() -> None:
    converter = StreamConverter(pcm(16000), 16000, 8000, "mono")
    converter.feed(b"\x01" * 1281, 0.0)
    converter.restart()
    data = _noise(32000)
    assert _feed(converter, Source(640, 0.020), data) == data


def test_restart_in_the_middle_of_a_stereo_sample() -> None:
    converter = StreamConverter(pcm(16000), 16000, 16000, "stereo")
    assert converter.feed(b"aabbaab", 0.0) == b"aa"
    converter.restart()
    assert converter.feed(b"ccddccdd", 0.1) == b"cccc"


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 400), st.lists(st.integers(0, 90), max_size=20))
def test_stereo_takes_the_left_channel_for_any_cut(count: int, cuts: list[int]) -> None:
    stereo, left = _noise(count * 4), b""
    for i in range(0, len(stereo), 4):
        left += stereo[i : i + 2]
    converter = StreamConverter(pcm(16000), 16000, 16000, "stereo")
    heard = b""
    for cut in cuts:
        heard += converter.feed(stereo[:cut], 0.0)
        stereo = stereo[cut:]
    assert heard + converter.feed(stereo, 0.0) == left


@pytest.mark.parametrize(("size", "every", "rate"), [(2560, 0.080, 8000), (1280, 0.020, 16000)])
def test_stereo_is_probed_by_one_channel(size: int, every: float, rate: int) -> None:
    converter = StreamConverter(pcm(rate), 16000, 8000, "stereo")
    heard = _feed(converter, Source(size, every), b"\x01\x02\x03\x04" * rate)
    assert converter.rate == rate
    assert heard == b"\x01\x02" * rate


@pytest.mark.parametrize(
    ("source", "rate"), [(Source(640, 0.020), 16000), (Source(1280, 0.080), 8000)]
)
def test_what_comes_all_at_once_at_the_start_does_not_count(source: Source, rate: int) -> None:
    converter = StreamConverter(pcm(rate), 16000, 8000, "mono")
    burst = _noise(32000)  # a second of audio from before the connection
    heard = converter.feed(burst, 100.0) + _feed(converter, source, _noise(64000))
    assert converter.rate == rate
    assert heard[: len(burst)] == burst

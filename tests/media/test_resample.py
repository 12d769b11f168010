"""The resampler of live audio: exact, in phase, of telephone quality, without lumps."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, gcd

import numpy as np
import numpy.typing as npt
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from media.frame import PCMA, PCMU, Format, Samples, decode, encode, pcm, samples, to_pcm
from media.resample import Converter, Resampler, convert

RATES = (8000, 16000, 24000, 32000, 48000)
PAIRS = [(source, target) for source in RATES for target in RATES if source != target]
pairs = pytest.mark.parametrize(("source", "target"), PAIRS)
FORMATS = [*map(pcm, RATES), PCMU, PCMA]
NOISE = np.random.default_rng(20).integers(-32768, 32768, 6000, dtype=np.int16).tobytes()


def _whole(source: int, target: int, values: Samples) -> Samples:
    resampler = Resampler(source, target)
    return np.concatenate((resampler.feed(values), resampler.finish()))


def _sine(rate: int, hertz: float, seconds: float = 0.25) -> npt.NDArray[np.float64]:
    return 16000 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def _resampled_sine(source: int, target: int, hertz: float) -> npt.NDArray[np.float64]:
    return _whole(source, target, to_pcm(_sine(source, hertz))).astype(np.float64)


def _decibels(values: npt.NDArray[np.float64], reference: npt.NDArray[np.float64]) -> float:
    """Power of ``values`` over ``reference``, without 10 ms at each end, where the sine is cut."""
    edge = len(values) // 25
    power = [float(np.mean(x[edge:-edge] ** 2)) for x in (values, reference)]
    return float(10 * np.log10(max(power[0], 1e-9) / power[1]))


# --- chunks ---------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(FORMATS),
    st.sampled_from(FORMATS),
    st.integers(0, 2000),
    st.lists(st.integers(0, 700), max_size=30),
)
def test_the_size_of_chunks_changes_nothing(
    source: Format, target: Format, offset: int, cuts: list[int]
) -> None:
    data = NOISE[offset * 2 : offset * 2 + 4000]
    whole = Converter(source, target)
    expected = whole.feed(data) + whole.finish()
    pieces = Converter(source, target)
    out = b""
    for cut in cuts:  # any number of bytes, odd ones too
        out += pieces.feed(data[:cut])
        data = data[cut:]
    assert out + pieces.feed(data) + pieces.finish() == expected


@pairs
@pytest.mark.parametrize("sound", ["noise", "halves"])
def test_no_size_of_chunks_rounds_otherwise(source: int, target: int, sound: str) -> None:
    """Even if an output lies half-way between two samples: after a step, or in an alternation."""
    halves = np.r_[np.zeros(99), np.ones(100), np.arange(400) % 2, np.arange(400) // 2 % 2]
    data = NOISE if sound == "noise" else halves.astype("<i2").tobytes()
    expected = _whole(source, target, samples(data)).tobytes()
    for size in (11, 641):
        pieces = Converter(pcm(source), pcm(target))
        out = b"".join(pieces.feed(data[i : i + size]) for i in range(0, len(data), size))
        assert out + pieces.finish() == expected


def test_half_a_sample_at_the_end_is_dropped() -> None:
    for target in (pcm(16000), pcm(24000), PCMU):
        even, odd = Converter(pcm(16000), target), Converter(pcm(16000), target)
        assert odd.feed(NOISE[:641]) + odd.finish() == even.feed(NOISE[:640]) + even.finish()


# --- length and time ------------------------------------------------------------------------------


@pairs
def test_length_is_exact(source: int, target: int) -> None:
    for count in (0, 1, 7, 100, 160, 4801):
        out = _whole(source, target, samples(NOISE[:2] * count))
        assert out.size == ceil(count * target / source)


@pairs
def test_what_is_held_back_is_constant_and_every_step_gives_audio(source: int, target: int) -> None:
    resampler = Resampler(source, target)
    step = source // 50
    given_ms = 0.0
    for i in range(1, 51):
        out = resampler.feed(np.zeros(step, np.int16))
        assert out.size
        given_ms += out.size * 1000 / target
        block_ms = 1000 / gcd(source, target)
        assert resampler.delay_ms - block_ms <= i * 20 - given_ms <= resampler.delay_ms + block_ms
    assert resampler.delay_ms <= (2.0 if 8000 in (source, target) else 1.0)


@pairs
def test_finish_gives_the_tail_and_no_more(source: int, target: int) -> None:
    values = np.full(source // 10, 1000, np.int16)
    resampler = Resampler(source, target)
    out = resampler.feed(values)
    tail = resampler.finish()
    block = target // gcd(source, target)  # what is computed in one go
    assert 0 < tail.size <= resampler.delay_ms * target / 1000 + block
    assert out.size + tail.size == target // 10
    assert resampler.finish().size == 0


@pairs
def test_a_sine_comes_out_in_phase(source: int, target: int) -> None:
    out = _resampled_sine(source, target, 1000)
    for offset_us in (-5, 5):  # a twentieth of a sample at 8 kHz is 6 us
        moved = 16000 * np.sin(2000 * np.pi * (np.arange(out.size) / target + offset_us / 1e6))
        here = _sine(target, 1000)
        assert _decibels(out - here, here) < _decibels(out - moved, here) - 30


# --- quality --------------------------------------------------------------------------------------


@pairs
def test_telephone_band_passes_at_70_db(source: int, target: int) -> None:
    for hertz in (300, 1000, 2000, 3000, 3400):
        ideal = _sine(target, hertz)
        assert _decibels(_resampled_sine(source, target, hertz) - ideal, ideal) <= -70


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] > pair[1]])
def test_aliases_are_60_db_down(source: int, target: int) -> None:
    """Nothing above the stop band's edge, 1.15 of the new Nyquist frequency, comes back."""
    for hertz in np.linspace(0.5 * target * 1.15, 0.5 * source * 0.98, 12):
        out = _resampled_sine(source, target, float(hertz))
        assert _decibels(out, _sine(target, 1000)) <= -60


@pytest.mark.parametrize(("source", "target"), [pair for pair in PAIRS if pair[0] < pair[1]])
def test_images_are_60_db_down(source: int, target: int) -> None:
    """Nothing appears above the old Nyquist frequency for speech of up to 3400 Hz below it."""
    for hertz in (300, 1000, 2000, 3000, 3400):
        out = _resampled_sine(source, target, hertz)
        spectrum = np.abs(np.fft.rfft(out * np.blackman(out.size))) ** 2
        above = spectrum[ceil(out.size * source / 2 / target) :].sum()
        assert 10 * np.log10(above / spectrum.sum()) <= -60


@pairs
def test_a_constant_stays_exactly_that(source: int, target: int) -> None:
    for level in (0, 1, -1, 1000, -32768, 32767):
        resampler = Resampler(source, target)
        out = resampler.feed(np.full(source // 10, level, np.int16))
        settled = ceil(2 * resampler.delay_ms * target / 1000)
        assert (out[settled:] == level).all()


@pairs
def test_full_scale_clips_and_does_not_wrap(source: int, target: int) -> None:
    hertz = 400
    rising = np.arange(source // 4) * 2 * hertz // source % 2 == 0
    out = _whole(source, target, np.where(rising, 32767, -32768).astype(np.int16))
    high = np.arange(out.size) * 2 * hertz // target % 2 == 0
    phase = np.arange(out.size) * 2 * hertz / target % 1
    flat = (phase > 0.3) & (phase < 0.7)
    assert (out[high & flat] > 25000).all()
    assert (out[~high & flat] < -25000).all()
    assert (out.max(), out.min()) == (32767, -32768)  # the filter rings above it: clipped


# --- formats --------------------------------------------------------------------------------------


def test_g711_is_decoded_resampled_and_encoded() -> None:
    line = encode(to_pcm(_sine(8000, 1000)), "pcmu")
    up = Converter(PCMU, pcm(16000))
    wide = up.feed(line) + up.finish()
    assert wide == _whole(8000, 16000, decode(line, "pcmu")).tobytes()
    down = Converter(pcm(16000), PCMA)
    assert len(down.feed(wide) + down.finish()) == len(line)


def test_one_format_passes_through_untouched() -> None:
    for kind in FORMATS:
        same = Converter(kind, kind)
        assert same.feed(NOISE) + same.finish() == NOISE


def test_same_rate_only_changes_the_encoding() -> None:
    assert Converter(PCMU, pcm(8000)).feed(b"\x80\xff") == b"\x7c\x7d\x00\x00"


def test_convert_keeps_length_and_level() -> None:
    sound = to_pcm(_sine(22050, 1000))
    out = convert(sound, 22050, 8000).astype(np.float64)
    ideal = _sine(8000, 1000)[: out.size]
    assert abs(out.size - sound.size * 8000 / 22050) <= 1
    assert _decibels(out - ideal, ideal) <= -70
    assert convert(sound, 22050, 22050) is sound


# --- why not soxr on the live path ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target"), [(16000, 24000), (24000, 8000), (24000, 16000), (24000, 48000)]
)
def test_soxr_streams_in_lumps_and_this_does_not(
    source: int, target: int, record_property: Callable[[str, object], None]
) -> None:
    soxr_stream = soxr.ResampleStream(source, target, 1, dtype="int16", quality="LQ")
    theirs = _held_back(soxr_stream.resample_chunk, source, target)
    ours = _held_back(Resampler(source, target).feed, source, target)
    line = f"{source} -> {target}: soxr LQ {theirs}; ours {ours}"
    record_property("held_back", line)
    print(line)
    assert ours.empty == 0
    assert ours.most_ms - ours.least_ms < 0.2
    assert ours.most_ms <= (2.1 if target == 8000 else 1.1)
    assert theirs.empty > 0
    assert theirs.most_ms - theirs.least_ms >= 15


@dataclass
class HeldBack:
    """Audio held back after each of 300 steps of 20 ms, and the steps that returned nothing."""

    least_ms: float
    most_ms: float
    empty: int

    def __str__(self) -> str:
        return (
            f"holds back {self.least_ms:.1f} to {self.most_ms:.1f} ms,"
            f" {self.empty} of 300 steps give nothing"
        )


def _held_back(feed: Callable[[Samples], Samples], source: int, target: int) -> HeldBack:
    sizes = [feed(np.zeros(source // 50, np.int16)).size for _ in range(300)]
    inside = [20.0 * (i + 1) - sum(sizes[: i + 1]) * 1000 / target for i in range(300)]
    return HeldBack(min(inside), max(inside), sizes.count(0))

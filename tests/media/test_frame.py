"""Formats, and G.711 against ITU-T G.711 and against another implementation of it."""

from __future__ import annotations

import warnings
from typing import Literal

import numpy as np
import numpy.typing as npt
import pytest

from media.frame import PCMA, PCMU, RATE_OF_FRAME, Format, decode, encode, pcm, samples, to_pcm

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    import audioop  # an independent G.711; in the standard library up to Python 3.12

G711 = Literal["pcmu", "pcma"]
ALL_CODES = bytes(range(256))
ALL_SAMPLES = np.arange(-32768, 32768).astype("<i2")
MU_MINUS_ZERO = 0x7F
both = pytest.mark.parametrize("encoding", ["pcmu", "pcma"])


@pytest.mark.parametrize(
    ("kind", "sample_bytes", "frame_bytes"),
    [(pcm(8000), 2, 320), (pcm(16000), 2, 640), (pcm(48000), 2, 1920), (PCMU, 1, 160)],
)
def test_format_sizes(kind: Format, sample_bytes: int, frame_bytes: int) -> None:
    assert (kind.sample_bytes, kind.frame_bytes) == (sample_bytes, frame_bytes)
    assert kind.ms(frame_bytes) == 20


def test_format_is_readable_in_logs() -> None:
    assert [str(pcm(24000)), str(PCMA)] == ["pcm/24000", "pcma/8000"]


def test_the_size_of_a_frame_tells_the_rate() -> None:
    assert RATE_OF_FRAME[320] == 8000
    assert RATE_OF_FRAME[640] == 16000
    assert RATE_OF_FRAME[1920] == 48000
    assert all(pcm(rate).frame_bytes == size for size, rate in RATE_OF_FRAME.items())


def test_samples_are_little_endian() -> None:
    assert samples(b"\x01\x00\xff\xff\x00\x80").tolist() == [1, -1, -32768]
    assert samples(memoryview(b"\x34\x12")).tolist() == [0x1234]
    assert samples(b"").size == 0


def test_an_odd_number_of_bytes_is_an_error() -> None:
    with pytest.raises(ValueError, match="multiple"):
        samples(b"\x00\x00\x00")
    with pytest.raises(ValueError, match="multiple"):
        decode(b"\x00", "pcm")


def test_an_odd_number_of_bytes_is_fine_for_g711() -> None:
    assert decode(b"\xff\xff\xff", "pcmu").tolist() == [0, 0, 0]


def test_to_pcm_rounds_and_clips() -> None:
    values = np.array([0.4, 0.6, -0.6, 32767.4, 32768.0, 1e9, -32768.4, -1e9])
    assert to_pcm(values).tolist() == [0, 1, -1, 32767, 32767, 32767, -32768, -32768]


def test_pcm_passes_unchanged() -> None:
    data = ALL_SAMPLES.tobytes()
    assert encode(decode(data, "pcm"), "pcm") == data


# ITU-T G.711, tables 2a (mu-law, 14 bits) and 1a (A-law, 13 bits): the first code of each positive
# segment and the last code of all, with the decoder's output value. Scaled to 16 bits below.
MU_LAW = {
    0xFF: 0,
    0xFE: 2,
    0xEF: 33,
    0xDF: 99,
    0xCF: 231,
    0xBF: 495,
    0xAF: 1023,
    0x9F: 2079,
    0x8F: 4191,
    0x80: 8031,
}
A_LAW = {
    0xD5: 1,
    0xC5: 33,
    0xF5: 66,
    0xE5: 132,
    0x95: 264,
    0x85: 528,
    0xB5: 1056,
    0xA5: 2112,
    0xAA: 4032,
}


@pytest.mark.parametrize(
    ("encoding", "table", "scale"), [("pcmu", MU_LAW, 4), ("pcma", A_LAW, 8)], ids=["pcmu", "pcma"]
)
def test_spot_values_of_the_recommendation(
    encoding: G711, table: dict[int, int], scale: int
) -> None:
    values = [value * scale for value in table.values()]
    assert decode(bytes(table), encoding).tolist() == values
    assert decode(bytes(code ^ 0x80 for code in table), encoding).tolist() == [-v for v in values]
    assert encode(samples(np.array(values, "<i2").tobytes()), encoding) == bytes(table)


@both
def test_every_code_decodes_as_in_another_implementation(encoding: G711) -> None:
    other = audioop.ulaw2lin if encoding == "pcmu" else audioop.alaw2lin
    assert decode(ALL_CODES, encoding).tobytes() == other(ALL_CODES, 2)


@both
def test_every_code_survives_a_round_trip(encoding: G711) -> None:
    back = bytearray(encode(decode(ALL_CODES, encoding), encoding))
    if encoding == "pcmu":
        assert back[MU_MINUS_ZERO] == 0xFF  # both zeros are the same sample
        back[MU_MINUS_ZERO] = MU_MINUS_ZERO
    assert bytes(back) == ALL_CODES


@both
def test_levels_are_symmetric_and_so_is_the_error(encoding: G711) -> None:
    levels = decode(ALL_CODES, encoding).astype(int)
    assert (levels[:128] == -levels[128:]).all()
    error = np.abs(_error(encoding))
    assert (error[1:] == error[1:][::-1]).all()  # from -32767 to 32767


@both
def test_the_nearest_level_is_taken(encoding: G711) -> None:
    levels = decode(ALL_CODES, encoding).astype(int)
    nearest = np.full(ALL_SAMPLES.size, 1 << 16)
    for level in levels:
        np.minimum(nearest, np.abs(ALL_SAMPLES - level), out=nearest)
    assert (np.abs(_error(encoding)) == nearest).all()


@both
def test_quantisation_error_is_within_half_a_step(encoding: G711) -> None:
    size, error = np.abs(ALL_SAMPLES.astype(int)), np.abs(_error(encoding))
    smallest, clip = (4, 32124 + 512) if encoding == "pcmu" else (8, 32256 + 512)
    # 16 steps a segment, and a segment spans an octave: at most 1/32 of the value.
    assert (error <= np.maximum(smallest, (size + 132) / 32))[size <= clip].all()
    assert error.max() <= 32768 - clip + 512  # and beyond full scale it clips


@both
def test_the_error_is_never_above_another_implementations(encoding: G711) -> None:
    to, back = (
        (audioop.lin2ulaw, audioop.ulaw2lin)
        if encoding == "pcmu"
        else (audioop.lin2alaw, audioop.alaw2lin)
    )
    other = samples(back(to(ALL_SAMPLES.tobytes(), 2), 2)).astype(int) - ALL_SAMPLES
    assert (np.abs(_error(encoding)) <= np.abs(other)).all()


@both
def test_silence_is_the_positive_zero(encoding: G711) -> None:
    code = {"pcmu": b"\xff", "pcma": b"\xd5"}[encoding]
    assert encode(samples(bytes(320)), encoding) == code * 160


def _error(encoding: G711) -> npt.NDArray[np.int64]:
    """What coding does to each of the 65536 samples, from -32768 up."""
    decoded = decode(encode(ALL_SAMPLES, encoding), encoding)
    return decoded.astype(np.int64) - ALL_SAMPLES.astype(np.int64)

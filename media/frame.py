"""Rates, frame sizes and sample encodings. [core]

All linear audio in this project is signed 16-bit little-endian mono (``pcm``); G.711 is one byte a
sample at 8 kHz (``pcmu``, ``pcma``). A frame is 20 ms, the usual packet time of telephone codecs;
on a lane it is one packet of the channel, whatever its packet time.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

FRAME_MS = 20
PACKET_MS = (10, 20, 30, 40, 50, 60)  # packet times of channels that a lane serves
SAMPLE = np.dtype("<i2")
_UINT16 = np.dtype(np.uint16)
_UINT8 = np.dtype(np.uint8)
# As arrays: numpy would make one of a plain number at each call, which takes as long as the work.
_LOWEST, _HIGHEST = np.array(-32768.0), np.array(32767.0)

Encoding: TypeAlias = Literal["pcm", "pcmu", "pcma"]
Samples: TypeAlias = npt.NDArray[np.int16]


@dataclass(frozen=True)
class Format:
    """A format of audio: its ``encoding`` and its ``rate`` in Hz."""

    encoding: Encoding
    rate: int

    @property
    def sample_bytes(self) -> int:
        """Bytes per sample: 2 for linear audio, 1 for G.711."""
        return 2 if self.encoding == "pcm" else 1

    @property
    def frame_bytes(self) -> int:
        """Bytes in one 20 ms frame."""
        return self.bytes_of(FRAME_MS)

    def bytes_of(self, ms: int) -> int:
        """Bytes in ``ms`` milliseconds."""
        return self.rate * ms // 1000 * self.sample_bytes

    def ms(self, count: int) -> float:
        """Duration in milliseconds of ``count`` bytes."""
        return count * 1000 / (self.rate * self.sample_bytes)

    def silence(self, count: int) -> bytes:
        """``count`` bytes of silence."""
        return encode(np.zeros(count // self.sample_bytes, np.int16), self.encoding)

    def __str__(self) -> str:
        return f"{self.encoding}/{self.rate}"


def pcm(rate: int) -> Format:
    """Linear audio at ``rate`` Hz."""
    return Format("pcm", rate)


PCMU = Format("pcmu", 8000)
PCMA = Format("pcma", 8000)

# Channel rates seen on FreeSWITCH (docs/design/freeswitch.md#the-lane). Between any two of them
# ``resample`` has a small filter; for 44,100 Hz, say, it would take 0.1 s to make.
RATES = (8000, 12000, 16000, 24000, 32000, 48000)
RATE_OF_FRAME = {pcm(rate).frame_bytes: rate for rate in RATES}  # by the size of a 20 ms frame


def samples(data: bytes | bytearray | memoryview) -> Samples:
    """The samples in linear audio, as a view. Raises ValueError if the bytes are odd in number."""
    return np.frombuffer(data, SAMPLE)


def to_pcm(values: npt.NDArray[np.floating]) -> Samples:
    """``values`` rounded and clipped to 16 bits. Overwrites ``values``."""
    np.rint(values, out=values)
    np.maximum(values, _LOWEST, out=values)
    np.minimum(values, _HIGHEST, out=values)
    return values.astype(SAMPLE)


def _decode_ulaw() -> Samples:
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    magnitude = (((mantissa << 3) + 132) << exponent) - 132
    return np.where(code & 0x80, -magnitude, magnitude).astype("<i2")


def _decode_alaw() -> Samples:
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    magnitude = np.where(
        exponent == 0, (mantissa << 4) + 8, ((mantissa << 4) + 264) << np.maximum(exponent, 1) - 1
    )
    return np.where(code & 0x80, magnitude, -magnitude).astype("<i2")


def _codes(decoded: Samples, zero: int) -> npt.NDArray[np.uint8]:
    """The nearest code for each of the 65536 sample values, indexed by the sample as uint16."""
    order = np.argsort(decoded, kind="stable")
    levels = decoded[order].astype(np.int32)
    middles = (levels[:-1] + levels[1:]) / 2
    values = np.arange(-32768, 32768)
    codes = order[np.searchsorted(middles, values, side="left")].astype(np.uint8)
    codes[32768] = zero  # mu-law has two zeros; silence is sent as the positive one
    return np.roll(codes, -32768)


_LEVELS = {"pcmu": _decode_ulaw(), "pcma": _decode_alaw()}
_CODES = {"pcmu": _codes(_LEVELS["pcmu"], 0xFF), "pcma": _codes(_LEVELS["pcma"], 0xD5)}


def decoder(encoding: Encoding) -> Callable[[bytes], Samples]:
    """A function that turns bytes in ``encoding`` into samples."""
    if encoding == "pcm":
        return samples
    levels = _LEVELS[encoding]
    return lambda data: levels.take(np.frombuffer(data, _UINT8))


def encoder(encoding: Encoding) -> Callable[[Samples], bytes]:
    """A function that turns samples into bytes in ``encoding``."""
    if encoding == "pcm":
        return lambda values: values.astype(SAMPLE, copy=False).tobytes()
    codes = _CODES[encoding]
    return lambda values: codes.take(values.view(_UINT16)).tobytes()


def transcoder(source: Encoding, target: Encoding) -> Callable[[bytes], bytes]:
    """A function that turns bytes in ``source`` into bytes in ``target``, at the same rate."""
    if source == target:
        return lambda data: data
    if source == "pcm":
        codes = _CODES[target]
        return lambda data: codes.take(np.frombuffer(data, _UINT16)).tobytes()
    decode, encode = decoder(source), encoder(target)
    return lambda data: encode(decode(data))


def decode(data: bytes, encoding: Encoding) -> Samples:
    """The samples of ``data``, which is in ``encoding``."""
    return decoder(encoding)(data)


def encode(values: Samples, encoding: Encoding) -> bytes:
    """The samples ``values`` as bytes in ``encoding``."""
    return encoder(encoding)(values)

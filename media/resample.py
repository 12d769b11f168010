"""Stateful conversion between audio formats, one converter a direction and utterance. [core]

Audio that passes in real time goes through a short polyphase filter of our own, not through soxr:
soxr's streaming mode holds back 2.5-20 ms (LQ, 16 to 24 kHz) or up to 40 ms (24 to 8 kHz) and gives
it back in lumps, so that some calls return nothing
(docs/design/audio.md#soxr-gives-streams-back-in-lumps). The filter here holds back a constant 1 ms
(2 ms at 8 kHz), with errors 70 dB down from 300 to 3400 Hz, more than a telephone needs;
tests/media/test_resample.py holds both next to each other. Where latency does not matter (sound
files) ``convert`` uses soxr.
"""

from __future__ import annotations

from functools import cache
from math import ceil, gcd

import numpy as np
import numpy.typing as npt
import soxr

from media.frame import Format, Samples, decoder, encoder, recoder, to_pcm

_STOP_DB = 76.0
_TRANSITION = 0.30  # of the lower Nyquist frequency: 3400-4600 Hz for 8 kHz
_GROUP = 8  # blocks in one matrix product: fewer, larger products are twice as fast


class Resampler:
    """Changes the rate of a stream by ``target / source``, sample-exact in length.

    Output sample n stands for the time of input sample ``n * source / target``: there is no offset,
    only ``delay_ms`` of audio that is still inside and comes out with ``finish``. With ``lead`` the
    stream begins with so much silence instead: then each chunk gives its whole length at once.
    """

    def __init__(self, source: int, target: int, *, lead: bool = False) -> None:
        self._bank, self._wide, self._up, self._down, self._ahead = _bank(source, target)
        silence = self._ahead if lead else 0
        self._history: npt.NDArray[np.float64] = np.zeros(self._ahead + silence)
        self._fed = silence
        self._given = 0
        self.delay_ms = self._ahead * 1000 / source

    def feed(self, values: Samples) -> Samples:
        """Give samples in, take out what can be computed by now (any number, also none)."""
        self._fed += values.size
        return self._run(values)

    def finish(self) -> Samples:
        """The rest of the utterance, once. The resampler must not be fed afterwards."""
        due = ceil(self._fed * self._up / self._down) - self._given
        return self._run(np.zeros(self._ahead + self._down, np.int16))[: max(0, due)]

    def _run(self, values: Samples) -> Samples:
        data: npt.NDArray[np.float64] = np.concatenate((self._history, values))
        blocks = max(0, (data.size - self._bank.shape[0]) // self._down + 1)
        groups = blocks // _GROUP
        grouped = groups * _GROUP
        self._history = data[blocks * self._down :].copy()
        out = np.empty(blocks * self._up)
        _product(data, self._wide, _GROUP * self._down, out[: grouped * self._up])
        _product(data[grouped * self._down :], self._bank, self._down, out[grouped * self._up :])
        self._given += out.size
        return to_pcm(out)


def _product(
    data: npt.NDArray[np.float64],
    bank: npt.NDArray[np.float64],
    step: int,
    out: npt.NDArray[np.float64],
) -> None:
    """Fill ``out``: the products of ``bank`` and windows of ``data``, ``step`` samples apart."""
    width, outputs = bank.shape
    count = out.size // outputs
    if count:
        windows = np.ndarray((count, width), data.dtype, data, strides=(8 * step, 8))
        np.matmul(np.ascontiguousarray(windows), bank, out=out.reshape(count, outputs))


@cache
def _bank(
    source: int, target: int
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], int, int, int]:
    """The filter as a matrix: ``window @ bank`` turns ``down`` new samples into ``up`` new ones.

    Returns (bank, the same for ``_GROUP`` blocks, up, down, samples of look-ahead). Each tap is a
    multiple of 2**-24, so that sums are exact in whatever order they are made: the output depends
    neither on the size of the chunks nor on the machine.
    """
    up, down = target // gcd(source, target), source // gcd(source, target)
    nyquist = min(source, target) / 2
    rate = source * up
    # Kaiser's formulas for the length and shape of a low-pass with this stop band.
    width = 2 * np.pi * _TRANSITION * nyquist / rate
    ahead = ceil((_STOP_DB - 7.95) / (2.285 * width) / 2 / up)
    center = ahead * up
    n = np.arange(-center, center + 1)
    taps = np.sinc(2 * nyquist / rate * n) * np.kaiser(n.size, 0.1102 * (_STOP_DB - 8.7))
    span = 2 * ahead + down
    bank = np.zeros((span, up))
    for j in range(up):
        for w in range(span):
            # distance, in samples of the common rate, of input w from the time of output j
            at = (w - ahead) * up - j * down
            if -center <= at <= center:
                bank[w, j] = taps[center + at]
    bank = np.rint(bank / bank.sum(axis=0) * 2**24) / 2**24
    wide = np.zeros((span + (_GROUP - 1) * down, _GROUP * up))
    for block in range(_GROUP):
        wide[block * down : block * down + span, block * up : (block + 1) * up] = bank
    return bank, wide, up, down, ahead


class Converter:
    """Turns a stream in ``source`` format into ``target`` format, in chunks of any size.

    A chunk may end in the middle of a sample: the rest waits for the next one, so that a message of
    odd size does not shift the stream. ``lead`` as for the ``Resampler``; ``lead_ms`` says how much
    silence it put first.
    """

    def __init__(self, source: Format, target: Format, *, lead: bool = False) -> None:
        self._decode, self._encode = decoder(source.encoding), encoder(target.encoding)
        self._recode = recoder(source.encoding, target.encoding)
        self._two_bytes = source.sample_bytes == 2
        self._resampler: Resampler | None = None
        self.lead_ms = 0.0
        if source.rate != target.rate:
            self._resampler = Resampler(source.rate, target.rate, lead=lead)
            self.lead_ms = self._resampler.delay_ms if lead else 0.0
        self._partial = b""

    def feed(self, data: bytes) -> bytes:
        """Convert what ``data`` completes."""
        if self._two_bytes and (self._partial or len(data) & 1):
            data = self._partial + data
            whole = len(data) & ~1
            data, self._partial = data[:whole], data[whole:]
        if self._resampler is None:
            return self._recode(data)
        return self._encode(self._resampler.feed(self._decode(data)))

    def finish(self) -> bytes:
        """The tail of the utterance; half a sample at its end is dropped."""
        if self._resampler is None:
            return b""
        return self._encode(self._resampler.finish())


def convert(values: Samples, source: int, target: int) -> Samples:
    """Change the rate of a whole sound at soxr's best quality; not for streams."""
    if source == target:
        return values
    return to_pcm(soxr.resample(values.astype(np.float32), source, target, quality="VHQ"))

"""Conversion between audio formats: a converter for each direction and utterance. [core]

Why a resampler of our own: soxr's streams hold back 2.5-20 ms (LQ, 16 to 24 kHz) or 5-40 ms (24 to
8 kHz) and return it in lumps (docs/design/audio.md#soxr-gives-streams-back-in-lumps). In real time
each lump is latency, and an empty step is a missing frame.

The filter here is a polyphase low-pass, written as one matrix product
(docs/design/audio.md#our-own-filter). It holds back a constant 1 ms (2 ms at 8 kHz), and its errors
are 70 dB down from 300 to 3400 Hz, more than a telephone needs. The output is exact in length and
does not depend on the size of the chunks. tests/media/test_resample.py compares it with soxr.

Whole sounds, where latency does not matter, are converted by soxr (``convert``).
"""

from __future__ import annotations

from functools import cache
from math import ceil, gcd
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import soxr

from media.frame import Format, Samples, decoder, encoder, to_pcm, transcoder

Numbers = npt.NDArray[np.float64]

_STOP_DB = 76.0
_TRANSITION = 0.30  # of the lower Nyquist frequency: 3400-4600 Hz for 8 kHz
_GROUP = 8  # blocks in one matrix product: fewer, larger products are twice as fast


class Resampler:
    """Changes a stream's rate from ``source`` to ``target`` Hz, exact in length to the sample.

    Output sample n is the sound at input sample ``n * source / target``: nothing is shifted, but
    ``delay_ms`` of audio stay inside until ``finish``. With ``lead`` the stream begins with that
    much silence instead, and each chunk returns its whole length at once.
    """

    def __init__(self, source: int, target: int, *, lead: bool = False) -> None:
        self._filter = _filter(source, target)
        ahead = self._filter.ahead
        silence = ahead if lead else 0
        self._history: Numbers = np.zeros(ahead + silence)
        self._space = _Workspace(self._filter, self._history.size, 0)
        self._fed = silence
        self._given = 0
        self.delay_ms = ahead * 1000 / source

    def feed(self, values: Samples) -> Samples:
        """Take samples in; returns those that can be computed by now, possibly none."""
        self._fed += values.size
        return self._run(values)

    def finish(self) -> Samples:
        """The rest of the utterance. The resampler is of no use afterwards."""
        due = ceil(self._fed * self._filter.up / self._filter.down) - self._given
        rest = np.zeros(self._filter.ahead + self._filter.down, np.int16)
        return self._run(rest)[: max(0, due)]

    def _run(self, values: Samples) -> Samples:
        space, history = self._space, self._history
        if space.old.size != history.size or space.new.size != values.size:
            space = self._space = _Workspace(self._filter, history.size, values.size)
        space.old[:] = history
        space.new[:] = values
        for windows, rows, bank, out in space.products:
            rows[:] = windows
            rows.dot(bank, out)
        if history.size == space.left.size:
            history[:] = space.left
        else:
            self._history = space.left.copy()
        self._given += space.out.size
        return to_pcm(space.out)


class _Filter(NamedTuple):
    """A filter as a matrix: ``window @ bank`` turns ``down`` new samples into ``up`` new ones.

    ``wide`` is the same for ``_GROUP`` blocks, ``ahead`` how many samples it looks ahead.
    """

    bank: Numbers
    wide: Numbers
    up: int
    down: int
    ahead: int


class _Workspace:
    """Where chunks of ``new`` samples after ``old`` ones are computed. Nearly all chunks of a
    stream have one size, and making these arrays would take as long as the work itself.

    ``left`` are the samples that the next chunk needs, too, ``out`` what this one gives. Each of
    ``products`` is (windows of the samples, a place for a copy that BLAS can read, matrix, its
    part of ``out``).
    """

    def __init__(self, kind: _Filter, old: int, new: int) -> None:
        data: Numbers = np.empty(old + new)
        self.old, self.new = data[:old], data[old:]
        blocks = max(0, (data.size - kind.bank.shape[0]) // kind.down + 1)
        self.left = data[blocks * kind.down :]
        self.out: Numbers = np.empty(blocks * kind.up)
        self.products: list[tuple[Numbers, Numbers, Numbers, Numbers]] = []
        grouped = blocks - blocks % _GROUP
        for bank, size, first, count in (
            (kind.wide, _GROUP, 0, grouped // _GROUP),
            (kind.bank, 1, grouped, blocks - grouped),
        ):
            if count:
                width, outputs = bank.shape
                step, part = 8 * size * kind.down, data[first * kind.down :]
                windows = np.ndarray((count, width), data.dtype, part, strides=(step, 8))
                out = self.out[first * kind.up :][: count * outputs].reshape(count, outputs)
                self.products.append((windows, np.empty_like(windows, order="C"), bank, out))


@cache
def _filter(source: int, target: int) -> _Filter:
    """The low-pass between two rates. Each tap is a multiple of 2**-24, so sums are exact in any
    order: the output depends neither on the size of the chunks nor on the machine."""
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
            # how far input w is from output j, in samples at the common rate
            at = (w - ahead) * up - j * down
            if -center <= at <= center:
                bank[w, j] = taps[center + at]
    bank = np.rint(bank / bank.sum(axis=0) * 2**24) / 2**24
    wide = np.zeros((span + (_GROUP - 1) * down, _GROUP * up))
    for block in range(_GROUP):
        wide[block * down : block * down + span, block * up : (block + 1) * up] = bank
    return _Filter(bank, wide, up, down, ahead)


class Converter:
    """Turns a stream in ``source`` format into ``target`` format, in chunks of any size.

    A chunk may end in the middle of a sample: the first half waits for the next chunk. ``lead`` is
    as in ``Resampler``; ``lead_ms`` is the length of the silence that it puts first.
    """

    def __init__(self, source: Format, target: Format, *, lead: bool = False) -> None:
        self._decode, self._encode = decoder(source.encoding), encoder(target.encoding)
        self._transcode = transcoder(source.encoding, target.encoding)
        self._two_bytes = source.sample_bytes == 2
        self._resampler: Resampler | None = None
        self.lead_ms = 0.0
        if source.rate != target.rate:
            self._resampler = Resampler(source.rate, target.rate, lead=lead)
            self.lead_ms = self._resampler.delay_ms if lead else 0.0
        self._partial = b""

    def feed(self, data: bytes) -> bytes:
        """Convert the samples that ``data`` completes; returns what can be given out by now."""
        if self._two_bytes and (self._partial or len(data) & 1):
            data = self._partial + data
            whole = len(data) & ~1
            data, self._partial = data[:whole], data[whole:]
        if self._resampler is None:
            return self._transcode(data)
        return self._encode(self._resampler.feed(self._decode(data)))

    def finish(self) -> bytes:
        """The rest of the utterance; half a sample at its end is dropped."""
        if self._resampler is None:
            return b""
        return self._encode(self._resampler.finish())


def convert(values: Samples, source: int, target: int) -> Samples:
    """A whole sound, resampled from ``source`` to ``target`` Hz at soxr's best quality."""
    if source == target:
        return values
    return to_pcm(soxr.resample(values.astype(np.float32), source, target, quality="VHQ"))

"""What was heard held against what was said, to the sample."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from media.frame import Format, Samples, decode, encode, pcm, samples, to_pcm
from media.resample import Converter

Values: TypeAlias = npt.NDArray[np.float64]

LOUD = 500  # root mean square of a frame that is speech and not its echo or comfort noise
QUIET = 40  # the highest sample of a frame that is silence


@dataclass(frozen=True)
class Match:
    """Where ``sent`` lies in ``heard``, in one piece.

    ``correlation``: 1.0 for an exact copy. ``at``: samples from the beginning of ``heard``.
    ``worst``: the largest error of a 20 ms frame, relative to the level of all that was sent: a
    dropped, doubled or shifted run makes it about 1 from there on.
    """

    correlation: float
    at: int
    worst: float


def match(heard: Samples, sent: Samples) -> Match:
    """Find ``sent`` in ``heard``."""
    at = _offset(heard, sent)
    part, whole = heard[at : at + sent.size].astype(float), sent.astype(float)
    part = np.pad(part, (0, whole.size - part.size))
    correlation = part @ whole / np.sqrt((part @ part) * (whole @ whole) + 1e-9)
    return Match(float(correlation), at, worst_frame(part, whole))


def worst_frame(part: Values, whole: Values, size: int = 160) -> float:
    """The largest root mean square error of ``size`` samples, relative to the level of it all."""
    count = whole.size // size * size
    errors = (part[:count] - whole[:count]).reshape(-1, size)
    level = np.sqrt(np.mean(whole**2)) + 1e-9
    return float(np.sqrt((errors**2).mean(axis=1)).max() / level)


def gaps(heard: Samples, sent: Samples, rate: int, longest_ms: int = 400) -> list[float]:
    """Follow ``sent`` through ``heard`` where it may have been interrupted, by silence or by what
    a telephone puts in the place of audio that comes late.

    Returns the interruptions in milliseconds, in order. Raises AssertionError where ``sent`` does
    not go on after one: something was dropped or doubled.
    """
    step, look = rate // 100, rate // 5
    offset = _offset(heard, sent[: 2 * look])
    found: list[float] = []
    level = np.sqrt(np.mean(sent.astype(float) ** 2))
    at = 0
    while at + step <= sent.size:
        here = heard[offset + at : offset + at + step].astype(float)
        if here.size == step and rms(here - sent[at : at + step]) < 0.1 * level:
            at += step
            continue
        following = sent[at + step : at + step + look]
        window = heard[offset + at + step : offset + at + step + look + longest_ms * rate // 1000]
        if min(following.size, window.size) < look:
            break  # the last words: too little follows to find an offset by
        shift = min(_offset(window, following), window.size - look)
        after = window[shift : shift + look].astype(float)
        wanted = following.astype(float)
        likeness = after @ wanted / np.sqrt((after @ after) * (wanted @ wanted) + 1e-9)
        assert shift > 0, f"after {at / rate:.2f} s something is missing"
        begin = at
        while is_silent(heard[offset + begin - step : offset + begin]) and begin > step:
            begin -= step  # so faint that silence passed for it
        between = heard[offset + at + step : offset + begin + shift]
        twice = not is_silent(between) and _is_copy(between, sent[:at], step, 0.1 * level)
        assert not twice, f"after {at / rate:.2f} s something is said twice"
        assert likeness > 0.9, f"after {at / rate:.2f} s it does not go on ({likeness:.2f})"
        found.append(shift * 1000 / rate)
        offset += shift
        at += step
    assert sent.size - at <= look, "the end is missing"
    return found


def recorded(side: Samples, said: Samples, rate: int) -> float:
    """How much of what was said is on one side of a recording that FreeSWITCH made.

    It takes a frame of each side at each of its own ticks: where ours has not come yet it records
    20 ms of silence, and where two wait it drops one, though the caller heard all (1.10.12; its
    source says the same). So it is held piece by piece: how many of its pieces of 40 ms that are
    speech lie at most 3 frames away.
    """
    size, frame = rate // 25, rate // 50
    begin = match(side, said).at
    pieces = [at for at in range(0, said.size - size, size) if rms(said[at : at + size]) > LOUD]

    def there(at: int) -> bool:
        shifted = [max(0, begin + at + frames * frame) for frames in range(-3, 4)]
        return any(
            np.corrcoef(said[at : at + size], side[to : to + size])[0, 1] >= 0.95
            for to in shifted
            if to + size <= side.size and side[to : to + size].std() > 0
        )

    return sum(map(there, pieces)) / len(pieces)


def through_telephone(values: Samples, codec: str) -> Samples:
    """What is left of ``values`` after G.711, if ``codec`` is that."""
    if codec != "PCMU":
        return values
    return decode(encode(values, "pcmu"), "pcmu")


def as_played(audio: bytes, source: Format, rate: int) -> Samples:
    """A model's audio as the controller plays it: the same filter, exact for any chunks."""
    converter = Converter(source, pcm(rate))
    return samples(converter.feed(audio) + converter.finish())


def telephone_band(values: Samples, rate: int) -> Samples:
    """300 to 3400 Hz of it, at the same rate: where a lossy codec keeps the shape of the wave."""
    spectrum = np.fft.rfft(values)
    hertz = np.fft.rfftfreq(values.size, 1 / rate)
    spectrum[(hertz < 300) | (hertz > 3400)] = 0
    return to_pcm(np.fft.irfft(spectrum, values.size))


def is_silent(values: Samples) -> bool:
    """Whether nothing can be heard in it."""
    return not values.size or int(np.abs(values.astype(int)).max()) <= QUIET


def is_tone(values: Samples, rate: int, hertz: float) -> bool:
    """Whether it is a tone of this pitch, more or less; for a frame or more."""
    power = np.abs(np.fft.rfft(values * np.hanning(values.size))) ** 2
    near = np.abs(np.fft.rfftfreq(values.size, 1 / rate) - hertz) <= 100
    return float(power[near].sum()) > 0.9 * float(power.sum()) > 0


def rms(values: npt.NDArray[Any]) -> float:
    """Root mean square."""
    return float(np.sqrt(np.mean(values.astype(float) ** 2))) if values.size else 0.0


def _is_copy(values: Samples, said: Samples, size: int, error: float) -> bool:
    """Whether each ``size`` samples of ``values`` stand in the last second of ``said``, too."""
    pieces = np.lib.stride_tricks.sliding_window_view(said[-100 * size :].astype(float), size)
    return all(
        np.sqrt(((pieces - values[at : at + size]) ** 2).mean(axis=1)).min() < error
        for at in range(0, values.size - size + 1, size)
    )


def _offset(heard: Samples, sent: Samples) -> int:
    size = 1 << (heard.size + sent.size).bit_length()
    spectrum = np.fft.rfft(heard.astype(float), size) * np.conj(
        np.fft.rfft(sent.astype(float), size)
    )
    lags = np.fft.irfft(spectrum, size)
    return int(np.argmax(lags[: max(1, heard.size)]))

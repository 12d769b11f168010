"""One table of the sounds that a caller's line may bring while we speak, and the right verdicts.

Each sound is made at 8 kHz from a seed, which varies its levels, times, pitches and noise. Speech
and our own echo are the bundled recordings; everything else is synthesised here. The thresholds of
the check were tuned on recorded telephone speech in three languages and on recorded music that are
not part of this project, so it was not fitted to these sounds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import product

import numpy as np
import numpy.typing as npt

from media import sounds
from media.frame import Samples, to_pcm
from media.resample import convert

RATE = 8000
PLAYED_DB = -20.0  # the level of what we play, which comes back as echo

Wave = npt.NDArray[np.float64]  # of any level; `Sound.made` sets it
Chance = np.random.Generator

# (name, language): where its first vowel begins, in ms. `greeting` and `sorry` are a woman's voice,
# the callers a man's.
VOWEL_MS = {
    ("caller", "en"): 50,
    ("caller", "pt-BR"): 50,
    ("caller_interrupts", "en"): 130,
    ("caller_interrupts", "pt-BR"): 50,
    ("greeting", "en"): 70,
    ("greeting", "pt-BR"): 50,
    ("sorry", "en"): 50,
    ("sorry", "pt-BR"): 50,
}


# Confirmed later than the rest. "Good morning" takes 484 ms in the worst position within a frame;
# "Sorry," has less than 240 ms of voice before the pause, and in "I am so-" the pitch hardly moves.
SLOW = {("caller_interrupts", "en"), ("sorry", "en")}


@dataclass(frozen=True)
class Sound:
    """One row. SPEECH must come `within_ms` of the vowel, which begins at `vowel_ms`; None: never.

    `share`: the share of seeds for which that must hold. It is below 1 where the check is known to
    err, and where NOISE may come before SPEECH.
    """

    name: str
    make: Callable[[Chance], Wave]
    db: float  # dBFS RMS
    within_ms: int | None = None
    vowel_ms: int = 0
    share: float = 1.0
    behind: Callable[[Chance, int], Wave] | None = None  # (chance, samples): what else is there
    behind_db: float = 0.0  # dBFS RMS

    def made(self, seed: int, before_ms: int, after_ms: int) -> Samples:
        """The sound on its line, with `before_ms` of the line before it and `after_ms` after."""
        chance = np.random.default_rng(seed)
        line = np.pad(
            at_level(self.make(chance), self.db),
            (before_ms * RATE // 1000, after_ms * RATE // 1000),
        )
        if self.behind:
            line += at_level(self.behind(chance, line.size), self.behind_db)
        return to_pcm(line)


def at_level(wave: Wave, db: float) -> Wave:
    """`wave` at `db` dBFS RMS."""
    return wave * float(32768 * 10 ** (db / 20) / np.sqrt(np.mean(wave**2)))


@cache
def recorded(name: str, language: str) -> Wave:
    """A bundled sound at 8 kHz."""
    return convert(*sounds.load(name, language), RATE).astype(np.float64)


def speech(name: str, language: str, _chance: Chance) -> Wave:
    return recorded(name, language)


def cut(name: str, language: str, start_ms: int, end_ms: int, _chance: Chance) -> Wave:
    """A word from a bundled sound."""
    return recorded(name, language)[start_ms * RATE // 1000 : end_ms * RATE // 1000]


def echo(name: str, language: str, chance: Chance) -> Wave:
    """A random part of our own speech as a room and a line return it: duller, and twice."""
    said = recorded(name, language)
    said = said[chance.integers(said.size // 2) :]
    delays = (chance.uniform(0.02, 0.3, 2) * RATE).astype(int)
    returned = np.zeros(said.size + delays.max())
    for delay, share in zip(delays, (1.0, 0.3), strict=True):
        returned[delay : delay + said.size] += share * said
    return np.convolve(returned, [0.25, 0.5, 0.25], "same")


def echo_that_stops(name: str, language: str, chance: Chance) -> Wave:
    """The echo that still arrives after we paused: 20 to 300 ms of it."""
    returned = echo(name, language, chance)
    return returned[RATE // 2 :][: int(chance.uniform(0.02, 0.3) * RATE)]


def cough(times: int, chance: Chance) -> Wave:
    """A burst, a hiss that fades, and a short hoarse voice that falls; 0.2 to 0.6 s apart."""
    parts = []
    for _ in range(times):
        hiss_s, voice_s = chance.uniform(0.1, 0.25), chance.uniform(0.05, 0.12)
        time = np.arange(int((hiss_s + voice_s) * RATE)) / RATE
        noise = chance.normal(size=time.size) * np.minimum(time / 0.005, 1)
        noise *= np.exp(-time / chance.uniform(0.05, 0.1))
        since = np.maximum(time - hiss_s, 0)
        pitch = chance.uniform(110, 280) * (1 - 0.3 * since / voice_s)
        voice = buzz(pitch) * (time > hiss_s) * np.sin(np.pi * np.minimum(since / voice_s, 1))
        parts += [noise + chance.uniform(0.2, 0.5) * voice]
        parts += [np.zeros(int(chance.uniform(0.2, 0.6) * RATE))]
    return np.concatenate(parts[:-1])


def buzz(pitch: Wave) -> Wave:
    """The harmonics of a voice whose pitch in Hz is given for each sample."""
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    sound = np.zeros(pitch.size)
    for k in range(1, 11):
        sound += np.sin(k * phase) / k
    return sound


def note(hertz: float, seconds: float, chance: Chance) -> Wave:
    """A plucked or a blown note without vibrato."""
    time = np.arange(int(seconds * RATE)) / RATE
    tone = np.zeros(time.size)
    for k in range(1, 7):
        if k * hertz < 3400:  # a telephone's band
            share = chance.uniform(0.2, 1) / k
            tone += share * np.sin(2 * np.pi * k * hertz * time + chance.uniform(0, 6))
    return tone * np.exp(-time / chance.uniform(0.15, 2)) * np.minimum(time / 0.01, 1)


def music(chance: Chance, *, voices: int, drums: bool = False, seconds: float = 3) -> Wave:
    """Notes of one scale, `voices` of them at a time, at 80 to 140 beats a minute."""
    beat = 60 / chance.uniform(80, 140)
    root = chance.uniform(110, 220)
    scale = root * 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 17, 19]) / 12)
    played = np.zeros(int(seconds * RATE) + 3 * RATE)
    at = 0.0
    while at < seconds:
        length = beat * chance.choice([0.5, 1, 1, 2])
        first = chance.integers(len(scale) - 2 * (voices - 1))
        for voice in range(voices):
            add(played, note(scale[first + 2 * voice], length, chance), at)
        at += length
    for at in np.arange(0, seconds, beat / 2) if drums else ():
        add(played, 2 * drum(chance), at)
    return played[: int(seconds * RATE)]


def drum(chance: Chance) -> Wave:
    """A kick, whose pitch falls, or a snare or a hat, of noise."""
    time = np.arange(RATE // 8) / RATE
    if chance.random() < 0.3:
        return np.asarray(np.sin(2 * np.pi * (50 * time - 3 * np.exp(-time / 0.03))))
    return chance.normal(size=time.size) * np.exp(-time / chance.uniform(0.01, 0.05))


def add(total: Wave, part: Wave, at_s: float) -> None:
    at = int(at_s * RATE)
    total[at : at + part.size] += part[: total.size - at]


def tones(hertz: tuple[float, ...], on_s: float, off_s: float, chance: Chance) -> Wave:
    """Steady tones together, on and off."""
    time = np.arange(4 * RATE) / RATE + chance.uniform(0, on_s)
    tone = np.zeros(time.size)
    for each in hertz:
        tone += np.sin(2 * np.pi * each * time + chance.uniform(0, 6))
    return tone * (time % (on_s + off_s) < on_s)


def hum(hertz: float, chance: Chance) -> Wave:
    """The mains and their harmonics, any of which may be the strongest."""
    time = np.arange(3 * RATE) / RATE
    line = np.zeros(time.size)
    for k in range(1, 9):
        share = chance.uniform(0.1, 1)
        line += share * np.sin(2 * np.pi * k * hertz * time + chance.uniform(0, 6))
    return line


def white(chance: Chance, size: int = 3 * RATE) -> Wave:
    return chance.normal(size=size)


def pink(chance: Chance, size: int = 3 * RATE) -> Wave:
    spectrum = np.fft.rfft(chance.normal(size=size))
    return np.fft.irfft(spectrum / np.sqrt(np.maximum(np.arange(spectrum.size), 1)), size)


def clicks(chance: Chance) -> Wave:
    """Clicks at random times, ten a second on average; each rings for some milliseconds."""
    line = np.zeros(3 * RATE)
    for at in chance.uniform(0, 2.9, 30):
        time = np.arange(80) / RATE
        add(line, np.sin(2 * np.pi * chance.uniform(300, 3000) * time) * np.exp(-time / 0.002), at)
    return line


def band(chance: Chance, size: int) -> Wave:
    return music(chance, voices=3, drums=True, seconds=size / RATE)[:size]


def _speech() -> Iterator[Sound]:
    for (name, language), db in product(VOWEL_MS, (-20.0, -26.0, -32.0)):
        label, vowel_ms = f"{name} {language} {db:.0f} dB", VOWEL_MS[name, language]
        within_ms, share = (540, 0.8) if (name, language) in SLOW else (440, 1.0)
        sound = Sound(label, partial(speech, name, language), db, within_ms, vowel_ms, share)
        yield sound
        yield replace(sound, name=f"{label}, line noise", behind=white, behind_db=db - 20)
        yield replace(
            sound, name=f"{label}, music", within_ms=1000, share=0.8, behind=band, behind_db=db - 10
        )


def _words() -> Iterator[Sound]:
    """Two syllables are a quarter of a second of voice; one is less, and passes for a cough."""
    words: tuple[tuple[str, str, str, int, int, int | None], ...] = (
        ("good morning", "caller", "en", 0, 780, 440),
        ("one", "caller_interrupts", "en", 600, 800, None),
        ("bom dia", "caller", "pt-BR", 0, 600, 440),
        ("desculpe", "caller_interrupts", "pt-BR", 0, 520, 440),
        ("um", "caller_interrupts", "pt-BR", 800, 980, None),
    )
    for word, name, language, start_ms, end_ms, within_ms in words:
        make = partial(cut, name, language, start_ms, end_ms)
        yield Sound(f"the word {word!r}", make, -26, within_ms, VOWEL_MS[name, language])


def _echoes() -> Iterator[Sound]:
    for name, language in product(("greeting", "sorry"), sounds.LANGUAGES):
        for below in (20, 30):
            label, db = f"echo of {name} {language} {below} dB below", PLAYED_DB - below
            yield Sound(label, partial(echo, name, language), db)
            yield Sound(f"{label}, paused", partial(echo_that_stops, name, language), db)


def _noises() -> Iterator[Sound]:
    for db in (-20.0, -30.0):
        for times in (1, 2):
            yield Sound(f"{times} cough {db:.0f} dB", partial(cough, times), db)
        for hertz in (50, 60):
            yield Sound(f"hum of {hertz} Hz {db:.0f} dB", partial(hum, hertz), db)
        yield Sound(f"white noise {db:.0f} dB", white, db)
        yield Sound(f"pink noise {db:.0f} dB", pink, db)
        yield Sound(f"clicks {db:.0f} dB", clicks, db)
    for db in (-25.0, -32.0):
        for voices, drums in product((1, 3), (False, True)):
            label = f"{'melody' if voices == 1 else 'chords'}{' with drums' if drums else ''}"
            make = partial(music, voices=voices, drums=drums)
            # Where one chord gives way to another, its common period may seem to glide.
            share = 1.0 if voices == 1 else 0.8
            yield Sound(f"{label} {db:.0f} dB", make, db, share=share)
    rows, columns = (697, 770, 852, 941), (1209, 1336, 1477)
    for keys in product(rows, columns):
        yield Sound(f"DTMF {keys}", partial(tones, keys, 0.1, 0.1), -15)
    yield Sound("ringback (US)", partial(tones, (440, 480), 2, 4), -19)
    yield Sound("ringback (Brazil)", partial(tones, (425,), 1, 4), -19)
    yield Sound("busy (US)", partial(tones, (480, 620), 0.5, 0.5), -24)
    yield Sound("busy (Brazil)", partial(tones, (425,), 0.25, 0.25), -19)


CORPUS = (*_speech(), *_words(), *_echoes(), *_noises())
SPEECH = tuple(sound for sound in CORPUS if sound.within_ms is not None)
NOISE = tuple(sound for sound in CORPUS if sound.within_ms is None)

"""``esl-controller call``: a test call by a caller of our own.

The caller hears the greeting, says its words, hears the reply and hangs up. What it hears is
printed as it happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import wave
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from esl_controller.config.settings import Settings
from esl_controller.freeswitch.esl import Inbound
from esl_controller.freeswitch.leg import CallFailed, Leg, event_socket
from media import sounds
from media.frame import Samples, samples, to_pcm
from media.resample import convert
from media.voice_activity import VoiceActivity, VoiceStarted, VoiceStopped

__all__ = ["CallFailed", "CallPlan", "Caller", "bundled_words", "call", "place", "read_wav"]

QUIET_MS = 700  # silence that ends somebody's words
STEP_S = 0.05
LOUD = 300  # the least amplitude of a sample that belongs to a word


@dataclass(frozen=True)
class CallPlan:
    """What to call and what to say. ``audio``: the caller's words at ``audio_rate`` Hz."""

    number: str
    context: str
    audio: Samples
    audio_rate: int
    record: Path | None
    timeout_s: float
    variables: dict[str, str] = field(default_factory=dict)


@dataclass
class CallTimings:
    """When the caller heard and said what. ``answered_after``: seconds from dialling to the answer;
    all other times are seconds since the answer. ``utterances``: the beginning and end of each
    (None: it was not over). ``said_at``, ``said_for``: the caller's own words."""

    answered_after: float = 0.0
    utterances: list[tuple[float, float | None]] = field(default_factory=list)
    said_at: float | None = None
    said_for: float = 0.0

    def when(self, at: float) -> str:
        """``at`` in relation to the caller's words; empty before them."""
        if self.said_at is None:
            return ""
        after = at - self.said_at - self.said_for
        return f", {after * 1000:.0f} ms after our words" if after >= 0 else ", while we speak"

    @property
    def reply(self) -> float | None:
        """When the first utterance after the caller's words began. One that began before they were
        over, such as the rest of a greeting, is not a reply to them."""
        if self.said_at is None:
            return None
        over = self.said_at + self.said_for
        return next((begin for begin, _ in self.utterances if begin >= over), None)

    def told(self) -> str:
        """All utterances, in a line."""
        return ", ".join(
            f"{begin:.1f}-{end:.1f} s" if end is not None else f"{begin:.1f} s to the end"
            for begin, end in self.utterances
        )


class Caller:
    """One call: ``run()``, then ``save()``."""

    def __init__(self, connection: Inbound, settings: Settings, plan: CallPlan) -> None:
        self.heard = CallTimings()
        self.leg = Leg(connection, settings.media)
        self._plan = plan
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._voice: VoiceActivity | None = None
        self._began = 0.0
        self._lane_at = 0.0

    async def run(self) -> None:
        """Make the call and stay to its end. Raises CallFailed."""
        await self._dial()
        async with self.leg.lane():
            self._lane_at = self._since()
            self._voice = VoiceActivity(self.leg.rate, silence_ms=QUIET_MS)
            self.leg.on_frame = self._hear
            self.leg.ended.add_done_callback(lambda _: self._changed.set())
            try:
                async with asyncio.timeout(self._plan.timeout_s):
                    await self._talk()
            except TimeoutError:
                _say(f"hanging up after {self._plan.timeout_s:g} s (--timeout)")
        await self.leg.hang_up()
        if not self.heard.utterances:
            raise CallFailed("answered, but nothing was heard: see the controller's log")
        if self.heard.said_at is not None and self.heard.reply is None:
            raise CallFailed("greeted, but our words had no reply: see the controller's log")

    async def _dial(self) -> None:
        plan = self._plan
        dialled = self._loop.time()
        _say(f"calling {plan.number} in context {plan.context} ...")
        failure = await self.leg.dial(
            f"loopback/{plan.number}/{plan.context}", plan.variables, plan.timeout_s
        )
        if failure:
            raise CallFailed(
                f"the call was not answered: {failure}. Does the context {plan.context!r} have"
                f" {plan.number!r}, and does its socket action reach the controller?"
            )
        self._began = self._loop.time()
        self.heard.answered_after = self._began - dialled
        _say(f"answered after {self.heard.answered_after * 1000:.0f} ms")

    async def _talk(self) -> None:
        """Hear the greeting, say the words, hear the reply."""
        if not await self._utterance(1):
            return
        heard = self.heard
        heard.said_at = self._since()
        self.leg.say(self._plan.audio, self._plan.audio_rate)
        heard.said_for = _words_s(self._plan.audio, self._plan.audio_rate)
        _say(f"{heard.said_at:6.2f} s  we say {heard.said_for:.1f} s of words")
        over = heard.said_at + heard.said_for
        while self._since() < over and not self.leg.ended.done():
            await self._change(STEP_S)
        before = sum(begin < over for begin, _ in heard.utterances)
        await self._utterance(before + 1)

    async def _utterance(self, number: int) -> bool:
        """Wait until utterance ``number`` has ended; False if the call ended first."""
        while not self.leg.ended.done():
            if len(self.heard.utterances) >= number and self.heard.utterances[number - 1][1]:
                return True
            await self._change(None)
        _say(f"{self._since():6.2f} s  the call ended: {self.leg.ended.result()}")
        return False

    async def _change(self, within: float | None) -> None:
        self._changed.clear()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(within):
                await self._changed.wait()

    def _hear(self, frame: bytes) -> None:
        assert self._voice is not None
        for event in self._voice.feed(samples(frame)):
            at = self._lane_at + event.at_ms / 1000
            if isinstance(event, VoiceStarted):
                self.heard.utterances.append((at, None))
                _say(f"{at:6.2f} s  we hear speech{self.heard.when(at)}")
            elif isinstance(event, VoiceStopped):
                begun, _ = self.heard.utterances[-1]
                self.heard.utterances[-1] = (begun, at)
                _say(f"{at:6.2f} s  it ends, after {at - begun:.1f} s")
        self._changed.set()

    def _since(self) -> float:
        return self._loop.time() - self._began

    def save(self, path: Path) -> None:
        """Write the call as a stereo WAV: left what the caller said, right what it heard."""
        rate = self.leg.rate
        right = samples(b"".join(self.leg.frames))
        left = np.zeros_like(right)
        if self.heard.said_at is not None:
            words = convert(self._plan.audio, self._plan.audio_rate, rate)
            at = int((self.heard.said_at - self._lane_at) * rate)
            part = words[: max(0, left.size - at)]
            left[at : at + part.size] = part
        with wave.open(str(path), "wb") as file:
            file.setparams((2, 2, rate, 0, "NONE", ""))
            file.writeframes(np.column_stack((left, right)).tobytes())
        _say(f"recorded in {path}")


def _words_s(words: Samples, rate: int) -> float:
    """Seconds until the last word ends; a recording may end with silence."""
    loud = np.flatnonzero(np.abs(words.astype(int)) > LOUD)
    return float(loud[-1] + 1) / rate if loud.size else words.size / rate


def read_wav(path: Path) -> tuple[Samples, int]:
    """The first channel of a 16-bit WAV, and its rate. Raises CallFailed."""
    try:
        with wave.open(str(path), "rb") as file:
            channels, width, rate, count = file.getparams()[:4]
            if width != 2:
                raise CallFailed(f"{path} has {8 * width} bits a sample; convert it to 16-bit PCM")
            return samples(file.readframes(count))[::channels].copy(), rate
    except (OSError, wave.Error, EOFError) as error:
        raise CallFailed(f"cannot read {path}: {error}") from None


async def place(settings: Settings, plan: CallPlan) -> None:
    """Make one call, and print what happens. Raises CallFailed."""
    async with event_socket(settings.freeswitch) as connection:
        caller = Caller(connection, settings, plan)
        try:
            await caller.run()
        finally:
            if plan.record is not None and caller.leg.frames:
                caller.save(plan.record)
        _say(f"heard: {caller.heard.told()}")


def call(settings: Settings, plan: CallPlan) -> int:
    """``esl-controller call``: 0 if the call was answered and something was heard, else 1."""
    try:
        asyncio.run(place(settings, plan))
    except CallFailed as failure:
        print(f"esl-controller call: {failure}", file=sys.stderr)
        return 1
    return 0


def bundled_words(language: str) -> tuple[Samples, int]:
    """The words that a caller says if no file is given."""
    values, rate = sounds.load("caller", language)
    return to_pcm(values.astype(np.float32)), rate


def _say(text: str) -> None:
    print(text, flush=True)

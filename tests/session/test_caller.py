"""The caller's last moments, and the check of them."""

from __future__ import annotations

import numpy as np
import pytest

from esl_controller.call.agent_events import SpeechStarted, SpeechStopped
from esl_controller.call.events import SpeechConfirmed, SpeechDoubted, ToneHeard
from esl_controller.session.caller import BEFORE_MS, CallerAudio
from media import sounds, speech_check
from media.frame import FRAME_MS, PCMU, Format, Samples, encode, pcm
from media.resample import convert

PCM = pcm(24000)


class Agent:
    """What the gate needs of one."""

    def __init__(self, format_: Format, *, takes_turns: bool = False) -> None:
        self.input = format_
        self.takes_turns = takes_turns
        self.heard = b""

    def hear(self, audio: bytes) -> None:
        self.heard += audio


class Check:
    """A caller, and the verdicts."""

    def __init__(self, format_: Format = PCM, confirm_ms: int = 240) -> None:
        self.verdicts: list[SpeechConfirmed | SpeechDoubted | ToneHeard] = []
        self.agent = Agent(format_)
        self.audio = CallerAudio(confirm_ms, self.verdicts.append)
        self.audio.connect(self.agent)  # type: ignore[arg-type]
        self.audio.gate = "open"
        self._format = format_

    def hear(self, values: Samples) -> None:
        """24 kHz samples, in frames of the agent's format."""
        data = encode(convert(values, 24000, self._format.rate), self._format.encoding)
        size = self._format.frame_bytes
        for at in range(0, len(data), size):
            self.audio.hear(data[at : at + size])


def words(ms: int, start_ms: int = 0) -> Samples:
    values, rate = sounds.load("caller")
    first = int(np.flatnonzero(np.abs(values) > 1000)[0])
    return values[first + start_ms * rate // 1000 :][: ms * rate // 1000]


def noise(ms: int, level: float = 3000) -> Samples:
    values = np.random.default_rng(1).normal(0, level, 24 * ms)
    return values.clip(-32768, 32767).astype(np.int16)


def silence(ms: int) -> Samples:
    return np.zeros(24 * ms, np.int16)


@pytest.mark.parametrize("format_", [PCM, PCMU])
def test_speech_is_confirmed_once(format_: Format) -> None:
    check = Check(format_)
    check.hear(silence(600))
    check.audio.check()
    check.hear(words(2000))
    assert check.verdicts == [SpeechConfirmed()]


@pytest.mark.parametrize("packet_ms", [10, 20, 40, 60])
def test_no_more_than_the_last_moments_is_looked_at(
    packet_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[int] = []
    monkeypatch.setattr(
        "media.tone_check.ToneCheck.feed", lambda _, samples: looked_at.append(samples.size)
    )
    check = Check()
    for _ in range(3000 // packet_ms):
        check.audio.hear(bytes(PCM.bytes_of(packet_ms)))
    check.audio.follow(SpeechStarted(0, "u1"))
    assert looked_at == [BEFORE_MS * PCM.rate // 1000]


def test_what_led_to_the_check_is_part_of_it() -> None:
    check = Check()
    check.hear(words(BEFORE_MS))
    assert check.verdicts == []
    check.audio.check()
    assert check.verdicts == [SpeechConfirmed()]


def test_what_is_longer_ago_is_not() -> None:
    check = Check()
    check.hear(words(2000))
    check.hear(silence(BEFORE_MS + FRAME_MS))
    check.audio.check()
    assert check.verdicts == []


def test_the_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    fed: list[int] = []
    feed = speech_check.SpeechCheck.feed

    def noting(self: speech_check.SpeechCheck, values: Samples) -> speech_check.Verdict | None:
        fed.append(values.size)
        return feed(self, values)

    monkeypatch.setattr(speech_check.SpeechCheck, "feed", noting)
    check = Check()
    check.hear(silence(20_000))
    check.audio.check()
    (before,) = fed
    assert BEFORE_MS <= PCM.ms(2 * before) <= BEFORE_MS + FRAME_MS


def test_noise_is_doubted_and_speech_after_it_confirmed() -> None:
    check = Check()
    check.hear(silence(400))
    check.hear(noise(100))
    check.audio.check()
    check.hear(noise(600))
    assert check.verdicts[0] == SpeechDoubted()
    assert SpeechConfirmed() not in check.verdicts
    check.hear(words(2000))
    assert check.verdicts[-1] == SpeechConfirmed()
    assert check.verdicts.count(SpeechConfirmed()) == 1


def test_everything_is_speech_where_nothing_is_to_be_confirmed() -> None:
    check = Check(confirm_ms=0)
    check.audio.check()
    check.hear(noise(1000))
    assert check.verdicts == [SpeechConfirmed()]


def test_no_verdict_before_it_is_asked_for_and_after_it_is_not_wanted() -> None:
    check = Check()
    check.hear(words(2000))
    check.hear(silence(1000))
    assert check.verdicts == []
    check.audio.check()
    check.audio.stop()
    check.hear(words(2000))
    assert check.verdicts == []


def test_each_check_has_its_own_verdict() -> None:
    check = Check()
    for _ in range(2):
        check.hear(silence(600))
        check.audio.check()
        check.hear(words(2000))
    assert check.verdicts == [SpeechConfirmed()] * 2


def test_a_longer_confirmation_takes_longer() -> None:
    heard: dict[int, int] = {}
    for confirm_ms in (120, 600):
        check = Check(confirm_ms=confirm_ms)
        check.hear(silence(600))
        check.audio.check()
        while not check.verdicts and heard.get(confirm_ms, 0) < 3000:
            at = heard.get(confirm_ms, 0)
            check.hear(words(FRAME_MS, at))
            heard[confirm_ms] = at + FRAME_MS
    assert 100 <= heard[120] < heard[600] < 3000


LOUD = b"\x10\x20" * 480


def test_a_closed_gate_lets_nothing_pass() -> None:
    check = Check()
    check.audio.gate = "closed"
    check.audio.hear(LOUD)
    assert check.agent.heard == b""
    check.audio.gate = "open"
    check.audio.hear(LOUD)
    assert check.agent.heard == LOUD


def test_what_is_kept_from_the_agent_is_kept_from_the_check_too() -> None:
    check = Check()
    check.audio.gate = "closed"
    check.hear(words(2000))
    check.audio.gate = "open"
    check.audio.check()
    check.hear(silence(100))
    assert check.verdicts == []


@pytest.mark.parametrize("takes_turns", [False, True])
def test_secret_digits_are_heard_by_nobody(takes_turns: bool) -> None:
    check = Check()
    agent = Agent(PCM, takes_turns=takes_turns)
    check.audio.connect(agent)  # type: ignore[arg-type]
    check.audio.gate = "silent"
    check.audio.hear(LOUD)
    # Silence keeps the clock of a model that takes turns itself going.
    assert agent.heard == (bytes(len(LOUD)) if takes_turns else b"")


def test_another_agent_hears_from_then_on() -> None:
    check, other = Check(), Agent(PCM)
    check.hear(words(BEFORE_MS))
    before = check.agent.heard
    check.audio.connect(other)  # type: ignore[arg-type]
    check.audio.hear(LOUD)
    assert (check.agent.heard, other.heard) == (before, LOUD)


def tone(ms: int, hertz: float = 1100) -> Samples:
    """That of a fax that calls (ITU-T T.30)."""
    return (3000 * np.sin(2 * np.pi * hertz * np.arange(24 * ms) / 24_000)).astype(np.int16)


@pytest.mark.parametrize("format_", [PCM, PCMU])
def test_a_tone_is_reported_before_it_has_ended(format_: Format) -> None:
    caller = Check(format_)
    caller.hear(np.concatenate((silence(600), tone(150))))
    caller.audio.follow(SpeechStarted(0))
    caller.hear(tone(350))
    assert caller.verdicts == [ToneHeard(alone=True)]
    caller.audio.follow(SpeechStopped(0))


def test_words_after_a_tone_are_heard() -> None:
    caller = Check()
    caller.audio.follow(SpeechStarted(0))
    caller.hear(np.concatenate((tone(600), words(1500))))
    assert caller.verdicts[0] == ToneHeard(alone=True)
    assert SpeechConfirmed() in caller.verdicts


def test_words_are_no_tone_and_nothing_is_looked_for_after_them() -> None:
    caller = Check()
    caller.audio.follow(SpeechStarted(0))
    caller.hear(words(2000))
    caller.audio.follow(SpeechStopped(0))
    caller.hear(np.concatenate((silence(500), tone(3000))))
    assert caller.verdicts == []

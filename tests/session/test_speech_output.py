"""What a call says, heard at the playout."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from esl_controller.session.speech_output import SpeechOutput
from media import sounds
from media.frame import PCMU, encode, pcm
from media.playout import LOST_MS, CutOff, Finished, Playout
from media.resample import Converter, convert
from media.sounds.music import loop

RATE = 8000
SECOND = np.full(24000, 1000, np.int16).tobytes()  # in the agent's format


class Ear:
    """A playback, and the caller's ear at it: every item that is over is told to the voice."""

    def __init__(self, speech: SpeechOutput, rate: int = RATE) -> None:
        self.rate = rate
        self.playout = Playout(rate)
        self.push, self.complete = self.playout.push, self.playout.complete
        self.flush = self.playout.flush
        self.pause, self.unpause = self.playout.pause, self.playout.unpause
        self.hold, self.unhold = self.playout.hold, self.playout.unhold
        self.heard = self.playout.heard
        self.withdraw = partial(self.playout.take_back, LOST_MS)
        self.counters: dict[str, float] = {}
        self.finished: list[str] = []
        self.closed = 0
        self._speech = speech
        speech.use(self)

    def close(self) -> None:
        self.closed += 1

    def hear(self, frames: int) -> bytes:
        """The next frames, of 20 ms each."""
        heard = b""
        for _ in range(frames):
            heard += self.playout.pop()
            while self.playout.events:
                event = self.playout.events.popleft()
                if isinstance(event, Finished):
                    self.finished.append(event.item)
                    self._speech.finished(event.item)
        return heard


@pytest.fixture
def speech() -> SpeechOutput:
    return SpeechOutput()


@pytest.fixture
def ear(speech: SpeechOutput) -> Ear:
    return Ear(speech)


def silent(heard: bytes) -> bool:
    return not heard.strip(b"\0")


def test_the_agents_speech_is_converted_and_heard_to_its_end(
    speech: SpeechOutput, ear: Ear
) -> None:
    wave = (8000 * np.sin(np.arange(24000) * 2 * np.pi * 440 / 24000)).astype(np.int16)
    data = wave.tobytes()
    for at in range(0, len(data), 4800):
        speech.speak("i1", data[at : at + 4800])
    speech.complete("i1")
    heard = np.frombuffer(ear.hear(55), np.int16)
    assert ear.finished == ["i1"]
    expected = np.abs(np.fft.rfft(heard[800:7200]))
    assert np.argmax(expected) / 0.8 == pytest.approx(440, abs=2)
    assert np.abs(heard).max() == pytest.approx(8000, rel=0.05)


def test_the_agents_format_may_be_another(speech: SpeechOutput, ear: Ear) -> None:
    speech.source = PCMU
    values = np.arange(-800, 800, dtype=np.int16)
    speech.speak("i1", encode(values, "pcmu"))
    speech.complete("i1")
    heard = np.frombuffer(ear.hear(10), np.int16)
    np.testing.assert_allclose(heard, values, atol=20)


def test_an_item_is_new_until_its_first_audio(speech: SpeechOutput, ear: Ear) -> None:
    assert speech.is_new("i1")
    speech.speak("i1", SECOND)
    assert not speech.is_new("i1")
    speech.complete("i1")
    assert not speech.is_new("i1")
    speech.speak("i2", SECOND)
    speech.interrupt()
    assert not speech.is_new("i2")
    assert speech.is_new("i3")


def test_nothing_is_new_where_nothing_can_be_said(speech: SpeechOutput) -> None:
    assert not speech.is_new("i1")
    speech.speak("i1", SECOND)
    speech.complete("i1")
    speech.pause()
    speech.unpause()
    speech.music(True)
    assert speech.interrupt() == []


def test_audio_after_the_end_is_dropped(speech: SpeechOutput, ear: Ear) -> None:
    speech.speak("i1", SECOND)
    speech.complete("i1")
    speech.speak("i1", SECOND)
    ear.hear(60)
    assert ear.finished == ["i1"]
    assert not ear.playout.speaking


def test_an_interruption_tells_what_was_heard_and_drops_the_rest(
    speech: SpeechOutput, ear: Ear
) -> None:
    for item in ("i1", "i2"):
        speech.speak(item, SECOND)
    speech.complete("i1")
    ear.hear(20)
    first, second = speech.interrupt()
    assert first.item == "i1"
    # Without the moment that the filter looks ahead, which is silence of ours.
    assert first.heard_ms == 400 - Converter(pcm(24000), pcm(RATE), lead=True).lead_ms < 400
    assert second == CutOff("i2", 0)
    speech.speak("i2", SECOND)
    speech.complete("i2")
    assert silent(ear.hear(10))
    speech.speak("i3", SECOND)
    assert not silent(ear.hear(10))


def test_sentences_of_ours_are_heard_whole_and_are_not_the_agents(
    speech: SpeechOutput, ear: Ear
) -> None:
    speech.speak("i1", SECOND)
    speech.say("sorry", "en")
    words, rate = sounds.load("sorry", "en")
    expected = convert(words, rate, RATE).tobytes()
    heard = ear.hear(len(expected) // 320 + 2)
    assert heard[: len(expected)] == expected
    assert ear.finished == ["sorry"]
    speech.say("moment", "en")
    assert speech.interrupt() == []
    assert silent(ear.hear(5))


def test_a_sentence_can_be_said_again(speech: SpeechOutput, ear: Ear) -> None:
    said = []
    for _ in range(3):
        speech.say("moment", "pt")
        said.append(ear.hear(200))
    assert not silent(said[0])
    assert said[0] == said[1] == said[2]


def test_a_pause_loses_nothing(speech: SpeechOutput, ear: Ear) -> None:
    speech.say("sorry", "en")
    before = ear.hear(20)
    speech.pause()
    assert silent(ear.hear(20))
    speech.unpause()
    whole = before + ear.hear(20)
    fresh = SpeechOutput()
    other = Ear(fresh)
    fresh.say("sorry", "en")
    assert whole == other.hear(40)


def test_music_goes_round_without_a_gap(speech: SpeechOutput, ear: Ear) -> None:
    speech.speak("i1", SECOND)
    speech.music(True)
    once = loop(RATE).tobytes()
    frames = len(once) // 320
    heard = ear.hear(3 * frames + 7)
    assert heard == (once * 4)[: len(heard)]
    assert ear.playout.gaps == 0
    assert ear.playout.waiting_ms < 3 * frames * 20  # it does not pile up


def test_music_stops_at_once_and_is_not_the_agents(speech: SpeechOutput, ear: Ear) -> None:
    speech.music(True)
    speech.music(True)
    ear.hear(10)
    speech.music(False)
    assert silent(ear.hear(2000))
    speech.speak("i1", SECOND)
    speech.music(False)
    assert not silent(ear.hear(5))
    speech.music(True)
    assert not silent(ear.hear(5))


def test_music_is_played_again_on_another_way(speech: SpeechOutput, ear: Ear) -> None:
    speech.music(True)
    ear.hear(10)
    speech.interrupt()
    other = Ear(speech, 16000)
    speech.music(True)
    heard = other.hear(50)
    assert heard == loop(16000).tobytes()[: len(heard)]


def test_a_sentence_or_an_interruption_ends_the_music(speech: SpeechOutput, ear: Ear) -> None:
    speech.music(True)
    ear.hear(10)
    speech.say("moment", "en")
    speech.music(False)  # ends nothing: there is none any more
    assert not silent(ear.hear(50))
    speech.music(True)
    ear.hear(10)
    assert speech.interrupt() == []
    assert silent(ear.hear(2000))
    speech.music(True)
    assert not silent(ear.hear(5))


def test_what_came_of_open_items_is_heard_when_no_more_will(speech: SpeechOutput, ear: Ear) -> None:
    speech.speak("i1", SECOND)
    speech.speak("i2", SECOND)
    speech.complete_all()
    ear.hear(110)
    assert ear.finished == ["i1", "i2"]


def test_closing_frees_the_playback(speech: SpeechOutput) -> None:
    speech.close()
    ear = Ear(speech, 16000)
    speech.close()
    assert ear.closed == 1
    assert pcm(ear.rate).frame_bytes == 640


def test_an_item_that_is_never_finished_does_not_silence_the_next_one(
    speech: SpeechOutput, ear: Ear
) -> None:
    speech.speak("i1", SECOND)
    speech.speak("i2", SECOND)
    ear.hear(60)
    assert ear.finished == ["i1"]
    assert not silent(ear.hear(10))
    speech.speak("i1", SECOND)  # too late
    speech.complete("i2")
    ear.hear(60)
    assert ear.finished == ["i1", "i2"]
    assert silent(ear.hear(10))


def test_a_hold_keeps_all_and_a_playback_that_comes_meanwhile_is_held_too(
    speech: SpeechOutput, ear: Ear
) -> None:
    speech.speak("i1", SECOND)
    ear.hear(10)
    (held,) = speech.hold(40)
    assert held == CutOff("i1", held.heard_ms)
    assert 100 < held.heard_ms <= 160
    assert silent(ear.hear(20))
    speech.unhold()
    assert not silent(ear.hear(2))
    speech.hold(40)
    other = Ear(speech)
    speech.speak("i2", SECOND)
    assert silent(other.hear(5))
    speech.unhold()
    assert not silent(other.hear(5))


def test_of_our_own_sentences_a_hold_tells_nothing(speech: SpeechOutput, ear: Ear) -> None:
    speech.say("moment", "en")
    ear.hear(10)
    assert speech.hold(40) == []

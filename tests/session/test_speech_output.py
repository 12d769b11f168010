"""What a call says, heard at the playout."""

from __future__ import annotations

import numpy as np
import pytest

from esl_controller.session.speech_output import Voice
from media import sounds
from media.frame import PCMU, encode, pcm
from media.playout import Finished, Heard, Playout
from media.resample import Converter, convert
from media.sounds.music import loop

RATE = 8000
SECOND = np.full(24000, 1000, np.int16).tobytes()  # in the agent's format


class Ear:
    """A playback, and the caller's ear at it: every item that is over is told to the voice."""

    def __init__(self, voice: Voice, rate: int = RATE) -> None:
        self.rate = rate
        self.playout = Playout(rate)
        self.push, self.complete = self.playout.push, self.playout.complete
        self.flush = self.playout.flush
        self.pause, self.resume = self.playout.pause, self.playout.resume
        self.counters: dict[str, float] = {}
        self.finished: list[str] = []
        self.closed = 0
        self._voice = voice
        voice.playback = self

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
                    self._voice.finished(event.item)
        return heard


@pytest.fixture
def voice() -> Voice:
    return Voice()


@pytest.fixture
def ear(voice: Voice) -> Ear:
    return Ear(voice)


def silent(heard: bytes) -> bool:
    return not heard.strip(b"\0")


def test_the_agents_speech_is_converted_and_heard_to_its_end(voice: Voice, ear: Ear) -> None:
    wave = (8000 * np.sin(np.arange(24000) * 2 * np.pi * 440 / 24000)).astype(np.int16)
    data = wave.tobytes()
    for at in range(0, len(data), 4800):
        voice.speak("i1", data[at : at + 4800])
    voice.complete("i1")
    heard = np.frombuffer(ear.hear(55), np.int16)
    assert ear.finished == ["i1"]
    expected = np.abs(np.fft.rfft(heard[800:7200]))
    assert np.argmax(expected) / 0.8 == pytest.approx(440, abs=2)
    assert np.abs(heard).max() == pytest.approx(8000, rel=0.05)


def test_the_agents_format_may_be_another(voice: Voice, ear: Ear) -> None:
    voice.source = PCMU
    values = np.arange(-800, 800, dtype=np.int16)
    voice.speak("i1", encode(values, "pcmu"))
    voice.complete("i1")
    heard = np.frombuffer(ear.hear(10), np.int16)
    np.testing.assert_allclose(heard, values, atol=20)


def test_an_item_is_new_until_its_first_audio(voice: Voice, ear: Ear) -> None:
    assert voice.is_new("i1")
    voice.speak("i1", SECOND)
    assert not voice.is_new("i1")
    voice.complete("i1")
    assert not voice.is_new("i1")
    voice.speak("i2", SECOND)
    voice.interrupt()
    assert not voice.is_new("i2")
    assert voice.is_new("i3")


def test_nothing_is_new_where_nothing_can_be_said(voice: Voice) -> None:
    assert not voice.is_new("i1")
    voice.speak("i1", SECOND)
    voice.complete("i1")
    voice.pause()
    voice.resume()
    voice.music(True)
    assert voice.interrupt() == []


def test_audio_after_the_end_is_dropped(voice: Voice, ear: Ear) -> None:
    voice.speak("i1", SECOND)
    voice.complete("i1")
    voice.speak("i1", SECOND)
    ear.hear(60)
    assert ear.finished == ["i1"]
    assert not ear.playout.speaking


def test_an_interruption_tells_what_was_heard_and_drops_the_rest(voice: Voice, ear: Ear) -> None:
    for item in ("i1", "i2"):
        voice.speak(item, SECOND)
    voice.complete("i1")
    ear.hear(20)
    first, second = voice.interrupt()
    assert first.item == "i1"
    # Without the moment that the filter looks ahead, which is silence of ours.
    assert first.heard_ms == 400 - Converter(pcm(24000), pcm(RATE), lead=True).lead_ms < 400
    assert second == Heard("i2", 0)
    voice.speak("i2", SECOND)
    voice.complete("i2")
    assert silent(ear.hear(10))
    voice.speak("i3", SECOND)
    assert not silent(ear.hear(10))


def test_sentences_of_ours_are_heard_whole_and_are_not_the_agents(voice: Voice, ear: Ear) -> None:
    voice.speak("i1", SECOND)
    voice.say("sorry", "en")
    words, rate = sounds.load("sorry", "en")
    expected = convert(words, rate, RATE).tobytes()
    heard = ear.hear(len(expected) // 320 + 2)
    assert heard[: len(expected)] == expected
    assert ear.finished == ["sorry"]
    voice.say("moment", "en")
    assert voice.interrupt() == []
    assert silent(ear.hear(5))


def test_a_sentence_can_be_said_again(voice: Voice, ear: Ear) -> None:
    said = []
    for _ in range(3):
        voice.say("moment", "pt")
        said.append(ear.hear(200))
    assert not silent(said[0])
    assert said[0] == said[1] == said[2]


def test_a_pause_loses_nothing(voice: Voice, ear: Ear) -> None:
    voice.say("sorry", "en")
    before = ear.hear(20)
    voice.pause()
    assert silent(ear.hear(20))
    voice.resume()
    whole = before + ear.hear(20)
    fresh = Voice()
    other = Ear(fresh)
    fresh.say("sorry", "en")
    assert whole == other.hear(40)


def test_music_goes_round_without_a_gap(voice: Voice, ear: Ear) -> None:
    voice.speak("i1", SECOND)
    voice.music(True)
    once = loop(RATE).tobytes()
    frames = len(once) // 320
    heard = ear.hear(3 * frames + 7)
    assert heard == (once * 4)[: len(heard)]
    assert ear.playout.gaps == 0
    assert ear.playout.waiting_ms < 3 * frames * 20  # it does not pile up


def test_music_stops_at_once_and_is_not_the_agents(voice: Voice, ear: Ear) -> None:
    voice.music(True)
    voice.music(True)
    ear.hear(10)
    voice.music(False)
    assert silent(ear.hear(2000))
    voice.speak("i1", SECOND)
    voice.music(False)
    assert not silent(ear.hear(5))
    voice.music(True)
    assert not silent(ear.hear(5))


def test_music_is_played_again_on_another_way(voice: Voice, ear: Ear) -> None:
    voice.music(True)
    ear.hear(10)
    voice.interrupt()
    other = Ear(voice, 16000)
    voice.music(True)
    heard = other.hear(50)
    assert heard == loop(16000).tobytes()[: len(heard)]


def test_a_sentence_or_an_interruption_ends_the_music(voice: Voice, ear: Ear) -> None:
    voice.music(True)
    ear.hear(10)
    voice.say("moment", "en")
    voice.music(False)  # ends nothing: there is none any more
    assert not silent(ear.hear(50))
    voice.music(True)
    ear.hear(10)
    assert voice.interrupt() == []
    assert silent(ear.hear(2000))
    voice.music(True)
    assert not silent(ear.hear(5))


def test_what_came_of_open_items_is_heard_when_no_more_will(voice: Voice, ear: Ear) -> None:
    voice.speak("i1", SECOND)
    voice.speak("i2", SECOND)
    voice.complete_all()
    ear.hear(110)
    assert ear.finished == ["i1", "i2"]


def test_closing_frees_the_playback(voice: Voice) -> None:
    voice.close()
    ear = Ear(voice, 16000)
    voice.close()
    assert ear.closed == 1
    assert pcm(ear.rate).frame_bytes == 640

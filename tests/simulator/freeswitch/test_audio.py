"""What the caller says and hears, without a switch around it."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esl_controller.simulator.freeswitch import sounds
from esl_controller.simulator.freeswitch.audio import (
    MAX_LIVE_FRAMES,
    MAX_QUEUED_SECONDS,
    CallerVoice,
    FramedSound,
    HeardFrames,
    level,
    resample,
)
from esl_controller.simulator.freeswitch.recording import LegRecording
from esl_controller.simulator.freeswitch.tap import Tap


@given(st.lists(st.integers(0, 2000), max_size=6), st.sampled_from([8000, 16000, 48000]))
def test_every_sample_is_said_once_in_order(sizes: list[int], rate: int) -> None:
    voice = CallerVoice()
    said, expected = b"", b""
    frame = rate // 50
    for index, size in enumerate(sizes):
        pcm = np.full(size, index + 1, np.int16)
        voice.queue(FramedSound(pcm, rate))
        expected += pcm.tobytes() + bytes(2 * (-size % frame))
    while voice.pending_seconds:
        voice.advance()
        said += voice.frame(rate)
    assert said == expected


def test_a_frame_has_its_size_at_any_rate() -> None:
    voice = CallerVoice()
    voice.queue(FramedSound(np.ones(1234, np.int16), 24000))
    for _ in range(5):
        voice.advance()
        for rate in (8000, 16000, 48000):
            assert len(voice.frame(rate)) == rate // 50 * 2


def test_too_much_is_refused() -> None:
    voice = CallerVoice()
    with pytest.raises(OverflowError):
        voice.queue(FramedSound(np.zeros(int(MAX_QUEUED_SECONDS + 1) * 50, np.int16), 50))


def test_falling_silent() -> None:
    voice = CallerVoice()
    utterance = FramedSound(np.ones(8000, np.int16), 8000)
    voice.queue(utterance)
    voice.advance()
    voice.clear()
    assert utterance.finished.is_set()
    assert not any(voice.frame(8000))
    assert voice.pending_seconds == 0


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def heard_at(*times: float) -> HeardFrames:
    clock = Clock()
    heard = HeardFrames(8000, clock, started=0.0)
    for number, clock.now in enumerate(times, start=1):
        heard.add(np.full(160, number, np.int16).tobytes())
    return heard


def test_the_timeline_is_continuous() -> None:
    heard = heard_at(0.0, 0.021, 0.039, 0.075, 0.08)
    assert np.array_equal(heard.pcm(), np.repeat([1, 2, 3, 4, 5], 160))


def test_a_hole_in_the_timeline_is_silence() -> None:
    heard = heard_at(0.1, 0.12, 0.5)
    pcm = heard.pcm()
    assert len(pcm) == round(0.52 * 8000)
    assert not pcm[:800].any()
    assert pcm[800] == 1
    assert not pcm[1120:4000].any()
    assert pcm[4000] == 3
    assert len(heard.pcm(16000)) == 2 * len(pcm)


def test_a_tap_gives_one_frame_a_tick() -> None:
    clock = Clock()
    heard = HeardFrames(8000, clock)
    tap = Tap(heard)
    assert not any(tap.frame())
    frames = [np.full(160, n + 1, np.int16).tobytes() for n in range(6)]
    got = []
    # Arrivals per tick: one late, two early.
    for arrivals in (frames[:1], frames[1:2], [], frames[2:4], frames[4:5], frames[5:], [], []):
        for frame in arrivals:
            heard.add(frame)
        got.append(tap.frame())
    assert [frame for frame in got if any(frame)] == frames
    first = next(i for i, frame in enumerate(got) if any(frame))
    assert got[first : first + 6] == frames, "no hole in an even flow"
    tap.close()
    heard.add(frames[0])


def test_a_recording_keeps_both_sides(tmp_path: Path) -> None:
    voice, heard = CallerVoice(), HeardFrames(8000, Clock())
    voice.queue(FramedSound(np.full(1600, 7, np.int16), 8000))
    path = tmp_path / "r.wav"
    recording = LegRecording(str(path), voice, heard, stereo=True)
    for _ in range(12):
        heard.add(np.full(160, 9, np.int16).tobytes())
        voice.advance()
        recording.tick()
    recording.close()
    with wave.open(str(path)) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, 8000)
        pairs = np.frombuffer(file.readframes(10**6), np.int16).reshape(-1, 2)
    assert (pairs[:, 0] == 7).sum() == 1600
    assert set(pairs[400:, 1]) == {9}


def test_level_and_resample() -> None:
    assert level(b"") == 0
    assert level(np.full(160, 1000, np.int16).tobytes()) == pytest.approx(1000)
    pcm = np.arange(100, dtype=np.int16)
    assert resample(pcm, 8000, 8000) is pcm
    assert len(resample(pcm, 8000, 16000)) == 200


@pytest.mark.parametrize(
    "name", ["/nowhere.wav", "tone_stream://%(x)", "http://x/y.mp3", "tone_stream://%(1,2,1.2.3)"]
)
def test_sounds_that_there_are_not(name: str) -> None:
    with pytest.raises(sounds.NotFound):
        sounds.load(name)


def test_sounds(tmp_path: Path) -> None:
    raw = tmp_path / "a.r16"
    raw.write_bytes(b"\1\0\2\0\3")
    assert sounds.load(str(raw)).rate == 16000
    assert sounds.load(str(raw)).pcm.tolist() == [1, 2]
    broken = tmp_path / "b.wav"
    broken.write_bytes(b"RIFF")
    with pytest.raises(sounds.NotFound):
        sounds.load(str(broken))
    assert sounds.load("silence_stream://-1").loops == -1
    tone = sounds.load("tone_stream://%(200,100,440);loops=5")
    assert (len(tone.pcm), tone.loops) == (2400, 5)


def test_live_speech_has_no_seams_at_another_rate() -> None:
    voice = CallerVoice()
    tone = (np.sin(np.arange(4000) * 2 * np.pi * 440 / 8000) * 10000).astype(np.int16)
    own, other = b"", b""
    for at in range(0, len(tone), 160):
        voice.say(tone[at : at + 160].tobytes(), 8000)
        voice.advance()
        own += voice.frame(8000)
        other += voice.frame(16000)
    # One frame waits so that an even flow has no holes; at another rate it is one more.
    assert own == bytes(320) + tone[:-160].tobytes()
    whole = resample(tone, 8000, 16000)
    got = np.frombuffer(other, np.int16)[640:]
    middle = slice(640, len(got) - 640)
    assert np.abs(got[middle].astype(int) - whole[: len(got)][middle]).max() < 100


def test_live_speech_that_comes_too_fast_is_lost_and_leaves_no_echo() -> None:
    voice = CallerVoice()
    for number in range(1, 11):
        voice.say(np.full(160, number, np.int16).tobytes(), 8000)
    said = []
    for _ in range(8):
        voice.advance()
        said.append(voice.frame(8000)[0])
    assert said == [*range(1, MAX_LIVE_FRAMES + 1), 0, 0, 0, 0, 0]

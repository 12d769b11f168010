"""The demo: its figures for an invented call, and the whole of it on a short one."""

from __future__ import annotations

import struct
import wave
from argparse import Namespace
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import util
from pathlib import Path

import numpy as np
import pytest

from esl_controller import demo
from esl_controller.demo import conversation, report
from esl_controller.demo.conversation import CallerWords, Script, ScriptStep, Take
from esl_controller.demo.figures import Figures, measure, problems
from esl_controller.demo.sound import Track, find, lay_out, locate, share
from esl_controller.server import logs
from esl_controller.simulator.freeswitch import Faults, SwitchStandIn
from esl_controller.simulator.model import Append, Delta, SessionRecord, Spoken
from media import sounds
from media.frame import PCMU, Samples, decode, encode
from media.resample import convert

RATE = 8000
FRAME = 160
ANSWERED = 1000.0
LANE = 0.013  # how long after the caller's frames the lane's come
SHORT = Script(greeting="caller_interrupts", words="caller_interrupts", patience_s=0.8)


def words(name: str) -> Samples:
    values, rate = sounds.load(name)
    return convert(values, rate, RATE)


# --- sounds ---------------------------------------------------------------------------------------


def test_a_sound_is_found_where_it_is() -> None:
    sound = words("caller")
    within = np.concatenate((words("greeting"), sound, words("sorry")))
    found = find(sound, within)
    assert (found.at, round(found.likeness, 6)) == (words("greeting").size, 1.0)
    assert locate(sound, RATE, within) == found.at
    assert locate(words("caller_interrupts"), RATE, within) is None
    assert find(within, sound).likeness == 0


def test_how_much_of_a_sound_is_there() -> None:
    sound = words("caller")
    quiet = np.zeros(RATE, np.int16)
    assert share(sound, RATE, np.concatenate((quiet, sound, quiet)), RATE) == 1.0
    halves = (quiet, sound[:12345], np.zeros(15 * FRAME, np.int16), sound[12345:], quiet)
    assert share(sound, RATE, np.concatenate(halves), RATE) > 0.95
    assert share(sound, RATE, np.concatenate((quiet, sound[: sound.size // 2], quiet)), RATE) < 0.6
    assert share(sound, RATE, quiet, 0) == 0


def frames(*times: float) -> list[tuple[float, bytes]]:
    """Frames that say their number, at these times."""
    return [(at, np.full(FRAME, n + 1, "<i2").tobytes()) for n, at in enumerate(times)]


def numbers(values: Samples) -> list[int]:
    """What the frames say, one for each 20 ms."""
    return [int(part[-1]) for part in np.split(values, range(FRAME, values.size, FRAME))]


def test_frames_are_laid_out_in_time() -> None:
    assert numbers(lay_out(frames(0.04, 0.06, 0.08), RATE, 0.0)) == [0, 0, 1, 2, 3]
    assert numbers(lay_out(frames(0.0, 0.02, 0.08, 0.1), RATE, 0.0)) == [1, 2, 0, 0, 3, 4]
    late = frames(0.0, 0.02, 0.1, 0.1, 0.1, 0.1, 0.12)
    assert numbers(lay_out(late, RATE, 0.0)) == [1, 2, 3, 4, 5, 6, 7]
    assert lay_out([], RATE, 0.0).size == 0


def test_missing_frames_are_counted_and_late_ones_are_not() -> None:
    late = Track(frames(0.0, 0.02, 0.1, 0.1, 0.1, 0.1, 0.12), RATE)
    assert late.missing(0, 7 * FRAME - 1) == 0
    assert Track(frames(0.0, 0.02, 0.08, 0.1), RATE).missing(0, 4 * FRAME - 1) == 2
    assert late.after(0.05) == 2 * FRAME
    assert late.arrival(2 * FRAME - 1) == 0.02


# --- figures --------------------------------------------------------------------------------------


@dataclass
class Stage:
    """Writes a take frame by frame, exact to the millisecond."""

    take: Take = field(default_factory=lambda: Take(Script(), answered=ANSWERED))
    heard: Samples = field(default_factory=lambda: np.zeros(20 * RATE, np.int16))
    said: Samples = field(default_factory=lambda: np.zeros(20 * RATE, np.int16))

    def model_says(self, item: str, sound: Samples, sent: float, *, cut: int | None = None) -> None:
        """From the first frame after ``sent`` on; the caller hears only ``cut`` samples."""
        audio = encode(sound, "pcmu")
        spoken = self.take.record.spoken[item] = Spoken(PCMU, [Delta(ANSWERED + sent, 100.0)])
        spoken.audio += audio
        begins = int(np.ceil((sent - LANE) / 0.02)) * FRAME
        part = decode(audio, "pcmu")[:cut]
        self.heard[begins : begins + part.size] = part

    def caller_says(self, name: str, at: float) -> None:
        sound = words(name)
        self.take.said.append(CallerWords(name, ANSWERED + at, sound))
        self.said[int(at * RATE) :][: sound.size] = sound

    def done(self) -> Take:
        """Both sides become frames and messages of 40 ms; a message comes 1 ms after its frame."""
        record, rate = self.take.record, RATE
        self.take.frames = [
            (ANSWERED + LANE + at / rate, self.heard[at : at + FRAME].tobytes())
            for at in range(0, self.heard.size, FRAME)
        ]
        record.restart(PCMU)
        for at in range(0, self.said.size, 2 * FRAME):
            record.append(encode(self.said[at : at + 2 * FRAME], "pcmu"))
            record.appends[-1] = Append(ANSWERED + (at + FRAME) / rate + 0.001, 2 * FRAME)
        self.take.rate, self.take.arrived = rate, ANSWERED - 0.05
        self.take.marks = {"preparing_s": 0.05, "stream_s": 0.055, "lane_s": 0.08}
        self.take.ended = ANSWERED + 19.9
        return self.take


STEPS: tuple[ScriptStep, ...] = (
    "answered",
    "greeting",
    "reply",
    "interruption",
    "message",
    "second reply",
    "goodbye",
)


def perfect(*, cut: int | None = 2 * RATE, told: bool = True) -> Take:
    """A call with known figures; ``cut``: how many samples of the reply were heard."""
    stage = Stage()
    stage.model_says("greeting", words("greeting"), 0.3)
    stage.caller_says("caller", 6.0)
    stage.model_says("reply", words("caller"), 11.0, cut=cut)
    stage.caller_says("caller_interrupts", 12.8)
    stage.model_says("second", words("caller_interrupts"), 16.0)
    take = stage.done()
    take.record.speech_started += [ANSWERED + 6.2, ANSWERED + 13.0]
    take.record.speech_stopped += [ANSWERED + 10.5, ANSWERED + 15.5]
    if told:
        kind = "conversation.item.truncate"
        take.record.client_events.append({"type": kind, "audio_end_ms": 2000})
    take.done += STEPS
    return take


def test_every_figure_of_a_perfect_call() -> None:
    take = perfect()
    figures = measure(take)
    assert problems(take, figures) == []
    assert figures.set_up == 0.08
    assert figures.connected == pytest.approx(-0.05)
    assert [w.to_caller for w in figures.words] == pytest.approx([0.013, 0.013, 0.013])
    assert [w.there for w in figures.words] == [1.0, 1.0, 1.0]
    turn, barge_in = figures.turn, figures.barge_in
    assert turn is not None
    assert barge_in is not None
    # The last sound is in the frame that leaves at 9.78 s, the second of its message or the first.
    assert turn.at == pytest.approx(9.78, abs=0.03)
    assert min(abs(turn.to_model - 0.001), abs(turn.to_model - 0.021)) < 1e-6
    assert turn.at + turn.to_model + turn.detecting == pytest.approx(10.5)
    assert turn.thinking == pytest.approx(0.5)
    assert turn.to_caller == pytest.approx(0.013)
    assert turn.at + turn.total == pytest.approx(figures.words[1].sounds)
    assert turn.ours + turn.standin == pytest.approx(turn.total)
    assert barge_in.detected == pytest.approx(13.0)
    assert barge_in.silent == pytest.approx(13.013, abs=0.021)
    assert (barge_in.told, figures.missing, figures.frames) == (2.0, 0, 1000)


def without_frames(take: Take, first: float, last: float) -> Take:
    kept = [f for f in take.frames if not first <= f[0] - ANSWERED < last]
    return replace(take, frames=kept)


def silenced(take: Take, first: float, last: float) -> Take:
    empty = bytes(2 * FRAME)
    return replace(
        take,
        frames=[(t, empty if first <= t - ANSWERED < last else frame) for t, frame in take.frames],
    )


def found(take: Take) -> str:
    return "\n".join(problems(take, measure(take)))


def test_what_was_not_heard_is_found() -> None:
    take = perfect()
    assert "of the greeting, only" in found(silenced(take, 2.0, 2.3))
    assert "the greeting is not in what the caller heard" in found(silenced(take, 0.0, 6.0))
    assert "the second reply is not in" in found(silenced(take, 16.0, 20.0))
    assert "of the second reply, only" in found(silenced(take, 17.0, 17.2))
    assert "the greeting is not in what the caller heard" in found(replace(take, frames=[]))


def test_missing_frames_are_gaps() -> None:
    assert measure(without_frames(perfect(), 2.0, 2.1)).missing == 5


def test_a_reply_that_does_not_stop_is_found() -> None:
    assert "was not stopped by the interruption" in found(perfect(cut=None))
    assert "the model was not told" in found(perfect(told=False))


def test_other_failures_are_found() -> None:
    take = perfect()
    record = SessionRecord(full=True, violations=2)
    assert "did not reach the model" in found(replace(take, record=record, frames=take.frames))
    assert "refused 2 messages" in found(replace(take, record=record))
    assert "did not free everything: 1 lanes" in found(replace(take, left="1 lanes"))
    assert "did not end when the caller hung up" in found(replace(take, done=["answered"]))
    assert found(replace(take, failure="no greeting was heard")) == "no greeting was heard"


def test_a_call_that_was_cut_short_has_the_figures_that_it_reached() -> None:
    take = perfect()
    short = replace(
        take,
        frames=[f for f in take.frames if f[0] < ANSWERED + 3],
        done=["answered", "goodbye"],
        said=[],
    )
    figures = measure(short)
    assert problems(short, figures) == []
    assert len(figures.words) == 1
    assert (figures.turn, figures.barge_in) == (None, None)
    table = report.table(short.script, short, figures)
    assert "greeting begins" in table
    assert "turn" not in table
    assert "nan" not in report.table(short.script, Take(short.script), Figures())


# --- the whole ------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Skip what may be done only once per process."""
    monkeypatch.setattr(logs, "configure", lambda *args, **kwargs: None)
    monkeypatch.setattr(demo, "settle", lambda: None)


def image_size(path: Path) -> tuple[int, ...]:
    data = path.read_bytes()
    assert data.startswith(b"\x89PNG")
    return struct.unpack(">II", data[16:24])


@pytest.mark.parametrize(
    "script",
    [SHORT, replace(SHORT, codec="L16", playback="file", seconds=11.0)],
    ids=["lane", "file"],
)
def test_a_whole_call(script: Script, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = demo.demonstrate(script, tmp_path / "new")
    told = capsys.readouterr()
    assert (status, told.err) == (0, "")
    for row in ("set-up", "turn latency", "barge-in", "model to caller", "gaps"):
        assert f"  {row} " in told.out
    assert ("late ticks" in told.out) == (script.playback == "lane")
    assert image_size(tmp_path / "new" / "demo-call.png") == (1600, 700)
    with wave.open(str(tmp_path / "new" / "demo-call.wav")) as file:
        rate = file.getframerate()
        assert (file.getnchannels(), rate) == (2, 8000 if script.codec == "PCMU" else 16000)
        both = np.frombuffer(file.readframes(file.getnframes()), "<i2").reshape(-1, 2)
    sides = both[:, 0].copy(), both[:, 1].copy()
    values, own_rate = sounds.load("caller_interrupts")
    sound = convert(values, own_rate, rate)
    # The caller says it twice: this is the first time.
    said = locate(sound, rate, sides[0][: 6 * rate])
    assert said is not None
    assert share(sound, rate, sides[0], said) == 1.0
    # The caller speaks once the greeting is over, by the same clock.
    greeting = locate(sound, rate, sides[1][:said])
    assert greeting is not None
    assert share(sound, rate, sides[1], greeting) == 1.0
    assert greeting + 2.5 * rate < said < greeting + 3.5 * rate


def arguments(output: Path, seconds: float) -> Namespace:
    return Namespace(
        language="pt-BR", codec="PCMU", playback="lane", seconds=seconds, output=output
    )


def test_no_matplotlib_and_no_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    assert demo.run(arguments(tmp_path, 1.2)) == 0
    out = capsys.readouterr().out
    assert "no picture: matplotlib is not installed" in out
    assert "1.2 s are over (--seconds)" in out
    assert [path.name for path in tmp_path.iterdir()] == ["demo-call.wav"]


def test_a_call_that_ends_too_early_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    faulty = partial(SwitchStandIn, faults=Faults(hangup_at="speaking", hangup_after=0.1))
    monkeypatch.setattr(conversation, "SwitchStandIn", faulty)
    assert demo.run(arguments(tmp_path, 60)) == 1
    told = capsys.readouterr()
    complaint = "esl-controller demo: no greeting was heard: the call ended before"
    assert told.err.startswith(complaint)
    assert "Next:" not in told.out


def test_a_lane_that_cannot_be_opened_is_a_failure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        conversation, "SwitchStandIn", partial(SwitchStandIn, faults=Faults(lane_bind_failures=-1))
    )
    assert demo.run(arguments(tmp_path, 60)) == 1
    assert "no lane was opened" in capsys.readouterr().err

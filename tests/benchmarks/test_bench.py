"""The benchmark itself: a tiny run, and that its checks can fail."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import bench, floor, profiler, signals, talk
from benchmarks.measure import Audio, Span, measure
from benchmarks.records import CallRecord, SessionRecord
from benchmarks.report import Lateness, Resources, Run, Sweep
from benchmarks.signals import SILENT, STRANGE, Continuity
from media.frame import PCMU, decode, encode, pcm
from media.resample import Converter

GOOD = Run(
    calls=2,
    seconds=10.0,
    codec="PCMU",
    build="sptmru",
    playback="lane",
    audio=Audio(
        to_model=[0.002],
        first_deltas=[0.01],
        all_deltas=[0.01],
        interruptions=[0.0],
        delta_late=[0.0],
        caller_late=[0.0],
        frames=1000,
        appends=500,
    ),
    resources=Resources({"controller": 4.0, "switch": 2.0, "model": 3.0}, 100.0, 101.0),
    lateness=Lateness(500, 0, 0, 1.0, 0.1, 0),
    setup=[0.08, 0.09],
    live=2,
)


def test_a_sweep_tells_what_no_call_costs_and_what_each_does() -> None:
    def at(calls: int, cpu_ms: float) -> Run:
        resources = replace(GOOD.resources, cpu_ms={"controller": cpu_ms})
        return replace(GOOD, calls=calls, live=calls, resources=resources, floor_ms=0.5)

    sweep = Sweep([at(10, 6.5), at(40, 3.125), at(80, 2.5625)])
    fixed, each = sweep.cost()
    assert fixed == pytest.approx(45.0)
    assert each == pytest.approx(2.0)
    lines = sweep.text().splitlines()
    assert lines[2].split()[:3] == ["40", "3.12", "6.2"]
    assert "45.0 ms a second, and 2.00 ms a call and second on top" in lines
    assert "10 calls missed: CPU per call-second, controller" in lines
    assert [run["calls"] for run in sweep.data()["runs"]] == [10, 40, 80]


async def test_a_tiny_run_measures_everything(tmp_path: Path) -> None:
    options = bench.Options(
        calls=2, seconds=2.4, codec="mixed", rounds=1, warm_up_s=0.2, every_ms=10
    )
    result = await bench.run(options, tmp_path)
    figures = {figure.name: figure for figure in result.figures()}
    assert not [name for name, figure in figures.items() if math.isnan(figure.value)]
    assert result.live == 2
    assert result.audio.strangers == 0
    assert result.audio.heard == Continuity()
    assert result.audio.spoken.faults == 0
    assert result.audio.appends == pytest.approx(2 * 25 * result.seconds, abs=6)
    assert result.audio.frames == pytest.approx(2 * 50 * result.seconds, abs=12)
    assert 0.2 < result.resources.cpu_ms["controller"] < 1000
    assert result.resources.rss_mb > 30
    assert "CPU per call-second, controller" in result.text()
    assert ("  times the floor" in figures) == (floor.compiler() is not None)
    assert result.data()["figures"]


def test_a_good_run_keeps_every_limit() -> None:
    assert GOOD.ok
    assert "MISSED" not in GOOD.text()


@pytest.mark.parametrize(
    "change",
    [
        {"audio": replace(GOOD.audio, to_model=[0.011])},
        {"audio": replace(GOOD.audio, to_model=[])},
        {"audio": replace(GOOD.audio, first_deltas=[0.013])},
        {"audio": replace(GOOD.audio, interruptions=[0.021])},
        {"audio": replace(GOOD.audio, spoken=Continuity(doubled=1))},
        {"audio": replace(GOOD.audio, spoken=Continuity(missing=1))},
        {"audio": replace(GOOD.audio, heard=Continuity(strange=1))},
        {"audio": replace(GOOD.audio, lost=1)},
        {"audio": replace(GOOD.audio, strangers=1)},
        {"resources": replace(GOOD.resources, cpu_ms={"controller": 5.1})},
        {"setup": [0.121]},
        {"live": 1},
    ],
)
def test_every_limit_can_be_missed(change: dict[str, object]) -> None:
    run = replace(GOOD, **change)  # type: ignore[arg-type]
    assert not run.ok
    assert "MISSED" in run.text()


def test_noise_is_the_same_sound_at_every_rate() -> None:
    slow, fast = signals.noise(50, 8000, 7), signals.noise(50, 24000, 7)
    assert np.sqrt(np.mean(slow**2)) == pytest.approx(1)
    assert np.allclose(slow, fast[::3])


@pytest.mark.parametrize(
    ("order", "wanted"),
    [
        ([3, 4, 5, 6], Continuity()),
        ([3, 4, 6, 7], Continuity(missing=1)),
        ([3, 4, 4, 5], Continuity(doubled=1)),
        ([498, 499, 0, 1], Continuity()),
    ],
)
def test_missing_and_doubled_frames_of_a_caller(order: list[int], wanted: Continuity) -> None:
    expected = signals.callers(2, 8000, g711=True)
    numbers = signals.identify(expected[order], expected, 0, loop=True)
    assert numbers.tolist() == order
    assert signals.check_loop(numbers, len(expected)) == wanted


def test_a_frame_that_is_shifted_by_one_sample_is_strange() -> None:
    expected = signals.callers(2, 24000, g711=False)
    shifted = expected.reshape(-1)[1 : 1 + 480 * 10].reshape(10, 480)
    numbers = signals.identify(shifted, expected, signals.RESAMPLED, loop=True)
    assert (numbers == STRANGE).all()


@pytest.mark.parametrize("before", [0, 24, 479])
def test_frames_are_found_wherever_they_begin(before: int) -> None:
    expected = signals.callers(2, 24000, g711=False)
    heard = expected.reshape(-1)[480 * 7 - before : 480 * 20]
    assert signals.lead(heard, expected) == before


@pytest.mark.parametrize(
    ("numbers", "wanted"),
    [
        ([SILENT, 0, 1, 2, 3, SILENT, 0, 1], Continuity()),
        ([0, 1, SILENT, SILENT, 2, 3, SILENT], Continuity(late=2)),
        ([0, 1, 3, SILENT], Continuity(missing=1)),
        ([0, 1, 1, 2, 3], Continuity(doubled=1)),
        ([1, 2, 3, SILENT], Continuity(missing=1)),
        ([0, 1, SILENT, 0, 1], Continuity(missing=2)),
        ([0, 1, STRANGE, 3], Continuity(missing=1, strange=1)),
        ([0, 1, 2, 3, 0, 1, 2, 3], Continuity()),
    ],
)
def test_missing_and_doubled_frames_of_the_model(numbers: list[int], wanted: Continuity) -> None:
    assert signals.check_utterances(np.array(numbers), 4) == wanted


def test_utterances_are_counted_from_their_first_frame() -> None:
    numbers = np.array([SILENT, 0, 1, SILENT, 2, SILENT, 0, 1, 0])
    assert signals.utterances(numbers).tolist() == [-1, 0, 0, 0, 0, 0, 1, 1, 2]


@pytest.mark.parametrize("wideband", [False, True])
def test_latencies_are_those_that_were_recorded(wideband: bool) -> None:
    """A made-up call: messages take 3 ms to the model, deltas 7 ms to the caller."""
    rate, agent = (16000, pcm(24000)) if wideband else (8000, PCMU)
    said = signals.callers(2, rate, not wideband)
    own = np.concatenate((said, said))[signals.CALLER_STRIDE :][:200]
    tick = (100 + np.arange(200) * 0.02).astype(np.float64)
    coder = Converter(pcm(rate), agent)
    sent = [coder.feed(own[at : at + 2].tobytes()) for at in range(0, 200, 2)]
    heard, tolerance = signals.speech_heard(agent, rate)
    silence = np.zeros((120, rate // 50), np.int16)
    call = CallRecord(1, tick + 0.007, np.concatenate((heard[:80], silence)), tick, 10**6, 0)
    other = replace(call, number=0)
    linear = b"".join(sent)
    session = SessionRecord(
        agent,
        decode(linear, agent.encoding),
        tick[1::2] + 0.003,
        np.array([len(audio) for audio in sent]),
        [tick[:80:5]],
        np.array([tick[10] + 0.001]),
    )
    found = measure([other, call], [session], Span(100.2, 103), build="sptmru", delta_ms=100)
    assert found.strangers == 1
    assert (found.lost, found.heard, found.spoken) == (0, Continuity(), Continuity())
    # What the resampler looks ahead is counted as latency.
    assert np.allclose(found.to_model, 0.004 if wideband else 0.003)
    assert np.allclose(found.all_deltas, 0.007)
    assert tolerance == (signals.RESAMPLED_SPEECH if wideband else 0)
    assert found.interruptions == pytest.approx([tick[79] - tick[10] + 0.006])


def test_the_profile_counts_functions_once_a_stack() -> None:
    text = profiler.tables("main;work;work 3\nmain;idle 1\n")
    assert "  75.0 %  work" in text
    assert " 100.0 %  main" in text


def test_callers_pcmu_survives_mu_law() -> None:
    said = signals.callers(2, 8000, g711=True)
    again = decode(encode(said.reshape(-1), "pcmu"), "pcmu")
    assert np.array_equal(said.reshape(-1), again)


async def test_farewells_and_killed_models_are_measured() -> None:
    result = talk.Result()
    await talk.farewells(2, result)
    await talk.kills(1, result)
    figures = {figure.name: figure for figure in result.figures()}
    assert all(figure.ok for figure in figures.values())
    assert not any(math.isnan(figure.value) for figure in figures.values())
    assert len(result.after) == 2
    assert len(result.back) == 1


def test_a_cut_farewell_or_a_lost_history_is_a_missed_limit() -> None:
    good = talk.Result(1, 1, [0.1], 1, 1, [0.5])
    assert all(figure.ok for figure in good.figures())
    for bad in (replace(good, complete=0), replace(good, went_on=0), replace(good, back=[2.1])):
        assert not all(figure.ok for figure in bad.figures())

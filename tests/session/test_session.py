"""Whole calls through the real controller, with both stand-ins."""

from __future__ import annotations

import asyncio
from typing import Any, get_args

import numpy as np
import pytest
from structlog.testing import capture_logs

from esl_controller.session.caller import CallerAudio
from esl_controller.simulator.freeswitch import CallStandIn, Faults
from esl_controller.simulator.freeswitch.events import CodecName
from esl_controller.simulator.freeswitch.faults import CallStep
from esl_controller.simulator.model import ModelFaults
from esl_controller.simulator.model_base.record import SessionRecord
from media.frame import Samples
from media.resample import convert
from media.sounds import load as load_sound
from tests.calls.rig import Rig, asked, greeted, rig, words, words_of
from tests.waiting import until


def correlation(heard: Samples, sent: Samples) -> float:
    """How much of ``sent`` is found, in one piece, in ``heard`` (1.0: all of it)."""
    size = 1 << (heard.size + sent.size).bit_length()
    a, b = heard.astype(float), sent.astype(float)
    lags = np.fft.irfft(np.fft.rfft(a, size) * np.conj(np.fft.rfft(b, size)), size)
    at = int(np.argmax(lags[: heard.size]))
    part = a[at : at + b.size]
    b = b[: part.size]
    return float(part @ b / np.sqrt((part @ part) * (b @ b) + 1e-9))


def frames(call: CallStandIn) -> Samples:
    """All that the caller heard, frame by frame: when each came does not matter here."""
    return np.frombuffer(b"".join(frame for _, frame in call.heard), "<i2")


def greeting_sent(of: Rig, rate: int, session: int = 0) -> Samples:
    spoken = next(iter(of.model.sessions[session].record.spoken.values()))
    return convert(spoken.samples, spoken.format.rate, rate)


@pytest.mark.parametrize(
    ("codec", "build", "playback"),
    [
        ("PCMU", "sptmru", "lane"),
        ("PCMU", "amigniter", "lane"),
        ("L16", "sptmru", "lane"),
        ("L16", "amigniter", "lane"),
        ("opus", "amigniter", "lane"),
        ("PCMU", "sptmru", "file"),
        ("L16", "amigniter", "file"),
    ],
)
async def test_a_call_is_answered_greeted_heard_and_answered_to(
    codec: CodecName, build: str, playback: str
) -> None:
    # Between two files there is a gap of some 20 ms, which no single alignment bridges.
    least = 0.95 if playback == "lane" else 0.7
    async with rig(build=build, settings={"MEDIA_PLAYBACK": playback}) as of:
        call = await of.switch.call(codec=codec)
        await call.answered()
        await greeted(call)
        assert correlation(frames(call), greeting_sent(of, call.rate)) > least
        pcm, rate = words()
        call.speak(pcm, rate)
        await asyncio.sleep(call.speaking_for)
        reply = await call.wait_heard(timeout=5)
        await call.wait_silence(0.7)
        heard = convert(pcm, rate, call.rate)
        after = np.concatenate(
            [np.frombuffer(frame, "<i2") for at, frame in call.heard if at >= reply - 1]
        )
        assert correlation(after, heard) > least
        call.hangup()
        await of.no_calls()
        record = of.model.sessions[0].record
        assert record.violations == record.refusals == record.early_appends == 0
        assert str(record.heard_format) == ("pcmu/8000" if codec == "PCMU" else "pcm/24000")


async def test_a_codec_that_is_negotiated_late_is_known_in_time() -> None:
    async with rig() as of:
        call = await of.switch.call(late_negotiation=True)
        await greeted(call)
        assert str(of.model.sessions[0].record.heard_format) == "pcmu/8000"
        assert correlation(frames(call), greeting_sent(of, call.rate)) > 0.95
        call.hangup()


async def test_stream_and_lane_are_open_at_once() -> None:
    async with rig() as of:
        call = await of.switch.call()
        await call.lane_open()
        await call.stream_connected()
        session = of.controller.calls.calls[call.uuid]
        await until(lambda: "talking_s" in session.marks)
        assert session.marks["talking_s"] < 0.3  # 0.12 on a quiet machine: see the benchmark


async def test_barge_in_stops_speech_and_truncates_at_what_was_heard() -> None:
    async with rig(model={"greeting": "greeting"}) as of:
        call = await of.switch.call()
        began = await call.wait_heard()
        await asyncio.sleep(1.0)
        pcm, rate = words("caller_interrupts")
        call.speak(pcm, rate)
        quiet = await call.wait_silence(0.5)
        record = of.model.sessions[0].record
        truncate = await asked(record, "conversation.item.truncate")
        heard_ms = (quiet - began) * 1000
        assert 1000 < heard_ms < 2500
        # The greeting starts with some silence, which was heard too but is no sound.
        assert truncate["audio_end_ms"] == pytest.approx(heard_ms, abs=150)
        assert record.violations == record.refusals == 0
        call.hangup()


@pytest.mark.parametrize("step", get_args(CallStep))
async def test_hangup_frees_everything_at_any_step(step: CallStep) -> None:
    async with rig(faults=Faults(hangup_at=step)) as of:
        call = await of.switch.call()
        await call.ended()
        await of.no_calls()
        healthy = await of.switch.call(faults=Faults())
        await greeted(healthy)


def _history(record: SessionRecord) -> list[Any]:
    """The items that a session was given before anything else was said."""
    made = [e["item"] for e in record.client_events if e["type"] == "conversation.item.create"]
    return [item for item in made if item["type"] == "message"]


async def apology(call: CallStandIn) -> None:
    """The caller hears a sentence to its end, then the call is ended."""
    cause = await call.ended(timeout=25)
    assert cause == "NORMAL_TEMPORARY_FAILURE"
    seconds = sum(
        20e-3 for _, frame in call.heard if np.abs(np.frombuffer(frame, "<i2")).max() > 500
    )
    assert seconds > 2.0


async def test_a_refused_key_is_an_apology_and_one_clear_line() -> None:
    async with rig(model={"faults": ModelFaults(refuse_key="http")}) as of:
        with capture_logs() as logs:
            await apology(await of.switch.call())
        lines = [line for line in logs if line["log_level"] == "warning"]
        assert len(lines) == 1
        assert "the key was refused: check OPENAI_API_KEY" in lines[0]["reason"]


@pytest.mark.parametrize("how", ["clean", "abrupt"])
async def test_a_model_that_closes_in_mid_word_is_called_again(how: str) -> None:
    faults = ModelFaults(close_after_ms=800, close_how=how)  # type: ignore[arg-type]
    async with rig(model={"faults": faults, "greeting": "greeting"}) as of:
        with capture_logs() as logs:
            bad = await of.switch.call()
            await bad.wait_heard()
            of.model.faults = ModelFaults()
            good = await of.switch.call()
            await asyncio.gather(greeted(bad), greeted(good))
            assert good.cause == bad.cause == ""
        reasons = [line["reason"] for line in logs if line["log_level"] == "warning"]
        assert len(reasons) == 1
        assert "the model closed the connection" in reasons[0]
        again = next(s.record for s in of.model.sessions[1:] if _history(s.record))
        # It knows what was heard of its greeting, and is asked for the rest.
        (said,) = _history(again)
        assert said["role"] == "assistant"
        assert words_of("greeting").startswith(said["content"][0]["text"][:10])
        first = next(e for e in again.client_events if e["type"] == "response.create")
        assert "cut off" in first["response"]["instructions"]
        for call in (good, bad):
            call.hangup()


async def test_a_model_that_never_comes_back_is_an_apology() -> None:
    async with rig(model={"faults": ModelFaults(close_after_ms=800)}) as of:
        with capture_logs() as logs:
            await apology(await of.switch.call())
        warnings = [line["event"] for line in logs if line["log_level"] == "warning"]
        assert warnings.count("the model is called again") >= 4
        assert warnings[-1] == "the model cannot be had, the call goes on without it"


async def test_an_apology_does_not_wait_behind_what_the_model_said_in_advance() -> None:
    # All at once, so that the model is gone long before its words are heard.
    faults = ModelFaults(close_after_ms=4000)
    async with rig(model={"faults": faults, "pace": 0, "greeting": "greeting"}) as of:
        call = await of.switch.call()
        await apology(call)
        values, rate = load_sound("sorry", "en")
        assert correlation(frames(call), convert(values, rate, call.rate)) > 0.95


async def test_a_model_that_is_not_there() -> None:
    settings = {"AGENT_BASE_URL": "http://127.0.0.1:9/v1"}
    async with rig(settings=settings) as of:
        with capture_logs() as logs:
            await apology(await of.switch.call())
        assert any("no connection to the model" in str(line.get("reason")) for line in logs)


async def test_a_missing_module_is_heard_by_the_lane() -> None:
    async with rig(build=None) as of:
        with capture_logs() as logs:
            call = await of.switch.call()
            await greeted(call)
            pcm, rate = words()
            call.speak(pcm, rate)
            await asyncio.sleep(call.speaking_for)
            await call.wait_heard(timeout=5)
        assert of.controller.calls.calls[call.uuid].call.hearing == "lane"
        reasons = [line["reason"] for line in logs if line["log_level"] == "warning"]
        assert any("load mod_audio_stream" in reason for reason in reasons)
        call.hangup()


async def test_a_mute_media_connection_is_replaced_by_the_lane() -> None:
    async with rig(faults=Faults(media_mute=True)) as of:
        with capture_logs() as logs:
            call = await of.switch.call()
            await greeted(call)
            pcm, rate = words()
            call.speak(pcm, rate)
            await asyncio.sleep(call.speaking_for)
            await call.wait_heard(timeout=5)
        assert of.controller.calls.calls[call.uuid].call.hearing == "lane"
        reasons = [line["reason"] for line in logs if line["log_level"] == "warning"]
        assert any("sent nothing" in reason for reason in reasons)
        call.hangup()


@pytest.mark.parametrize("build", ["sptmru", "amigniter"])
@pytest.mark.parametrize(
    "faults", [Faults(media_refused=True), Faults(media_not_found=True)], ids=["refused", "404"]
)
async def test_a_media_port_that_nobody_listens_on(build: str, faults: Faults) -> None:
    async with rig(build=build, faults=faults) as of:
        call = await of.switch.call()
        await greeted(call)
        await until(lambda: of.controller.calls.calls[call.uuid].call.hearing == "lane")
        call.hangup()


@pytest.mark.parametrize("build", ["sptmru", "amigniter"])
async def test_a_media_connection_that_is_cut_comes_back(build: str) -> None:
    async with rig(build=build, faults=Faults(media_cut_after=0.3)) as of:
        call = await of.switch.call()
        await greeted(call)
        session = of.controller.calls.calls[call.uuid]
        assert session.call.hearing == "stream"
        pcm, rate = words()
        call.speak(pcm, rate)
        await asyncio.sleep(call.speaking_for)
        await call.wait_heard(timeout=5)
        call.hangup()


async def test_a_busy_lane_port_is_replaced_by_another() -> None:
    async with rig(faults=Faults(lane_bind_failures=2)) as of:
        call = await of.switch.call()
        await greeted(call)
        assert of.controller.calls.calls[call.uuid].call.speaking_by == "lane"
        call.hangup()


async def test_no_lane_at_all_is_replaced_by_files() -> None:
    async with rig(faults=Faults(lane_bind_failures=-1)) as of:
        with capture_logs() as logs:
            call = await of.switch.call()
            await greeted(call)
        assert correlation(frames(call), greeting_sent(of, call.rate)) > 0.7
        assert of.controller.calls.calls[call.uuid].call.speaking_by == "file"
        assert any("UDP ports" in str(line.get("reason")) for line in logs)
        call.hangup()


async def test_barge_in_stops_a_file() -> None:
    async with rig(model={"greeting": "greeting"}, settings={"MEDIA_PLAYBACK": "file"}) as of:
        call = await of.switch.call()
        began = await call.wait_heard()
        await asyncio.sleep(1.0)
        pcm, rate = words("caller_interrupts")
        call.speak(pcm, rate)
        quiet = await call.wait_silence(0.5)
        record = of.model.sessions[0].record
        truncate = await asked(record, "conversation.item.truncate")
        heard_ms = (quiet - began) * 1000
        assert 1000 < heard_ms < 2600
        assert truncate["audio_end_ms"] == pytest.approx(heard_ms, abs=250)
        call.hangup()


async def test_no_lane_and_no_module_ends_the_call() -> None:
    async with rig(build=None, faults=Faults(lane_bind_failures=-1)) as of:
        call = await of.switch.call()
        assert await call.ended(timeout=10) == "NORMAL_TEMPORARY_FAILURE"
        await of.no_calls()


async def test_a_cut_event_socket_is_dialled_again_by_the_switch() -> None:
    async with rig(faults=Faults(socket_cut_after=1.0)) as of:
        call = await of.switch.call()
        await until(lambda: of.controller.calls.taken == 2)
        resumed = asyncio.get_running_loop().time()
        await call.wait_heard(lambda at, frame: at > resumed and any(frame))
        call.hangup()


async def test_garbage_on_the_event_socket_ends_only_that_session() -> None:
    async with rig() as of:
        good = await of.switch.call()
        await good.wait_heard()
        bad = await of.switch.call(faults=Faults(garbage_after_commands=5))
        with capture_logs() as logs:
            await until(lambda: of.controller.calls.taken > 2 or bool(bad.cause), 15)
        assert not [line for line in logs if line["log_level"] == "error"]
        await greeted(good)
        good.hangup()
        bad.hangup()


async def test_a_bug_on_the_way_of_the_audio_ends_only_that_session(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    hear, broken = CallerAudio.hear, iter([ZeroDivisionError()])

    def hear_or_break(self: CallerAudio, audio: bytes) -> None:
        for bug in broken:
            raise bug
        hear(self, audio)

    async with rig() as of:
        monkeypatch.setattr(CallerAudio, "hear", hear_or_break)
        with capture_logs() as logs:
            call = await of.switch.call()
            await until(lambda: of.controller.calls.taken == 2)
        line = next(line for line in logs if line["log_level"] == "error")
        assert line["event"] == "a bug in the controller ends this session"
        assert isinstance(line["exc_info"], ZeroDivisionError)
        await greeted(call)  # the dialplan has dialled again
        call.hangup()


async def test_many_calls_at_once_do_not_touch_each_other() -> None:
    async with rig() as of:
        calls = [await of.switch.call(codec=c) for c in get_args(CodecName) * 2]
        await asyncio.gather(*(greeted(call) for call in calls))
        for call in calls:
            spoken = greeting_sent(of, call.rate, session=0)
            assert correlation(frames(call), spoken) > 0.9
            call.hangup()


async def test_stopping_lets_go_of_calls_without_hanging_up() -> None:
    async with rig() as of:
        call = await of.switch.call()
        await call.wait_heard()
        await of.controller.calls.stop()
        assert not of.controller.calls.calls
        assert call.cause == ""
        assert of.switch.sessions[call.uuid].channel.stream is None, "the stream is not stopped"
        assert not of.controller.calls.ready

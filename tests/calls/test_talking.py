"""What a secretary does in whole calls: functions, limits, interruptions, and their record."""

from __future__ import annotations

import asyncio
import json
import re
import wave
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from structlog.testing import capture_logs

from esl_controller.freeswitch.connection import SwitchConnection
from esl_controller.freeswitch.transfers import Transfers
from esl_controller.freeswitch.wire import NoSuchChannel
from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction
from esl_controller.simulator.model import ModelFaults, ModelSession, ModelStandIn, ScriptedCall
from esl_controller.simulator.model_base.utterance import ModelUtterance
from media import sounds
from media.frame import Samples, encode
from media.resample import convert
from media.sounds.music import loop
from tests.calls.rig import Rig, asked, greeted, rig, words, words_of
from tests.session.test_session import correlation, frames
from tests.waiting import until

SALES = """
[[destinations]]
name = "Sales"
number = "1001"
come_back = false
"""


async def say(call: CallStandIn, name: str = "caller_interrupts") -> None:
    """The caller speaks, and has finished."""
    pcm, rate = words(name)
    call.speak(pcm, rate)
    await asyncio.sleep(call.speaking_for)


def outputs(of: Rig, session: int = 0) -> list[Any]:
    """What came of the model's function calls, in order."""
    events = of.model.sessions[session].record.client_events
    items = [e["item"] for e in events if e["type"] == "conversation.item.create"]
    return [json.loads(i["output"]) for i in items if i["type"] == "function_call_output"]


def replies(of: Rig, session: int = 0) -> list[dict[str, Any]]:
    """The replies that the model was asked for."""
    events = of.model.sessions[session].record.client_events
    return [e.get("response", {}) for e in events if e["type"] == "response.create"]


def spoken(of: Rig, number: int, rate: int) -> Samples:
    """One of the things that the model said, as a caller at ``rate`` hears it."""
    said = list(of.model.sessions[0].record.spoken.values())[number]
    return convert(said.samples, said.format.rate, rate)


def pause_in(heard: Samples, rate: int) -> tuple[int, int]:
    """The longest silence between two sounds: its first sample, and the one after its last."""
    sound = np.flatnonzero(heard)
    gap = int(np.diff(sound).argmax())
    size = rate // 50
    return int(-(-(sound[gap] + 1) // size) * size), int(sound[gap + 1] // size * size)


async def test_the_farewell_is_heard_to_its_end_before_the_hangup() -> None:
    script = (ScriptedCall(1, "end_call"),)
    model = {"script": script, "greeting": "greeting"}
    async with rig(model=model, secretary='farewell = "Goodbye, and thank you."') as of:
        call = await of.switch.call()
        await greeted(call)
        await say(call)
        assert await call.ended(timeout=15) == "NORMAL_CLEARING"
        assert "Goodbye, and thank you." in replies(of)[-1]["instructions"]
        # The stand-in says as its farewell what it heard of the caller, all of it.
        sent = spoken(of, -1, call.rate)
        assert correlation(frames(call), sent) > 0.95


async def test_the_model_knows_the_date_and_who_seems_to_call_in_all_that_it_says() -> None:
    async with rig(secretary='[hours]\nzone = "America/Sao_Paulo"') as of:
        call = await of.switch.call()
        await greeted(call)
        session = await asked(of.model.sessions[0].record, "session.update")
        call.hangup()
        for told in (session["session"]["instructions"], replies(of)[0]["instructions"]):
            assert re.search(r"It began on \w+day, 20\d\d-\d\d-\d\d at \d\d:\d\d \(America/S", told)
            assert 'the telephone network shows the number "' in told


async def test_a_farewell_of_twelve_seconds_is_heard_to_its_end(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).normal(0, 3000, 12 * 24_000).astype(np.int16)
    speech = tmp_path / "speech.wav"
    with wave.open(str(speech), "wb") as file:
        file.setparams((1, 2, 24_000, 0, "NONE", ""))
        file.writeframes(noise.tobytes())
    script = (ScriptedCall(1, "end_call"),)
    async with rig(model={"script": script, "speech": speech}) as of:
        call = await of.switch.call()
        await call.wait_heard()
        await say(call)  # into the greeting, which is as long
        assert await call.ended(timeout=30) == "NORMAL_CLEARING"
        last = spoken(of, -1, call.rate)[-2 * call.rate :]
        assert correlation(frames(call), last) > 0.95


async def test_a_transfer_is_announced_and_goes_to_a_listed_destination_only() -> None:
    script = (
        ScriptedCall(1, "transfer_call", '{"destination": "the president"}'),
        ScriptedCall(2, "transfer_call", '{"destination": "sales"}'),
    )
    there = {"1001": [DialplanAction("answer"), DialplanAction("park")]}
    async with rig(model={"script": script}, secretary=SALES, extensions=there) as of:
        call = await of.switch.call()
        await greeted(call)
        await say(call)
        await until(lambda: bool(outputs(of)))
        assert outputs(of) == [
            {"error": "unknown destination 'the president'; the destinations are: Sales"}
        ]
        await greeted(call)
        await say(call)
        await of.no_calls(15)
        assert "Sales" in replies(of)[-1]["instructions"]
        channel = of.switch.sessions[call.uuid].channel
        assert channel.profile.number == "1001"
        assert channel.variables["call_timeout"] == "30"
        assert channel.stream is None, "the module goes on sending"
        assert call.cause == ""
        stored = await of.record(call.uuid)
        assert stored["outcome"] == "transferred"
        call.hangup()


async def test_a_transfer_goes_where_and_as_the_file_says() -> None:
    script = (ScriptedCall(1, "transfer_call", '{"destination": "Night desk"}'),)
    secretary = """
[[destinations]]
name = "Night desk"
number = "1002"
context = "internal"
timeout_s = 12
come_back = false
"""
    there = {"1002": [DialplanAction("answer"), DialplanAction("park")]}
    async with rig(model={"script": script}, secretary=secretary, extensions=there) as of:
        call = await of.switch.call()
        await greeted(call)
        await say(call)
        await of.no_calls(15)
        channel = of.switch.sessions[call.uuid].channel
        assert (channel.profile.number, channel.profile.context) == ("1002", "internal")
        assert channel.variables["call_timeout"] == "12"
        call.hangup()


async def test_a_recorded_call(tmp_path: Path) -> None:
    recordings = {"FREESWITCH_RECORDINGS": str(tmp_path)}
    async with rig(secretary="[recording]\nstereo = true", settings=recordings) as of:
        call = await of.switch.call()
        await greeted(call)
        await say(call, "caller")
        call.hangup()  # before the stand-in says the same
        await of.no_calls()
        path = (await of.record(call.uuid))["recording"]
        sent = spoken(of, 0, call.rate)
    assert path == f"{tmp_path}/{call.uuid}.wav"
    with wave.open(path) as file:
        assert (file.getnchannels(), file.getframerate()) == (2, call.rate)
        values = np.frombuffer(file.readframes(file.getnframes()), np.int16).reshape(-1, 2)
    left, right = values[:, 0].copy(), values[:, 1].copy()
    pcm, rate = words("caller")
    said = convert(pcm, rate, call.rate)
    assert correlation(left, said) > 0.95
    assert correlation(right, sent) > 0.95
    assert max(correlation(right, said), correlation(left, sent)) < 0.3


async def test_a_recording_that_the_switch_refuses_is_in_no_record(tmp_path: Path) -> None:
    recordings = {"FREESWITCH_RECORDINGS": f"{tmp_path}/nowhere"}
    async with rig(secretary="[recording]\nstereo = true", settings=recordings) as of:
        call = await of.switch.call()
        await greeted(call)
        call.hangup()
        await of.no_calls()
        stored = await of.record(call.uuid)
        assert stored["recording"] == ""
        assert [note["text"] for note in stored["notes"]] == [
            "the call is not recorded: uuid_record: -ERR Cannot record session!"
        ]


@pytest.mark.parametrize("command", ["start_recording", "transfer"])
async def test_a_channel_that_is_gone_when_it_is_asked_for_something_is_no_fault(
    command: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    async def gone(*_: object, **__: object) -> None:
        raise NoSuchChannel(f"{command}: -ERR No such channel!")

    asked = Transfers if command == "transfer" else SwitchConnection
    monkeypatch.setattr(asked, command, gone)
    script = (ScriptedCall(1, "transfer_call", '{"destination": "Sales"}'),)
    secretary = f"[recording]\nstereo = true\n{SALES}"
    with capture_logs() as logs:
        recordings = {"FREESWITCH_RECORDINGS": str(tmp_path)}
        async with rig(model={"script": script}, secretary=secretary, settings=recordings) as of:
            call = await of.switch.call()
            await greeted(call)
            await say(call)
            await until(lambda: "the call is over already" in {line["event"] for line in logs})
            call.hangup()
            await of.no_calls()
            assert not (await of.record(call.uuid))["notes"]
    assert not [line for line in logs if line["log_level"] in ("warning", "error")]


async def test_a_call_is_not_recorded_unless_that_is_wanted(tmp_path: Path) -> None:
    async with rig(settings={"FREESWITCH_RECORDINGS": str(tmp_path)}) as of:
        call = await of.switch.call()
        await call.wait_heard()
        call.hangup()
        await of.no_calls()
        assert (await of.record(call.uuid))["recording"] == ""
    assert not list(tmp_path.iterdir())  # noqa: ASYNC240


async def test_hold_plays_music_and_the_model_hears_nothing() -> None:
    script = (ScriptedCall(1, "hold", '{"seconds": 5}'),)
    tools = '[tools]\nenabled = ["hold", "unhold"]'
    async with rig(model={"script": script}, secretary=tools) as of:
        call = await of.switch.call()
        await greeted(call)
        await say(call)
        session = await _session(of, call)
        await until(lambda: session.call.conversation.music_playing)
        appends = of.model.sessions[0].record.append_count
        pcm, rate = words("caller")
        call.speak(pcm, rate)
        await asyncio.sleep(2.0)
        assert of.model.sessions[0].record.append_count - appends < 5
        call.dtmf("5")
        await until(lambda: bool(outputs(of)))
        assert outputs(of) == [{"hold": "over", "reason": "the caller pressed a key"}]
        assert not session.call.conversation.music_playing
        await asyncio.sleep(0.1)
        music = loop(call.rate)[: int(1.5 * call.rate)]
        assert correlation(frames(call), music) > 0.95
        call.hangup()


async def test_a_hold_goes_on_in_a_new_park() -> None:
    script = (ScriptedCall(1, "hold", '{"seconds": 6}'),)
    async with rig(model={"script": script}, secretary='[tools]\nenabled = ["hold"]') as of:
        call = await of.switch.call()
        await greeted(call)
        await say(call)
        session = await _session(of, call)
        await until(lambda: session.call.conversation.music_playing)
        await asyncio.sleep(1)
        of.switch.sessions[call.uuid].channel.unicast.reset()
        await until(lambda: session.call.speaking_by == "no")
        before = len(frames(call))
        await until(lambda: session.call.speaking_by == "lane")
        assert session.channel.parks == 1
        assert session.call.conversation.music_playing
        await until(lambda: bool(outputs(of)), 10)
        # It goes on where it was, and lasts for as long as it was to last.
        music = loop(call.rate)
        assert correlation(frames(call)[before:], music[2 * call.rate : 4 * call.rate]) > 0.95
        assert outputs(of) == [{"hold": "over", "reason": "the time is over"}]
        call.hangup()


async def test_a_hold_outlives_the_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("esl_controller.call.media_path.PARKS", 0)  # so that files replace it
    script = (ScriptedCall(1, "hold", '{"seconds": 6}'),)
    async with rig(model={"script": script}, secretary='[tools]\nenabled = ["hold"]') as of:
        call = await of.switch.call()
        await greeted(call)
        await say(call)
        session = await _session(of, call)
        await until(lambda: session.call.conversation.music_playing)
        of.switch.sessions[call.uuid].channel.unicast.reset()
        await until(lambda: session.call.speaking_by == "file")
        before = len(frames(call))
        await until(lambda: bool(outputs(of)), 10)
        music = loop(call.rate)[: 2 * call.rate]
        assert correlation(frames(call)[before:], music) > 0.95
        assert outputs(of) == [{"hold": "over", "reason": "the time is over"}]
        await call.wait_silence(0.5)  # the music has ended, and the model answers
        await until(lambda: len(replies(of)) == 3)
        call.hangup()


async def test_secure_digits_are_seen_by_nobody_but_the_webhook() -> None:
    script = (
        ScriptedCall(1, "collect_digits", '{"name": "pin", "count": 8, "secure": true}'),
        ScriptedCall(2, "check_pin", '{"account": "77"}'),
    )
    async with server() as webhook:
        secretary = f"""
[tools]
enabled = ["collect_digits"]
[[tools.webhooks]]
name = "check_pin"
description = "Check the caller's PIN."
url = "{webhook.url}"
wait_say = "One second."
secure = {{ pin = "pin" }}
parameters = {{ type = "object", properties = {{ account = {{ type = "string" }} }} }}
"""
        with capture_logs() as logs:
            async with rig(model={"script": script}, secretary=secretary) as of:
                call = await of.switch.call()
                await greeted(call)
                await say(call)
                session = await _session(of, call)
                await until(lambda: session.call.conversation.secret_digits)
                call.dtmf("999182773644")  # the trunk tells some keys more than once
                await until(lambda: bool(outputs(of)))
                assert outputs(of) == [{"status": "complete"}]
                await greeted(call)
                await say(call)
                await until(lambda: len(outputs(of)) == 2)
                assert outputs(of)[1] == {"pin": "right"}
                assert webhook.asked[0]["arguments"] == {"account": "77", "pin": "91827364"}
                assert webhook.asked[0]["call"]["call_uuid"] == call.uuid
                stored = await of.record(call.uuid)
                call.hangup()
        events = of.model.sessions[0].record.client_events
        for text in (json.dumps(events), str(logs), json.dumps(stored)):
            assert "91827364" not in text


async def test_a_silent_caller_is_asked_twice_and_wished_goodbye() -> None:
    limits = "[limits]\nidle_s = 0.4\nidle_prompts = 2"
    async with rig(secretary=limits, settings={"AGENT_LANGUAGE": "pt-BR"}) as of:
        call = await of.switch.call()
        assert await call.ended(timeout=30) == "NORMAL_CLEARING"
        asked_for = [reply["instructions"] for reply in replies(of)]
        assert len(asked_for) == 4
        assert "still there" in asked_for[1]
        assert "still there" in asked_for[2]
        assert "Say exactly this" in asked_for[3]


async def test_a_fax_gets_no_answer_and_the_call_ends() -> None:
    time = np.arange(24_000 * 7 // 2) / 24_000
    calling = (5000 * np.sin(2 * np.pi * 1100 * time) * (time < 0.5)).astype(np.int16)
    async with rig(secretary="[limits]\nidle_s = 4\nidle_prompts = 0\nmax_turns = 1") as of:
        call = await of.switch.call()
        await greeted(call)
        for _ in range(10):
            call.speak(calling, 24_000)
        assert await call.ended(timeout=20) == "NORMAL_CLEARING"
        assert len(replies(of)) == 2, "the greeting and the farewell"
        events = of.model.sessions[0].record.client_events
        assert [e for e in events if e["type"] == "conversation.item.delete"]
        stored = await of.record(call.uuid)
        assert [turn for turn in stored["turns"] if turn["who"] == "caller"] == []


async def test_a_call_that_lasts_too_long_is_warned_and_ended() -> None:
    limits = "[limits]\nmax_call_s = 10\nwarn_s = 5\nidle_s = 0"
    async with rig(secretary=limits) as of:
        call = await of.switch.call()
        began = asyncio.get_running_loop().time()
        assert await call.ended(timeout=30) == "NORMAL_CLEARING"
        assert 10 < asyncio.get_running_loop().time() - began < 16
        assert "5 seconds" in replies(of)[1]["instructions"]


class Eloquent(ModelSession):
    """Says something else each time, so that a caller who has heard it can tell what it was."""

    spoken = 0

    def utterance(self) -> ModelUtterance:
        name = ("moment", "caller", "sorry")[self.spoken]
        self.spoken += 1
        (pcm, rate), fmt = words(name), self.config.output_format
        audio = encode(convert(pcm, rate, fmt.rate), fmt.encoding)
        return ModelUtterance.of(audio, fmt, words_of(name), 100)


def begins(heard: Samples, said: Samples) -> int:
    """The sample of ``heard`` at which ``said`` is found."""
    size = 1 << (heard.size + said.size).bit_length()
    spectrum = np.fft.rfft(heard.astype(float), size)
    lags = np.fft.irfft(spectrum * np.conj(np.fft.rfft(said.astype(float), size)), size)
    return int(np.argmax(lags[: heard.size]))


async def test_a_warning_into_which_the_limit_falls_is_heard_to_its_end_and_then_the_goodbye(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ModelStandIn, "session", Eloquent)
    async with rig(secretary="[limits]\nmax_call_s = 10\nwarn_s = 2\nidle_s = 0") as of:
        call = await of.switch.call()
        assert await call.ended(timeout=30) == "NORMAL_CLEARING"
        assert "2 seconds" in replies(of)[1]["instructions"]
        heard, (warning, goodbye) = frames(call), (spoken(of, i, call.rate) for i in (1, 2))
        assert warning.size > 3 * call.rate, "the limit falls into it"
        assert correlation(heard, warning) > 0.95
        assert correlation(heard, goodbye) > 0.95
        assert begins(heard, warning) + warning.size <= begins(heard, goodbye)


async def test_a_cough_does_not_cost_the_caller_a_word() -> None:
    noise = np.random.default_rng(1).normal(0, 4000, 24_000 * 15 // 100)
    async with rig(model={"greeting": "greeting"}) as of:
        call = await of.switch.call()
        await call.wait_heard()
        await asyncio.sleep(1.0)
        call.speak(noise.astype(np.int16), 24_000)
        await asked(of.model.sessions[0].record, "conversation.item.delete")
        await call.wait_silence(1.5)  # longer than the pause
        record = of.model.sessions[0].record
        kinds = {e["type"] for e in record.client_events}
        assert not kinds & {"response.cancel", "conversation.item.truncate"}
        assert len(replies(of)) == 1
        # Nothing was lost or repeated: without the pause, the greeting is whole.
        heard = frames(call)
        sent = spoken(of, 0, call.rate)
        begin, end = pause_in(heard, call.rate)
        assert 0.2 < (end - begin) / call.rate < 1.0
        assert correlation(np.delete(heard, slice(begin, end)), sent) > 0.999
        call.hangup()


@pytest.mark.parametrize(("confirm_ms", "stops"), [(0, True), (240, False)])
async def test_how_much_speech_interrupts(confirm_ms: int, stops: bool) -> None:
    """A cough does it where no speech is asked for."""
    noise = np.random.default_rng(1).normal(0, 4000, 24_000 * 15 // 100)
    secretary = f"[barge_in]\nconfirm_ms = {confirm_ms}"
    async with rig(model={"greeting": "greeting"}, secretary=secretary) as of:
        call = await of.switch.call()
        await call.wait_heard()
        await asyncio.sleep(1.0)
        call.speak(noise.astype(np.int16), 24_000)
        record = of.model.sessions[0].record
        told = "conversation.item.truncate" if stops else "conversation.item.delete"
        await asked(record, told)
        kinds = {e["type"] for e in record.client_events}
        assert ("conversation.item.truncate" in kinds) is stops
        call.hangup()


async def test_the_record_tells_the_call() -> None:
    async with rig(model={"greeting": "greeting"}, secretary='name = "Clara"') as of:
        call = await of.switch.call()
        await greeted(call)
        await say(call, "caller")
        await greeted(call)
        call.hangup()
        await of.no_calls()
        stored = await of.record(call.uuid)
        assert stored["secretary"] == "Clara"
        assert stored["cause"] == "NORMAL_CLEARING"
        who = [turn["who"] for turn in stored["turns"]]
        assert who[:3] == ["agent", "caller", "agent"]
        greeting, caller, answer = stored["turns"][:3]
        assert greeting["heard_text"] == sounds.transcript("greeting", "en")
        assert "s of speech" in caller["text"]
        assert 300 < answer["latency_ms"] < 2500


async def test_what_the_caller_hangs_up_on_was_not_heard() -> None:
    async with rig(model={"greeting": "greeting"}) as of:
        call = await of.switch.call()
        await call.wait_heard()
        await asyncio.sleep(1.5)
        call.hangup()
        await of.no_calls()
        (greeting,) = (await of.record(call.uuid))["turns"]
        assert 1000 < greeting["interrupted_ms"] < 2500
        assert 0 < len(greeting["heard_text"]) < len(greeting["text"])


async def test_the_fallback_takes_the_caller_when_the_model_is_refused() -> None:
    secretary = 'fallback = "Sales"\n' + SALES
    faults = ModelFaults(refuse_key="http")
    there = {"1001": [DialplanAction("answer"), DialplanAction("park")]}
    async with rig(model={"faults": faults}, secretary=secretary, extensions=there) as of:
        call = await of.switch.call()
        await until(lambda: of.controller.calls.taken == 1)
        await of.no_calls(10)
        assert of.switch.sessions[call.uuid].channel.profile.number == "1001"
        call.hangup()


async def test_a_model_that_takes_its_time_is_excused() -> None:
    faults = ModelFaults(connect_delay_ms=2500)
    async with rig(model={"faults": faults}) as of:
        call = await of.switch.call()
        await call.wait_heard()
        await call.wait_silence(0.5)
        values, rate = sounds.load("moment", "en")
        assert correlation(frames(call), convert(values, rate, call.rate)) > 0.95
        call.hangup()


@pytest.mark.parametrize("do", ["hangup", "transfer"])
async def test_outside_the_opening_hours(do: str) -> None:
    hours = '[hours]\nzone = "UTC"\nholidays = ["01-01"]\nsay = "We are closed."\n'
    days = ("mon", "tues", "wednes", "thurs", "fri", "satur", "sun")
    hours += "\n".join(f'{day}day = ["00:00-00:01"]' for day in days) + f'\ndo = "{do}"\n'
    hours += 'destination = "Sales"\n' if do == "transfer" else ""
    there = {"1001": [DialplanAction("answer"), DialplanAction("park")]}
    async with rig(secretary=hours + SALES, extensions=there) as of:
        call = await of.switch.call()
        await until(lambda: of.controller.calls.taken == 1)
        await of.no_calls(15)
        assert "We are closed." in replies(of)[0]["instructions"]
        if do == "hangup":
            assert call.cause == "NORMAL_CLEARING"
        else:
            assert of.switch.sessions[call.uuid].channel.profile.number == "1001"
            call.hangup()


async def _session(of: Rig, call: CallStandIn) -> Any:
    await until(lambda: call.uuid in of.controller.calls.calls)
    return of.controller.calls.calls[call.uuid]


@dataclass
class Server:
    """Somebody else's server."""

    url: str = ""
    asked: list[Any] = field(default_factory=list)


@asynccontextmanager
async def server() -> AsyncIterator[Server]:
    told = Server()

    async def answer(request: web.Request) -> web.Response:
        told.asked.append(await request.json())
        return web.json_response({"pin": "right"})

    app = web.Application()
    app.add_routes([web.post("/check", answer)])
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    told.url = f"http://127.0.0.1:{runner.addresses[0][1]}/check"
    try:
        yield told
    finally:
        await runner.cleanup()

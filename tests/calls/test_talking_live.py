"""Whole calls with GPT-Live: what a secretary does does not depend on the model's API."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from esl_controller.call.timers import UNANSWERED_S
from esl_controller.simulator.freeswitch import CallStandIn, DialplanAction
from esl_controller.simulator.live import LiveSession, LiveStandIn
from esl_controller.simulator.model import ModelFaults, ScriptedCall
from media import sounds
from media.frame import Samples
from media.resample import convert
from media.sounds.music import loop
from tests.calls.rig import asked, greeted, rig, words_of
from tests.calls.test_talking import SALES, say, server
from tests.session.test_session import correlation, frames
from tests.waiting import until

THERE = {"1001": [DialplanAction("answer"), DialplanAction("park")]}
WEBHOOK = """
[[tools.webhooks]]
name = "check_pin"
description = "Check the caller's PIN."
url = "{url}"
parameters = {{ type = "object", properties = {{ account = {{ type = "string" }} }} }}
"""


def model(*script: ScriptedCall, **how: Any) -> LiveStandIn:
    """A model that greets in two seconds and repeats, but calls these functions."""
    short = {"think_ms": 20, "greeting": "caller_interrupts"}
    return LiveStandIn(script=script, **{**short, **how})


def told(session: LiveSession) -> list[str]:
    """What the model was told to say, in order."""
    events = session.record.client_events
    return [e["content"] for e in events if e["type"] == "session.commentary.append"]


def spoken(session: LiveSession, number: int, rate: int) -> Samples:
    """One of the things that the model said, as a caller at ``rate`` hears it."""
    said = list(session.record.spoken.values())[number]
    return convert(said.samples, said.format.rate, rate)


def share(call: CallStandIn, sent: Samples, begin: int = 0) -> float:
    """How much of what was sent the caller heard, from a sample on; second by second, because a gap
    in a voice that comes in real time shifts what follows."""
    heard = frames(call)[begin:]
    pieces = np.array_split(sent, max(1, round(sent.size / call.rate)))
    return float(np.mean([correlation(heard, piece) for piece in pieces]))


def outputs(session: LiveSession) -> list[Any]:
    """What came of the model's function calls, in order."""
    return [json.loads(output) for output in session.backend.results.values()]


async def quiet(call: CallStandIn, live: LiveStandIn | None = None, said: int = 0) -> None:
    """Wait until what is being said has been heard, and the model knows that it was all; ``said``:
    so many things in its last session."""
    await until(lambda: live is None or len(live.sessions[-1].record.spoken) >= said)
    await greeted(call)
    await asyncio.sleep(0.5)


async def test_a_call_is_greeted_heard_and_answered() -> None:
    live = model(greeting="greeting")
    async with rig(live=live, secretary='name = "Clara"\ngreeting = "Clinic, hello."') as of:
        call = await of.switch.call()
        await quiet(call)
        (session,) = live.sessions
        assert "Clinic, hello." in told(session)[0]
        assert share(call, spoken(session, 0, call.rate)) > 0.9
        await say(call, "caller")
        await quiet(call, live, 2)
        assert share(call, spoken(session, 1, call.rate)) > 0.9
        call.hangup()
        await of.no_calls()
        record = session.record
        assert len(record.spoken) == 2
        assert record.violations == record.refusals == record.early_appends == 0
        stored = await of.record(call.uuid)
        assert stored["outcome"] == "completed"
        greeting, caller, answer = stored["turns"]
        assert [turn["who"] for turn in stored["turns"]] == ["agent", "caller", "agent"]
        assert greeting["heard_text"] == sounds.transcript("greeting", "en")
        assert caller["text"].startswith("(bla")
        assert answer["heard_text"] == caller["text"]
        assert 0 < answer["latency_ms"] < 2500


async def test_all_the_time_of_the_session_is_on_the_record() -> None:
    live = model()
    async with rig(live=live) as of:
        call = await of.switch.call()
        await quiet(call)
        await asyncio.sleep(2.0)  # nobody speaks, and it is paid all the same
        call.hangup()
        await of.no_calls()
        (session,) = live.sessions
        heard, rate = session.record.heard()
        stored = await of.record(call.uuid)
        assert stored["usage"]["seconds"] == pytest.approx(heard.size / rate, abs=0.25)


async def test_the_time_of_every_session_of_a_call_is_on_the_record() -> None:
    live = model(faults=ModelFaults(close_after_ms=1000))
    async with rig(live=live) as of:
        call = await of.switch.call()
        await until(lambda: bool(live.sessions))
        live.faults = ModelFaults()
        await quiet(call)
        call.hangup()
        await of.no_calls()
        stored = await of.record(call.uuid)
        assert len(live.sessions) == 2
        heard_s = sum(h.size / rate for h, rate in (s.record.heard() for s in live.sessions))
        assert stored["usage"]["seconds"] == pytest.approx(heard_s, abs=0.5)


async def test_a_function_yields_one_reply() -> None:
    live = model(ScriptedCall(1, "check_pin", '{"account": "77"}'))
    async with (
        server() as webhook,
        rig(live=live, secretary=WEBHOOK.format(url=webhook.url)) as of,
    ):
        call = await of.switch.call()
        await quiet(call)
        await say(call)
        (session,) = live.sessions
        await quiet(call, live, 2)
        assert [one["arguments"] for one in webhook.asked] == [{"account": "77"}]
        assert outputs(session) == [{"pin": "right"}]
        assert len(session.record.spoken) == 2
        assert len(told(session)) == 1, "only the greeting had to be told"
        call.hangup()
        await of.no_calls()
        stored = await of.record(call.uuid)
        (used,) = stored["tools"]
        assert (used["name"], json.loads(used["output"])) == ("check_pin", {"pin": "right"})
        assert stored["usage"]["output_text"] == 20, "of both responses of the second model"


@pytest.mark.parametrize("acknowledge", [False, True])
async def test_the_farewell_is_heard_once_and_to_its_end(acknowledge: bool) -> None:
    live = model(ScriptedCall(1, "end_call"), acknowledge=acknowledge)
    async with rig(live=live, secretary='farewell = "Goodbye, and thank you."') as of:
        call = await of.switch.call()
        await quiet(call)
        before = frames(call).size
        await say(call)
        assert await call.ended(timeout=15) == "NORMAL_CLEARING"
        (session,) = live.sessions
        assert len(told(session)) == 2
        assert "Goodbye, and thank you." in told(session)[1]
        # The greeting, what it said of its own while it asked, and what it was told to say.
        assert len(session.record.spoken) == 2 + acknowledge
        assert share(call, spoken(session, -1, call.rate), before) > 0.9
        await of.no_calls()
        stored = await of.record(call.uuid)
        assert [tool["name"] for tool in stored["tools"]] == ["end_call"]


async def test_a_transfer_is_announced_and_goes_to_a_listed_destination_only() -> None:
    live = model(
        ScriptedCall(1, "transfer_call", '{"destination": "the president"}'),
        ScriptedCall(2, "transfer_call", '{"destination": "sales"}'),
    )
    async with rig(live=live, secretary=SALES, extensions=THERE) as of:
        call = await of.switch.call()
        await quiet(call)
        await say(call)
        (session,) = live.sessions
        await quiet(call, live, 2)
        assert "unknown destination" in outputs(session)[0]["error"]
        await say(call)
        await of.no_calls(15)
        assert "Sales" in told(session)[-1]
        assert len(session.record.spoken) == 3
        assert of.switch.sessions[call.uuid].channel.profile.number == "1001"
        assert share(call, spoken(session, -1, call.rate)) > 0.9
        assert (await of.record(call.uuid))["outcome"] == "transferred"
        call.hangup()


async def test_a_silent_caller_is_asked_twice_and_wished_goodbye() -> None:
    live = model()
    async with rig(live=live, secretary="[limits]\nidle_s = 0.4\nidle_prompts = 2") as of:
        call = await of.switch.call()
        assert await call.ended(timeout=40) == "NORMAL_CLEARING"
        (session,) = live.sessions
        said = told(session)
        assert len(said) == len(session.record.spoken) == 4
        assert "still there" in said[1]
        assert "still there" in said[2]
        assert "Say exactly this" in said[3]


async def test_hold_plays_music_and_is_not_paid_for() -> None:
    live = model(ScriptedCall(1, "hold", '{"seconds": 5}'))
    async with rig(live=live, secretary='[tools]\nenabled = ["hold"]') as of:
        call = await of.switch.call()
        await quiet(call)
        await say(call)
        (session,) = live.sessions
        held = of.controller.calls.calls[call.uuid].call.conversation
        await until(lambda: held.music_playing)
        appends = session.record.append_count
        await say(call, "caller")
        assert session.record.append_count - appends < 5
        assert correlation(frames(call), loop(call.rate)[: call.rate]) > 0.95
        await until(lambda: bool(session.backend.results))
        assert outputs(session) == [{"hold": "over", "reason": "the time is over"}]
        await quiet(call, live, 2)
        assert len(session.record.spoken) == 2, "it is back"
        call.hangup()
        await of.no_calls()
        heard, rate = session.record.heard()
        stored = await of.record(call.uuid)
        assert stored["usage"]["seconds"] == pytest.approx(heard.size / rate, abs=0.25)


async def test_while_secret_digits_are_typed_the_model_hears_silence_and_speaks_on() -> None:
    live = model(
        ScriptedCall(1, "collect_digits", '{"name": "pin", "count": 8, "secure": true}'),
        acknowledge=True,
    )
    async with rig(live=live, secretary='[tools]\nenabled = ["collect_digits"]') as of:
        call = await of.switch.call()
        await quiet(call)
        await say(call)
        (session,) = live.sessions
        talk = of.controller.calls.calls[call.uuid].call.conversation
        await until(lambda: talk.secret_digits)
        began = session.record.heard()[0].size
        await quiet(call, live, 2)
        assert share(call, spoken(session, 1, call.rate)) > 0.9
        call.speak(*sounds.load("caller", "en"))
        await asyncio.sleep(0.5)
        assert not np.any(session.record.heard()[0][began + 800 :]), "what tells keys by ear"
        call.dtmf("91827364")
        await until(lambda: bool(session.backend.results))
        assert outputs(session) == [{"status": "complete"}]
        assert "91827364" not in json.dumps(session.record.client_events)
        call.hangup()


async def test_keys_are_told_to_the_model_once() -> None:
    live = model()
    async with rig(live=live) as of:
        call = await of.switch.call()
        await quiet(call)
        call.dtmf("42")
        (session,) = live.sessions
        await until(lambda: len(told(session)) == 2)
        assert "pressed 42" in told(session)[1]
        await quiet(call, live, 2)
        assert len(session.record.spoken) == 2
        call.hangup()


async def test_the_caller_silences_the_model() -> None:
    live = model(greeting="greeting")
    async with rig(live=live) as of:
        call = await of.switch.call()
        await call.wait_heard()
        await asyncio.sleep(1.0)
        await say(call)
        await quiet(call, live, 2)
        (session,) = live.sessions
        (greeting, answer) = session.record.spoken.values()
        whole, rate = sounds.load("greeting", "en")
        assert greeting.samples.size / greeting.format.rate < whole.size / rate - 0.5
        assert share(call, spoken(session, 1, call.rate)) > 0.9
        assert answer.samples.size
        call.hangup()


@pytest.mark.parametrize("how", ["clean", "abrupt"])
async def test_a_model_that_closes_in_mid_word_goes_on_with_its_history(how: Any) -> None:
    live = model()
    async with rig(live=live) as of:
        call = await of.switch.call()
        await quiet(call)
        await say(call, "caller")
        (first,) = live.sessions
        await until(lambda: len(first.record.spoken) == 2)
        await asyncio.sleep(1.0)
        loop = asyncio.get_running_loop()
        began = loop.time()
        await first.close(1011, "internal_error")
        await until(lambda: len(live.sessions) == 2 and bool(told(live.sessions[1])))
        assert loop.time() - began < 2
        second = live.sessions[1]
        assert "cut off" in told(second)[0]
        start = await asked(second.record, "session.start")
        history = [(m["role"], m["content"][0]["text"]) for m in start["session"]["input"]]
        assert history[0] == ("assistant", words_of("caller_interrupts"))
        assert history[1][0] == "user"
        assert history[1][1].startswith("(bla")
        await quiet(call, live, 1)
        assert len(second.record.spoken) == 1
        call.hangup()


@pytest.mark.parametrize("pause", [0.1, 1.5])
async def test_a_turn_that_a_lost_model_had_not_answered_is_answered_by_the_next(
    pause: float,
) -> None:
    live = model(think_ms=3000)
    async with rig(live=live) as of:
        call = await of.switch.call()
        await quiet(call)
        await say(call, "caller")
        (first,) = live.sessions
        await until(lambda: first.record.turns == 1)
        await asyncio.sleep(pause)
        await first.close(1011, "internal_error")
        await until(lambda: len(live.sessions) == 2 and bool(told(live.sessions[1])))
        assert "Answer what the caller said last." in told(live.sessions[1])[0]
        start = await asked(live.sessions[1].record, "session.start")
        assert start["session"]["input"][-1]["role"] == "user"
        call.hangup()


async def test_a_caller_whom_the_model_leaves_without_an_answer_gets_one() -> None:
    live = model(faults=ModelFaults(unanswered_turns=1))
    async with rig(live=live) as of:
        call = await of.switch.call()
        await quiet(call)
        await say(call, "caller")
        (session,) = live.sessions
        await until(lambda: len(told(session)) == 2, timeout=UNANSWERED_S + 5)
        assert "Answer what the caller said last." in told(session)[1]
        await quiet(call, live, 2)
        assert share(call, spoken(session, 1, call.rate)) > 0.9
        call.hangup()


async def test_a_model_that_says_nothing_at_all_is_an_apology_and_no_completed_call() -> None:
    live = model(think_ms=600_000)
    async with rig(live=live) as of:
        call = await of.switch.call()
        assert await call.ended(timeout=40) == "NORMAL_TEMPORARY_FAILURE"
        for sentence in ("moment", "sorry"):
            values, rate = sounds.load(sentence, "en")
            assert correlation(frames(call), convert(values, rate, call.rate)) > 0.9
        await of.no_calls()
        assert (await of.record(call.uuid))["outcome"] == "model lost"


async def test_a_refused_key_is_an_apology_and_one_clear_line() -> None:
    live = model(faults=ModelFaults(refuse_key="http"))
    async with rig(live=live) as of:
        with capture_logs() as logs:
            call = await of.switch.call()
            assert await call.ended(timeout=15) == "NORMAL_TEMPORARY_FAILURE"
        values, rate = sounds.load("sorry", "en")
        assert correlation(frames(call), convert(values, rate, call.rate)) > 0.95
        warnings = [line for line in logs if line["log_level"] == "warning"]
        (line,) = [line for line in warnings if "cannot be had" in line["event"]]
        assert "the key was refused: check OPENAI_API_KEY" in line["reason"]
        await of.no_calls()
        assert (await of.record(call.uuid))["outcome"] == "model lost"

"""The Realtime agent against its stand-in, and against a server that is told what to say."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from openai.types.realtime import RealtimeClientEventParam
from pydantic import TypeAdapter

from esl_controller.agents.health import SPREAD_S
from esl_controller.agents.openai import realtime
from esl_controller.agents.openai.connection import BACKLOG_MS, CONTROL_LIMIT
from esl_controller.agents.openai.endpoint import PCM
from esl_controller.agents.openai.realtime import RealtimeAgent, RealtimeModel
from esl_controller.call import agent_events as ev
from esl_controller.call.agent import Called, History, Recovery, Said
from esl_controller.secretaries.persona import ByMeaning, BySilence, Persona, Tool
from esl_controller.simulator.model import (
    ModelFailure,
    ModelFaults,
    ModelSession,
    ModelStandIn,
    ScriptedCall,
)
from media import sounds
from media.frame import PCMU, Format, encode
from media.resample import convert
from tests.agents.openai.rig import (
    Conversation,
    agent_settings,
    nonsense,
    say,
    sent,
    server,
    talking,
)
from tests.waiting import until

PATH = "realtime"
CLIENT_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeClientEventParam)
LOOK_UP = Tool("look_up", "Looks it up.", {"type": "object", "properties": {}})
PERSONA = Persona("gpt-realtime", "cedar", "pt-BR", "Seja breve.")
HISTORY = (
    Said("caller", "A table for two."),
    Called("c0", "look_up", '{"a": 1}', '"free"'),
    Said("agent", "There is one."),
)
FRAME = bytes(PCM.frame_bytes)
UPDATED = {"type": "session.updated"}
SLOW: dict[str, Any] = {"pace": 1.0, "think_ms": 0}
FAST: dict[str, Any] = {"pace": 0, "think_ms": 0}


def model_for(base_url: str, **settings: str) -> RealtimeModel:
    return RealtimeModel(agent_settings(base_url, **settings))


def talking_to(
    base_url: str,
    *,
    persona: Persona = PERSONA,
    history: History = (),
    g711: bool = False,
    **settings: str,
) -> AbstractAsyncContextManager[Conversation]:
    model = model_for(base_url, **settings)
    return talking(model, Conversation(model.agent(persona, history, g711=g711)))


def session_of(standin: ModelStandIn) -> ModelSession:
    (session,) = standin.sessions
    return session


def caller(name: str = "caller_interrupts") -> bytes:
    """Words, and the silence in which their end is found."""
    words, rate = sounds.load(name)
    silence = np.zeros(PCM.rate, np.int16)
    return encode(np.concatenate((convert(words, rate, PCM.rate), silence)), PCM.encoding)


async def utter(talk: Conversation, audio: bytes) -> None:
    for at in range(0, len(audio), len(FRAME)):
        talk.agent.hear(audio[at : at + len(FRAME)])
        await asyncio.sleep(0)


# --- what we send ---------------------------------------------------------------------------------


async def test_everything_that_we_send_is_of_the_packages_types() -> None:
    persona = Persona("gpt-realtime", "cedar", "en", "Be brief.", (LOOK_UP,))
    async with (
        ModelStandIn(**FAST, script=(ScriptedCall(0, "look_up"),)) as standin,
        talking_to(standin.base_url, persona=persona, history=HISTORY) as talk,
    ):
        agent = talk.agent
        await talk.until(ev.AgentReady)
        agent.respond()
        await talk.until(ev.ResponseDone)
        call = talk.of(ev.ResponseDone)[0].calls[0]
        agent.tool_result(Called(call.call_id, call.name, call.arguments, "{}"))
        agent.tool_result(Called("of an earlier connection", "f", "{}", "{}"))
        agent.tell("They pressed 1.")
        agent.respond("Greet the caller.")
        await talk.until(ev.AgentAudioDone)
        agent.truncate(talk.of(ev.AgentAudio)[0].item, 100)
        await utter(talk, caller())
        await talk.until(ev.CallerTranscript)
        agent.forget(talk.of(ev.CallerTranscript)[0].item)
        await until(lambda: bool(sent(standin, "conversation.item.delete")))
        record = session_of(standin).record
        assert [event["type"] for event in record.client_events] == [
            "session.update",
            *["conversation.item.create"] * 4,
            "response.create",
            *["conversation.item.create"] * 4,
            "response.create",
            "conversation.item.truncate",
            "conversation.item.delete",
        ]
        for event in record.client_events:
            CLIENT_EVENT.validate_python(event, strict=True, extra="forbid")
        await until(lambda: record.sent["conversation.item.deleted"] == 1)
        assert record.violations == record.refusals == record.early_appends == 0


async def set_up(persona: Persona, **kwargs: Any) -> dict[str, Any]:
    """The session that the model was asked for, and confirmed."""
    async with (
        ModelStandIn() as standin,
        talking_to(standin.base_url, persona=persona, **kwargs) as talk,
    ):
        await talk.until(ev.AgentReady)
        assert session_of(standin).record.violations == 0
        asked: dict[str, Any] = sent(standin, "session.update")[0]["session"]
        return asked


async def test_the_session_is_what_the_persona_says() -> None:
    session = await set_up(PERSONA)
    assert session["type"] == "realtime"
    assert session["instructions"] == "Seja breve."
    form = {"type": "audio/pcm", "rate": 24000}
    assert session["audio"]["output"] == {"format": form, "voice": "cedar"}
    assert session["audio"]["input"]["format"] == form
    assert session["audio"]["input"]["transcription"]["language"] == "pt"
    assert "tools" not in session


@pytest.mark.parametrize(
    ("wanted", "asked"),
    [
        (
            BySilence(0.7, 900, 200),
            {
                "type": "server_vad",
                "threshold": 0.7,
                "silence_duration_ms": 900,
                "prefix_padding_ms": 200,
            },
        ),
        (ByMeaning("low"), {"type": "semantic_vad", "eagerness": "low"}),
    ],
)
async def test_turns_are_found_by_the_model_and_answered_when_we_say_so(
    wanted: BySilence | ByMeaning, asked: dict[str, Any]
) -> None:
    persona = Persona("m", "v", "en", "", turn_detection=wanted)
    detection = (await set_up(persona))["audio"]["input"]["turn_detection"]
    assert detection == {**asked, "create_response": False, "interrupt_response": False}


@pytest.mark.parametrize("wanted", ["off", "near_field", "far_field"])
async def test_noise_reduction(wanted: Any) -> None:
    session = await set_up(Persona("m", "v", "en", "", noise_reduction=wanted))
    expected = None if wanted == "off" else {"type": wanted}
    assert session["audio"]["input"].get("noise_reduction") == expected


async def test_tools() -> None:
    session = await set_up(Persona("m", "v", "en", "", (LOOK_UP,)))
    assert session["tools"] == [
        {
            "type": "function",
            "name": "look_up",
            "description": "Looks it up.",
            "parameters": {"type": "object", "properties": {}},
        }
    ]


@pytest.mark.parametrize(
    ("audio", "g711", "expected"),
    [
        ("auto", True, PCMU),
        ("auto", False, PCM),
        ("pcm", True, PCM),
        ("pcmu", False, PCMU),
    ],
)
async def test_g711_where_it_loses_nothing(audio: str, g711: bool, expected: Format) -> None:
    async with (
        ModelStandIn() as standin,
        talking_to(standin.base_url, g711=g711, AUDIO=audio) as talk,
    ):
        await talk.until(ev.AgentReady)
        assert talk.agent.input == talk.agent.output == expected
        kind = "audio/pcm" if expected == PCM else "audio/pcmu"
        asked = sent(standin, "session.update")[0]["session"]["audio"]
        assert asked["input"]["format"]["type"] == asked["output"]["format"]["type"] == kind


async def test_the_past_comes_first_and_nothing_before_the_session_is_confirmed() -> None:
    confirm = asyncio.Event()
    seen: list[dict[str, Any]] = []

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json({"type": "session.created", "event_id": "e", "session": {}})
        seen.append(await socket.receive_json())
        await confirm.wait()
        await socket.send_json(UPDATED)
        async for message in socket:
            seen.append(json.loads(message.data))

    async with server(PATH, talk) as url, talking_to(url, history=HISTORY) as conversation:
        conversation.agent.hear(FRAME)
        conversation.agent.respond("Greet.")
        await until(lambda: bool(seen))
        await asyncio.sleep(0.05)
        assert [event["type"] for event in seen] == ["session.update"]
        confirm.set()
        await until(lambda: len(seen) == 7)
    items = [event["item"] for event in seen[1:5]]
    assert [(item["type"], item.get("role")) for item in items] == [
        ("message", "user"),
        ("function_call", None),
        ("function_call_output", None),
        ("message", "assistant"),
    ]
    assert items[0]["content"] == [{"type": "input_text", "text": "A table for two."}]
    assert (items[1]["call_id"], items[1]["arguments"]) == ("c0", '{"a": 1}')
    assert (items[2]["call_id"], items[2]["output"]) == ("c0", '"free"')
    assert items[3]["content"] == [{"type": "output_text", "text": "There is one."}]
    assert seen[5]["type"] == "response.create"
    assert seen[6]["type"] == "input_audio_buffer.append"


async def test_a_long_past_is_no_overload() -> None:
    history = [Said("caller", f"turn {number}") for number in range(2 * CONTROL_LIMIT)]
    async with (
        ModelStandIn(**FAST) as standin,
        talking_to(standin.base_url, history=history) as talk,
    ):
        talk.agent.respond("Go on.")
        await talk.until(ev.AgentReady)
        talk.agent.tell("They pressed 1.")
        await talk.until(ev.ResponseDone)
        assert len(sent(standin, "conversation.item.create")) == len(history) + 1


async def test_what_is_to_be_said_is_said_without_calling_functions() -> None:
    async with ModelStandIn(**FAST) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        talk.agent.respond("Say goodbye.")
        await talk.until(ev.ResponseDone)
        (asked,) = sent(standin, "response.create")
        response = asked["response"]
        assert response["tool_choice"] == "none"
        assert response["tools"] == []
        assert response["instructions"] == "Seja breve.\n\n# Do this now\nSay goodbye."


async def test_audio_arrives_whole_and_in_order() -> None:
    ramp = np.arange(24000, dtype="<i2").tobytes()
    async with ModelStandIn() as standin, talking_to(standin.base_url) as talk:
        await utter(talk, ramp)
        await until(lambda: bool(standin.sessions))
        record = session_of(standin).record
        await until(lambda: record.append_bytes == len(ramp))
        heard, rate = record.heard()
        assert rate == 24000
        assert heard.tobytes() == ramp
        assert talk.agent.counters.dropped_ms == 0


async def test_a_model_that_takes_nothing_loses_the_oldest_audio_and_then_counts_as_failed() -> (
    None
):
    async with server(PATH, say([])) as url, talking_to(url) as talk:
        for _ in range(1000):
            talk.agent.hear(FRAME)
        assert talk.agent.counters.dropped_ms == 20_000 - BACKLOG_MS
        for _ in range(CONTROL_LIMIT + 1):
            talk.agent.tell("They pressed 1.")
        await talk.until(ev.AgentFailed)
        assert "takes nothing any more" in talk.of(ev.AgentFailed)[0].reason


# --- what becomes of it ---------------------------------------------------------------------------


@pytest.mark.parametrize("sprinkle", [0, 3])
async def test_a_whole_turn_is_reported(sprinkle: int) -> None:
    faults = ModelFaults(sprinkle_every=sprinkle)
    async with ModelStandIn(**FAST, faults=faults) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.until(ev.ResponseDone)
        (started,), (done,) = talk.of(ev.ResponseStarted), talk.of(ev.ResponseDone)
        assert (started.id, done.status) == (done.id, "completed")
        assert done.usage.output_audio > 0
        assert done.usage.output_text > 0
        ((item, audio),) = talk.audio().items()
        assert talk.of(ev.AgentAudioDone) == [ev.AgentAudioDone(item)]
        assert audio == bytes(session_of(standin).record.spoken[item].audio)
        assert "".join(text.text for text in talk.of(ev.AgentText)) == sounds.transcript("greeting")
        assert (talk.agent.counters.ignored > 3) is bool(sprinkle)


async def test_the_callers_turn_is_answered_when_asked_for() -> None:
    async with ModelStandIn(**FAST) as standin, talking_to(standin.base_url) as talk:
        await utter(talk, caller())
        await talk.until(ev.SpeechStarted, ev.SpeechStopped, ev.CallerTranscript)
        (started,), (stopped,) = talk.of(ev.SpeechStarted), talk.of(ev.SpeechStopped)
        assert started.item == stopped.item == talk.of(ev.CallerTranscript)[0].item
        assert started.at_ms < stopped.at_ms
        await asyncio.sleep(0.05)
        assert not talk.of(ev.ResponseStarted)
        talk.agent.respond()
        await talk.until(ev.ResponseDone)
        (asked,) = sent(standin, "response.create")
        assert set(asked) == {"type", "event_id"}


async def test_what_was_no_speech_is_forgotten() -> None:
    async with ModelStandIn() as standin, talking_to(standin.base_url) as talk:
        await utter(talk, caller())
        await talk.until(ev.SpeechStopped)
        item = talk.of(ev.SpeechStopped)[0].item
        talk.agent.forget(item)
        record = session_of(standin).record
        await until(lambda: record.sent["conversation.item.deleted"] == 1)
        assert not session_of(standin).conversation.items


async def test_a_function_call_and_its_result() -> None:
    script = (ScriptedCall(0, "look_up", '{"a": 1}'), ScriptedCall(0, "look_up", "{"))
    async with (
        ModelStandIn(**FAST, script=script) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        talk.agent.respond()
        await talk.until(ev.ResponseDone)
        (done,) = talk.of(ev.ResponseDone)
        assert [(call.name, call.arguments) for call in done.calls] == [
            ("look_up", '{"a": 1}'),
            ("look_up", "{"),
        ]
        assert not talk.of(ev.AgentAudio)
        call = done.calls[0]
        talk.agent.tool_result(Called(call.call_id, call.name, call.arguments, '{"b": 2}'))
        talk.agent.respond()
        await talk.until(ev.AgentAudioDone)
        (item,) = [event["item"] for event in sent(standin, "conversation.item.create")]
        assert item == {
            "type": "function_call_output",
            "call_id": call.call_id,
            "output": '{"b": 2}',
        }


async def test_the_result_of_a_call_of_another_connection_brings_the_call_with_it() -> None:
    async with ModelStandIn(**FAST) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        talk.agent.tool_result(Called("old", "look_up", '{"a": 1}', '{"b": 2}'))
        record = session_of(standin).record
        await until(lambda: record.sent["conversation.item.done"] == 2)
        kinds = [event["item"]["type"] for event in sent(standin, "conversation.item.create")]
        assert kinds == ["function_call", "function_call_output"]
        assert record.refusals == 0


async def test_what_was_not_heard_is_forgotten() -> None:
    async with ModelStandIn(**FAST) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.until(ev.ResponseDone)
        (item,) = talk.audio()
        talk.agent.truncate(item, 700)
        record = session_of(standin).record
        await until(lambda: record.sent["conversation.item.truncated"] == 1)
        assert session_of(standin).conversation.get(item).audio_ms == 700


async def test_a_cancelled_response_is_silent_at_once() -> None:
    async with ModelStandIn(**SLOW) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.until(ev.AgentAudio)
        talk.agent.cancel()
        before = len(talk.of(ev.AgentAudio))
        await talk.until(ev.ResponseDone)
        assert talk.of(ev.ResponseDone)[0].status == "cancelled"
        assert len(talk.of(ev.AgentAudio)) == before
        assert talk.of(ev.AgentAudioDone) == [ev.AgentAudioDone(item) for item in talk.audio()]
        talk.agent.cancel()  # there is nothing to cancel any more
        talk.agent.respond("Once more.")
        await until(lambda: len(talk.of(ev.ResponseStarted)) == 2)
        assert len(sent(standin, "response.cancel")) == 1
        assert session_of(standin).record.refusals == 0


async def test_a_cancelled_response_ends_its_audio() -> None:
    sound = base64.b64encode(bytes(4800)).decode()
    delta = {"type": "response.output_audio.delta", "response_id": "r1", "delta": sound}
    go_on = asyncio.Event()

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json(UPDATED)
        await socket.send_json({"type": "response.created", "response": {"id": "r1"}})
        await socket.send_json({**delta, "item_id": "i1"})
        await go_on.wait()
        await socket.send_json({**delta, "item_id": "i1"})
        await socket.send_json({**delta, "item_id": "i2"})
        done = {"id": "r1", "status": "cancelled"}
        await socket.send_json({"type": "response.done", "response": done})
        await socket.send_json({**delta, "item_id": "i1"})
        await socket.send_json({"type": "response.created", "response": {"id": "r2"}})
        await socket.send_json({**delta, "item_id": "i3", "response_id": "r2"})
        await socket.receive()

    async with server(PATH, talk) as url, talking_to(url) as conversation:
        await conversation.until(ev.AgentAudio)
        conversation.agent.cancel()
        go_on.set()
        await until(lambda: len(conversation.audio()) == 2)
        assert {item: len(audio) for item, audio in conversation.audio().items()} == {
            "i1": 4800,
            "i3": 4800,
        }
        assert conversation.of(ev.AgentAudioDone) == [ev.AgentAudioDone("i1")]


# --- the model fails ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("faults", "reason", "recovery"),
    [
        (
            ModelFaults(refuse_key="http"),
            "HTTP 401; the key was refused: check OPENAI_API_KEY",
            Recovery.NEXT_MODEL,
        ),
        (ModelFaults(refuse_key="close"), "invalid_api_key", Recovery.NEXT_MODEL),
        (ModelFaults(too_many=True), "HTTP 429; too many requests", Recovery.RECONNECT),
        (ModelFaults(refuse_update=True), "the model refused the session", Recovery.NEXT_MODEL),
        (ModelFaults(connect_delay_ms=3000), "not ready within 0.5 s", Recovery.RECONNECT),
    ],
)
async def test_a_model_that_cannot_be_had_says_why(
    faults: ModelFaults, reason: str, recovery: Recovery
) -> None:
    async with (
        ModelStandIn(faults=faults) as standin,
        talking_to(standin.base_url, CONNECT_TIMEOUT_S="0.5") as talk,
    ):
        await talk.until(ev.AgentFailed)
        (failed,) = talk.of(ev.AgentFailed)
        assert reason in failed.reason
        assert failed.recovery is recovery
        assert not talk.of(ev.AgentReady)


@pytest.mark.parametrize(
    ("transcriber", "outcome"), [("whisper-1", ev.AgentReady), (PERSONA.model, ev.AgentFailed)]
)
async def test_a_transcription_model_that_is_not_there_costs_the_transcript_only(
    transcriber: str, outcome: type[ev.AgentEvent]
) -> None:
    """Unless it is the one that speaks, too."""
    message = f"The model '{transcriber}' does not exist."
    wrong = {"type": "invalid_request_error", "code": "model_not_found", "message": message}

    async def talk(socket: web.WebSocketResponse) -> None:
        while not socket.closed:
            told = await socket.receive()
            if told.type is not web.WSMsgType.TEXT:
                return
            wanted = json.loads(told.data)["session"]["audio"]["input"].get("transcription")
            await socket.send_json({"type": "error", "error": wrong} if wanted else UPDATED)

    async with (
        server(PATH, talk) as url,
        talking_to(url, TRANSCRIPTION_MODEL=transcriber) as conversation,
    ):
        await conversation.until(outcome)
        assert {type(event) for event in conversation.got} <= {ev.TranscriptMissing, outcome}


@pytest.mark.parametrize("how", ["clean", "abrupt"])
async def test_a_model_that_closes_in_mid_word_is_reported_once(how: Any) -> None:
    faults = ModelFaults(close_after_ms=500, close_how=how)
    async with (
        ModelStandIn(**FAST, faults=faults) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.until(ev.AgentFailed)
        assert talk.of(ev.AgentAudio)
        (failed,) = talk.of(ev.AgentFailed)
        assert "the model closed the connection" in failed.reason
        assert failed.recovery is Recovery.RECONNECT


async def test_a_session_that_is_over_is_reported() -> None:
    async with (
        ModelStandIn(faults=ModelFaults(expire_s=0.1)) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentFailed)
        (failed,) = talk.of(ev.AgentFailed)
        assert failed == ev.AgentFailed(
            "the model: session_expired: Your session hit the maximum duration."
        )


async def test_a_response_that_fails_is_over() -> None:
    async with (
        ModelStandIn(**FAST, faults=ModelFaults(fail_responses=1)) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.until(ev.ResponseDone)
        (done,) = talk.of(ev.ResponseDone)
        assert (done.status, done.reason) == ("failed", "overloaded: Try again.")


@pytest.mark.parametrize(
    "faults", [ModelFaults(refuse_requests=20), ModelFaults(fail_responses=20)]
)
async def test_calls_that_are_told_when_to_ask_again_do_not_all_do_it_in_one_instant(
    faults: ModelFaults,
) -> None:
    failure = ModelFailure("tokens", "rate_limit_exceeded", "Please try again in 1.5 s.")
    async with (
        ModelStandIn(**FAST, faults=replace(faults, failure=failure)) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)

        def waits() -> list[float]:
            return [e.after_s for e in talk.got if isinstance(e, ev.ReplyRefused | ev.ResponseDone)]

        seen: list[float] = []
        for _ in range(20):
            talk.agent.respond("Greet.")
            await until(lambda: len(waits()) > len(seen))
            seen[:] = waits()
        assert min(seen) >= 1.5
        assert max(seen) <= 1.5 + SPREAD_S
        assert max(seen) - min(seen) > SPREAD_S / 4


@pytest.mark.parametrize("after_ms", [0, 300])
async def test_a_model_that_stalls_counts_as_failed(
    after_ms: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime, "STALL_S", 0.2)
    monkeypatch.setattr(realtime, "SIGN_S", 0.2)
    async with (
        ModelStandIn(**FAST, faults=ModelFaults(stall_after_ms=after_ms)) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.until(ev.AgentFailed)
        (failed,) = talk.of(ev.AgentFailed)
        assert failed.reason == "the model said nothing for 0.2 s though a response was due"
        assert failed.recovery is Recovery.RECONNECT


MEANWHILE = [
    {"type": "input_audio_buffer.speech_started", "item_id": "u", "audio_start_ms": 7},
    {"type": "input_audio_buffer.speech_stopped", "item_id": "u", "audio_end_ms": 9},
    {"type": "input_audio_buffer.committed", "item_id": "u"},
    {"type": "conversation.item.added", "item": {"id": "u"}},
    {
        "type": "conversation.item.input_audio_transcription.completed",
        "item_id": "u",
        "transcript": "Hello?",
    },
    {"type": "rate_limits.updated", "rate_limits": []},
    {"type": "error", "error": {"type": "invalid_request_error", "param": "item_id"}},
    {"type": "response.output_item.added", "response_id": "of an earlier reply"},
    {
        "type": "response.output_audio.delta",
        "response_id": "of an earlier reply",
        "item_id": "i",
        "delta": base64.b64encode(FRAME).decode(),
    },
    {"type": "no.such.event"},
]


@pytest.mark.parametrize("begins", [False, True])
async def test_what_else_comes_is_no_sign_of_life_of_a_reply_that_is_due(
    begins: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(realtime, "STALL_S", 0.2)
    monkeypatch.setattr(realtime, "SIGN_S", 0.2)

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json(UPDATED)
        while (await socket.receive_json())["type"] != "response.create":
            pass
        if begins:
            await socket.send_json({"type": "response.created", "response": {"id": "r"}})
        with contextlib.suppress(ConnectionError):
            while not socket.closed:
                for event in MEANWHILE:
                    await socket.send_json(event)
                await asyncio.sleep(0.02)

    async with server(PATH, talk) as url, talking_to(url) as conversation:
        await conversation.until(ev.AgentReady)
        conversation.agent.respond("Greet.")
        await conversation.until(ev.AgentFailed, timeout=1.0)
        (failed,) = conversation.of(ev.AgentFailed)
        assert failed.reason == "the model said nothing for 0.2 s though a response was due"
        assert len(conversation.of(ev.ResponseStarted)) == begins


async def test_a_model_that_is_slow_or_has_nothing_to_say_has_not_stalled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(realtime, "STALL_S", 0.2)
    monkeypatch.setattr(realtime, "SIGN_S", 0.2)
    async with (
        ModelStandIn(pace=6, think_ms=20, greeting="caller_interrupts") as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        loop = asyncio.get_running_loop()
        began = loop.time()
        talk.agent.respond("Greet.")
        await talk.until(ev.ResponseDone)
        assert loop.time() - began > 0.3
        await asyncio.sleep(0.3)
        assert not talk.of(ev.AgentFailed)


async def test_a_thousand_fuzzed_events_raise_nothing() -> None:
    fields = dict.fromkeys(("item_id", "delta", "response_id", "response", "error", "status"), ())
    kinds = ["response.output_audio.delta", "response.created", "response.done", "error"]
    end = {"type": "response.done", "response": {"id": "the end", "status": "completed"}}
    script = [UPDATED, *nonsense(kinds, fields, 5), end]
    async with server(PATH, say(script)) as url, talking_to(url) as talk:
        await until(lambda: any(done.id == "the end" for done in talk.of(ev.ResponseDone)))
        assert not talk.of(ev.AgentFailed)
        assert talk.agent.counters.ignored > 300


async def test_a_cancelled_agent_leaves_within_a_moment_even_if_the_model_stalls() -> None:
    async def stall(socket: web.WebSocketResponse) -> None:
        await socket.send_json(UPDATED)
        await asyncio.sleep(30)

    async with server(PATH, stall) as url:
        loop = asyncio.get_running_loop()
        async with talking_to(url) as talk:
            await talk.until(ev.AgentReady)
            talk.agent.respond("Greet.")
            began = loop.time()
        assert loop.time() - began < 2


def test_it_says_what_it_can_do() -> None:
    assert not RealtimeAgent.takes_turns

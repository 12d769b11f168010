"""The GPT-Live agent against its stand-in, and against a server that is told what to say."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from itertools import cycle
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from openai.types.live import ClientEventParam
from pydantic import TypeAdapter
from structlog.testing import capture_logs

from esl_controller.agents.health import SPREAD_S
from esl_controller.agents.messages import COUNT_LIMIT
from esl_controller.agents.openai.connection import BACKLOG_MS, CONTROL_LIMIT
from esl_controller.agents.openai.endpoint import DIFFERENT, PCM
from esl_controller.agents.openai.gpt_live import (
    ASKED_MS,
    STALL_MS,
    GptLiveAgent,
    GptLiveModel,
)
from esl_controller.agents.openai.utterances import LEAD_MS
from esl_controller.call import agent_events as ev
from esl_controller.call.agent import Called, History, Recovery, Said, Usage
from esl_controller.secretaries.persona import Persona, Tool
from esl_controller.simulator.live import LiveSession, LiveStandIn
from esl_controller.simulator.model import ModelFaults, ScriptedCall
from media import sounds
from media.frame import PCMU, Format, decode, encode, pcm
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

PATH = "live/sessions"
CLIENT_EVENT: TypeAdapter[Any] = TypeAdapter(ClientEventParam)
LOOK_UP = Tool("look_up", "Looks it up.", {"type": "object", "properties": {}})
PERSONA = Persona("gpt-live-1", "cedar", "en", "Be brief.", (LOOK_UP,))
FRAME = bytes(PCM.frame_bytes)
STARTED: dict[str, Any] = {"type": "session.started", "event_id": "e", "session": {"id": "s"}}


class LiveConversation(Conversation):
    """With a line that feeds the agent the caller's audio, which is the model's clock."""

    async def listen(self, *kinds: type[ev.AgentEvent], audio: bytes = b"") -> None:
        """Let the caller say ``audio`` and then nothing, until an event of each kind has come."""
        async with asyncio.timeout(5):
            for at in range(0, len(audio), len(FRAME)):
                self.agent.hear(audio[at : at + len(FRAME)])
                await asyncio.sleep(0)
            while not all(self.of(kind) for kind in kinds):
                self.agent.hear(FRAME)
                await asyncio.sleep(0.001)


def model_for(base_url: str, **settings: str) -> GptLiveModel:
    return GptLiveModel(agent_settings(base_url, KIND="live", **settings))


def talking_to(
    base_url: str,
    *,
    persona: Persona = PERSONA,
    history: History = (),
    g711: bool = False,
    **settings: str,
) -> AbstractAsyncContextManager[LiveConversation]:
    model = model_for(base_url, **settings)
    return talking(model, LiveConversation(model.agent(persona, history, g711=g711)))


def session_of(standin: LiveStandIn) -> LiveSession:
    (session,) = standin.sessions
    return session


def caller() -> bytes:
    said, rate = sounds.load("caller")
    return encode(convert(said, rate, PCM.rate), PCM.encoding)


def test_it_says_what_it_cannot_do() -> None:
    assert GptLiveAgent.takes_turns


async def test_everything_that_we_send_is_of_the_packages_types() -> None:
    script = (ScriptedCall(0, "look_up"),)
    history = (Said("caller", "Hi"), Said("agent", "Hello"), Called("c", "f", "{}", '"x"'))
    async with (
        LiveStandIn(think_ms=0, script=script) as standin,
        talking_to(standin.base_url, history=history) as talk,
    ):
        await talk.until(ev.AgentReady)
        agent = talk.agent
        agent.respond("Greet the caller.")
        await talk.listen(ev.ResponseDone)
        call = talk.of(ev.ResponseDone)[0].calls[0]
        agent.tool_result(Called(call.call_id, call.name, call.arguments, "{}"))
        agent.tool_result(Called("of an earlier connection", "f", "{}", "{}"))
        agent.tell("They pressed 1.")
        agent.respond()
        agent.cancel()
        agent.truncate("x", 1)
        agent.forget("x")
        await talk.listen(ev.AgentAudioDone)
        record = session_of(standin).record
        assert [event["type"] for event in record.client_events] == [
            "session.start",
            "session.commentary.append",
            "response.item.create",
            "response.create",
            "session.commentary.append",
            "session.commentary.append",
        ]
        for event in record.client_events:
            CLIENT_EVENT.validate_python(event, strict=True, extra="forbid")
        assert record.violations == record.refusals == record.early_appends == 0


async def test_the_session_is_what_the_persona_and_the_history_say() -> None:
    history = (
        Said("caller", "A table for two."),
        Said("agent", "For when?"),
        Called("c1", "look_up", '{"a": 1}', '"free"'),
    )
    async with (
        LiveStandIn() as standin,
        talking_to(standin.base_url, history=history, BACKEND_MODEL="thinker") as talk,
    ):
        await talk.until(ev.AgentReady)
        session = sent(standin, "session.start")[0]["session"]
    assert session["model"] == "gpt-live-1"
    assert session["instructions"].startswith("Be brief.\n\n# What you can have done\n")
    assert session["instructions"].endswith("\n- look_up: Looks it up.")
    assert session["audio"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "output": {"voice": "cedar"},
    }
    responses = session["delegation"]["responses"]
    assert responses["model"] == "thinker"
    assert responses["instructions"] == "Be brief."
    assert [tool["name"] for tool in responses["tools"]] == ["look_up"]
    told = [(item["role"], item["content"][0]["text"]) for item in session["input"]]
    assert told == [
        ("user", "A table for two."),
        ("assistant", "For when?"),
        ("developer", 'The function look_up was called with {"a": 1}: "free"'),
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
        LiveStandIn() as standin,
        talking_to(standin.base_url, g711=g711, AUDIO=audio) as talk,
    ):
        await talk.until(ev.AgentReady)
        assert talk.agent.input == talk.agent.output == expected
        assert session_of(standin).record.heard_format == expected


async def test_nothing_is_sent_before_the_session_is_confirmed() -> None:
    confirm = asyncio.Event()
    seen: list[str] = []

    async def talk(socket: web.WebSocketResponse) -> None:
        seen.append((await socket.receive_json())["type"])
        await confirm.wait()
        assert seen == ["session.start"]
        await socket.send_json(STARTED)
        async for message in socket:
            seen.append(json.loads(message.data)["type"])

    async with server(PATH, talk) as url, talking_to(url) as conversation:
        await until(lambda: bool(seen))
        conversation.agent.hear(FRAME)
        conversation.agent.respond("Greet.")
        await asyncio.sleep(0.05)
        assert seen == ["session.start"]
        confirm.set()
        await until(lambda: len(seen) == 3)
        assert seen[1:] == ["session.commentary.append", "session.input_audio.append"]


async def test_audio_arrives_whole_and_in_order() -> None:
    ramp = np.arange(24000, dtype="<i2").tobytes()
    async with LiveStandIn() as standin, talking_to(standin.base_url) as talk:
        for at in range(0, len(ramp), len(FRAME)):
            talk.agent.hear(ramp[at : at + len(FRAME)])
            await asyncio.sleep(0)
        await until(lambda: bool(standin.sessions))
        record = session_of(standin).record
        await until(lambda: record.append_bytes == len(ramp))
        assert record.heard()[0].tobytes() == ramp
        assert talk.agent.counters.dropped_ms == 0


async def test_a_model_that_takes_nothing_loses_the_oldest_audio_and_then_counts_as_failed() -> (
    None
):
    async with server(PATH, say([])) as url, talking_to(url) as talk:
        for _ in range(1000):
            talk.agent.hear(FRAME)
        assert talk.agent.counters.dropped_ms == 20_000 - BACKLOG_MS
        for _ in range(CONTROL_LIMIT + 1):
            talk.agent.respond("Speak.")
        await talk.until(ev.AgentFailed)
        assert "takes nothing any more" in talk.of(ev.AgentFailed)[0].reason


async def test_a_greeting_is_one_response_with_its_audio_and_words() -> None:
    async with LiveStandIn(think_ms=0) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.listen(ev.ResponseDone)
        (commentary,) = sent(standin, "session.commentary.append")
        assert commentary["content"].endswith(" Greet.")
        assert commentary["delegation_id"] is None
        (started,), (done,) = talk.of(ev.ResponseStarted), talk.of(ev.ResponseDone)
        assert (started.id, done.status) == (done.id, "completed")
        heard_s = PCM.ms(session_of(standin).record.append_bytes) / 1000
        assert done.usage.seconds == pytest.approx(heard_s, abs=0.5)
        ((item, audio),) = talk.audio().items()
        assert talk.of(ev.AgentAudioDone) == [ev.AgentAudioDone(item)]
        (spoken,) = session_of(standin).record.spoken.values()
        lead, sound, _ = audio.partition(bytes(spoken.audio).strip(b"\0"))
        assert sound
        assert PCM.ms(len(lead)) <= LEAD_MS + 20
        words = "".join(text.text for text in talk.of(ev.AgentText))
        assert words == sounds.transcript("greeting")
        assert {text.item for text in talk.of(ev.AgentText)} == {item}


async def test_what_was_used_since_the_last_utterance_is_known_too() -> None:
    async with LiveStandIn(think_ms=0) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.listen(ev.ResponseDone)
        for _ in range(100):
            talk.agent.hear(FRAME)
        record = session_of(standin).record
        heard_s = PCM.ms(talk.agent.counters.appends * len(FRAME)) / 1000
        told_s = talk.of(ev.ResponseDone)[0].usage.seconds
        await until(lambda: told_s + talk.agent.unreported.seconds > heard_s - 0.2)
        assert record.append_bytes / PCM.rate / 2 == pytest.approx(
            told_s + talk.agent.unreported.seconds, abs=0.11
        )


async def test_the_models_own_count_is_what_is_paid() -> None:
    used = {"type": "session.usage.updated", "event_id": "e", "usage": {"seconds": 15.0}}
    wrong = {**used, "usage": {"seconds": "many"}}
    end = {"type": "session.closed", "reason": "expired", "usage": {"seconds": 16.5}}
    script = [STARTED, used, wrong, end]
    async with server(PATH, say(script)) as url, talking_to(url) as talk:
        await talk.until(ev.AgentFailed)
        assert talk.agent.unreported == Usage(seconds=16.5)


@pytest.mark.parametrize(
    ("usage", "seconds"),
    [
        ({"seconds": "many"}, 15.0),
        ({"seconds": None}, 15.0),
        ({"seconds": -1e9}, 15.0),
        ({"seconds": [99]}, 15.0),
        ({}, 15.0),
        (7, 15.0),
        (None, 15.0),
        ([], 15.0),
        ({"seconds": 1e300}, COUNT_LIMIT),
        ({"seconds": 2**80}, COUNT_LIMIT),
        ({"seconds": 16}, 16.0),
    ],
)
@pytest.mark.parametrize("kind", ["session.usage.updated", "session.closed"])
async def test_one_bad_count_of_the_session_costs_itself_only(
    kind: str, usage: Any, seconds: float
) -> None:
    used = {"type": "session.usage.updated", "usage": {"seconds": 15.0}}
    bad = {"type": kind, "reason": "expired", "usage": usage}
    end = {"type": "session.output_transcript.delta", "delta": "the end"}
    async with server(PATH, say([STARTED, used, bad, end])) as url, talking_to(url) as talk:
        await talk.until(ev.AgentFailed if kind == "session.closed" else ev.AgentText)
        assert talk.agent.unreported == Usage(seconds=seconds)
        for failed in talk.of(ev.AgentFailed):
            assert failed.reason == "the model ended the session: expired"


async def test_a_model_that_does_not_speak_when_told_to_is_not_waited_for() -> None:
    async with (
        LiveStandIn(think_ms=60_000) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.listen(ev.ResponseDone)
        (started,), (done,) = talk.of(ev.ResponseStarted), talk.of(ev.ResponseDone)
        assert (done.id, done.status) == (started.id, "incomplete")
        assert done.usage.seconds * 1000 == pytest.approx(ASKED_MS, abs=200)
        assert not talk.audio()


async def test_an_answer_ends_the_turn_before_it_and_tells_how_long_ago_that_was() -> None:
    async with LiveStandIn(think_ms=0) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        await talk.listen(ev.AgentAudio, audio=caller())
        (stopped,) = talk.of(ev.SpeechStopped)
        before = [type(event) for event in talk.got[: talk.got.index(stopped) + 3]]
        assert before[-3:] == [ev.SpeechStopped, ev.CallerTranscript, ev.ResponseStarted]
        clock_ms = talk.agent.counters.deltas * 100
        assert stopped.at_ms + stopped.late_ms == pytest.approx(clock_ms, abs=300)


async def test_a_turn_of_the_caller_is_told_with_its_words_and_answered() -> None:
    async with LiveStandIn(think_ms=0) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        await talk.listen(ev.CallerTranscript, ev.ResponseDone, audio=caller())
        (started,), (stopped,) = talk.of(ev.SpeechStarted), talk.of(ev.SpeechStopped)
        (transcript,) = talk.of(ev.CallerTranscript)
        assert started.item == stopped.item == transcript.item
        assert 0 <= started.at_ms < stopped.at_ms
        assert transcript.text.startswith("(bla bla")
        assert transcript.text.endswith(" s)")
        assert transcript.item not in talk.audio()
        assert len(talk.audio()) == 1


async def test_what_the_caller_was_saying_when_the_model_went_away_is_told() -> None:
    async def talk(socket: web.WebSocketResponse) -> None:
        kind = "session.input_transcript.delta"
        await socket.send_json(STARTED)
        await socket.send_json({"type": kind, "delta": "Good", "start_ms": 0, "end_ms": 200})
        await socket.close(code=1011)

    async with server(PATH, talk) as url, talking_to(url) as conversation:
        await conversation.until(ev.AgentFailed)
        assert conversation.of(ev.CallerTranscript)[0].text == "Good"
        assert isinstance(conversation.got[-1], ev.AgentFailed)


async def test_words_after_a_pause_are_another_turn() -> None:
    def heard(words: str, start_ms: int, end_ms: int) -> dict[str, Any]:
        kind = "session.input_transcript.delta"
        return {"type": kind, "delta": words, "start_ms": start_ms, "end_ms": end_ms}

    script = [STARTED, heard("Good", 0, 200), heard(" day.", 300, 500), heard("Hm", 2000, 2100)]
    async with server(PATH, say(script)) as url, talking_to(url) as talk:
        await until(lambda: len(talk.of(ev.SpeechStarted)) == 2)
        first, second = talk.of(ev.SpeechStarted)
        assert (first.at_ms, second.at_ms) == (0, 2000)
        assert talk.of(ev.SpeechStopped) == [ev.SpeechStopped(500, first.item)]
        assert talk.of(ev.CallerTranscript) == [ev.CallerTranscript(first.item, "Good day.")]


async def test_a_model_that_is_interrupted_ends_its_utterance_by_itself() -> None:
    async with LiveStandIn(think_ms=0) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.listen(ev.AgentAudio)
        await talk.listen(ev.AgentAudioDone, audio=caller())
        (spoken,) = list(session_of(standin).record.spoken.values())[:1]
        whole = sounds.load("greeting")
        assert spoken.format.ms(len(spoken.audio)) < len(whole[0]) / whole[1] * 1000


async def test_after_the_last_result_the_model_is_not_asked_to_go_on() -> None:
    script = (ScriptedCall(0, "look_up"), ScriptedCall(0, "end_call"))
    async with (
        LiveStandIn(think_ms=0, script=script) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.listen(ev.ResponseDone)
        for call in talk.of(ev.ResponseDone)[0].calls:
            called = Called(call.call_id, call.name, call.arguments, "{}")
            talk.agent.tool_result(called, last=True)
        talk.agent.tool_result(Called("of an earlier connection", "f", "{}", "{}"), last=True)
        await until(lambda: len(session_of(standin).backend.results) == 2)
        talk.agent.respond("Say goodbye.")
        await talk.listen(ev.AgentAudioDone)
        assert not sent(standin, "response.create")
        assert len(sent(standin, "session.commentary.append")) == 2
        assert len(session_of(standin).record.spoken) == 1


async def test_functions_are_called_and_their_results_spoken_of() -> None:
    script = (ScriptedCall(0, "look_up", '{"a": 1}'), ScriptedCall(0, "look_up", '{"a": 2}'))
    async with (
        LiveStandIn(think_ms=0, script=script) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.listen(ev.ResponseDone)
        (done,) = talk.of(ev.ResponseDone)
        assert talk.of(ev.ResponseStarted) == [ev.ResponseStarted(done.id)]
        assert [call.arguments for call in done.calls] == ['{"a": 1}', '{"a": 2}']
        assert done.usage == Usage(input_text=40, cached=8, output_text=10)
        for call in done.calls:
            assert not sent(standin, "response.create")
            talk.agent.tool_result(Called(call.call_id, call.name, call.arguments, "[7]"))
        await talk.listen(ev.AgentAudioDone)
        assert len(sent(standin, "response.create")) == 1
        assert list(session_of(standin).backend.results.values()) == ["[7]", "[7]"]
        assert talk.of(ev.ResponseDone)[-1].usage.output_text == 10
        assert session_of(standin).record.refusals == 0


@pytest.mark.parametrize(
    ("faults", "reason", "recovery"),
    [
        (
            ModelFaults(refuse_key="http"),
            "HTTP 401; the key was refused: check",
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
        LiveStandIn(faults=faults) as standin,
        talking_to(standin.base_url, CONNECT_TIMEOUT_S="0.5") as talk,
    ):
        await talk.until(ev.AgentFailed)
        (failed,) = talk.of(ev.AgentFailed)
        assert reason in failed.reason
        assert failed.recovery is recovery
        assert "sk-test" not in failed.reason
        assert not talk.of(ev.AgentReady)


@pytest.mark.parametrize("how", ["clean", "abrupt"])
async def test_a_model_that_closes_in_mid_word_is_reported_once(how: Any) -> None:
    faults = ModelFaults(close_after_ms=1500, close_how=how)
    async with (
        LiveStandIn(think_ms=0, faults=faults) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.listen(ev.AgentFailed)
        assert talk.of(ev.AgentAudio)
        assert not talk.of(ev.AgentAudioDone)
        (failed,) = talk.of(ev.AgentFailed)
        assert failed.reason.startswith("the model closed the connection")
        assert failed.recovery is Recovery.RECONNECT


async def test_a_model_that_stalls_is_given_up() -> None:
    faults = ModelFaults(stall_after_ms=1000)
    async with (
        LiveStandIn(think_ms=0, faults=faults) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.listen(ev.AgentFailed)
        (failed,) = talk.of(ev.AgentFailed)
        assert failed.reason == f"the model stalled: no audio came for {STALL_MS} ms"


async def test_what_else_comes_is_no_sign_of_life_of_a_voice_that_stands_still() -> None:
    other = cycle(
        [
            {"type": "session.usage.updated", "usage": {"seconds": 1.0}},
            {"type": "session.input_transcript.delta", "delta": "x", "start_ms": 0, "end_ms": 1},
            {"type": "error", "error": {"type": "x", "message": "y"}},
        ]
    )

    async def listen(socket: web.WebSocketResponse) -> None:
        await socket.send_json(STARTED)
        async for _ in socket:
            await socket.send_json(next(other))

    async with server(PATH, listen) as url, talking_to(url) as talk:
        await talk.until(ev.AgentReady)
        await talk.listen(ev.AgentFailed)
        (failed,) = talk.of(ev.AgentFailed)
        assert failed.reason == f"the model stalled: no audio came for {STALL_MS} ms"


async def test_a_caller_who_is_not_fed_does_not_make_it_a_stall() -> None:
    async with LiveStandIn() as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        for _ in range(3):
            deltas = talk.agent.counters.deltas
            for _ in range(STALL_MS // 20 - 10):
                talk.agent.hear(FRAME)
            await until(lambda before=deltas: talk.agent.counters.deltas > before + 20)  # type: ignore[misc]
        assert not talk.of(ev.AgentFailed)


async def test_the_time_to_connect_does_not_limit_the_session() -> None:
    async with (
        LiveStandIn() as standin,
        talking_to(standin.base_url, CONNECT_TIMEOUT_S="0.5") as talk,
    ):
        await talk.until(ev.AgentReady)
        await asyncio.sleep(0.6)
        assert not talk.of(ev.AgentFailed)


async def test_a_session_that_ends_is_reported() -> None:
    faults = ModelFaults(expire_s=0.1)
    async with LiveStandIn(faults=faults) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady, ev.AgentFailed)
        (failed,) = talk.of(ev.AgentFailed)
        assert failed == ev.AgentFailed("the model ended the session: expired")


async def test_an_error_in_a_session_is_counted_and_the_session_goes_on() -> None:
    error = {"type": "error", "error": {"code": "c", "message": "m", "type": "t"}}
    delta = base64.b64encode(FRAME).decode()
    audio = {"type": "session.output_audio.delta", "delta": delta}
    async with server(PATH, say([STARTED, error, audio])) as url, talking_to(url) as talk:
        await until(lambda: talk.agent.counters.deltas == 1)
        assert talk.agent.counters.errors == 1
        assert not talk.of(ev.AgentFailed)


async def test_what_no_client_expects_is_survived() -> None:
    faults = ModelFaults(sprinkle_every=3)
    async with (
        LiveStandIn(think_ms=0, faults=faults) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        talk.agent.respond("Greet.")
        await talk.listen(ev.ResponseDone)
        assert talk.agent.counters.ignored > 3


async def test_a_thousand_fuzzed_events_raise_nothing() -> None:
    kinds = [
        "session.output_audio.delta",
        "session.output_transcript.delta",
        "session.input_transcript.delta",
        "response.event",
        "session.delegation.created",
        "session.usage.updated",
        "error",
        "no.such.event",
    ]
    inner = ["response.created", "response.output_item.done", "response.completed"]
    inner += ["response.failed", "response.incomplete"]
    call = {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"}
    parts: dict[str, Sequence[Any]] = {
        "item": [call, {**call, "name": 7}],
        "response": [{"id": "r"}, {"id": "r", "usage": {"input_tokens": "x"}, "error": "no"}],
    }
    nested = [event for event in nonsense(inner, parts, 3) if isinstance(event, dict)]
    plain = ("delta", "start_ms", "end_ms", "delegation_id", "error", "type")
    fields: dict[str, Sequence[Any]] = {**dict.fromkeys(plain, ()), "event": nested}
    end = {"type": "session.output_transcript.delta", "delta": "the end"}
    script = [STARTED, *nonsense(kinds, fields, 11), end]
    async with server(PATH, say(script)) as url, talking_to(url) as talk:
        await until(lambda: any(text.text == "the end" for text in talk.of(ev.AgentText)))
        assert not talk.of(ev.AgentFailed)
        assert talk.agent.counters.ignored > 300


async def test_a_cancelled_agent_leaves_within_a_moment_even_if_the_model_stalls() -> None:
    async def stall(socket: web.WebSocketResponse) -> None:
        await socket.send_json(STARTED)
        await asyncio.sleep(30)

    async with server(PATH, stall) as url:
        loop = asyncio.get_running_loop()
        async with talking_to(url) as talk:
            await talk.until(ev.AgentReady)
            began = loop.time()
        assert loop.time() - began < 2


# --- what it refuses, and other audio -------------------------------------------------------------


def error(code: str, kind: str = "invalid_request_error", **more: Any) -> dict[str, Any]:
    return {"type": "error", "error": {"type": kind, "code": code, "message": "No.", **more}}


async def answering(event: dict[str, Any], *, named: bool) -> ev.AgentEvent:
    """What becomes of a request to speak that is answered with ``event``."""

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json(STARTED)
        async for message in socket:
            told = json.loads(message.data)
            if told["type"] == "session.commentary.append":
                if named:
                    event["error"]["client_event_id"] = told["event_id"]
                await socket.send_json(event)

    async with server(PATH, talk) as url, talking_to(url) as conversation:
        await conversation.until(ev.AgentReady)
        conversation.agent.respond("Greet.")
        await until(lambda: len(conversation.got) > 1)
        return conversation.got[1]


@pytest.mark.parametrize("named", [True, False])
async def test_a_request_to_speak_that_is_refused_is_reported_at_once(named: bool) -> None:
    refused = await answering(error("overloaded", "server_error"), named=named)
    assert refused == ev.ReplyRefused("overloaded: No.")


async def test_calls_that_are_told_when_to_ask_again_do_not_all_do_it_in_one_instant() -> None:
    limit = error("rate_limit_exceeded", "rate_limit_error")
    limit["error"]["message"] = "Please try again in 1.5 s."
    waits = []
    for _ in range(8):
        refused = await answering(limit, named=False)
        assert isinstance(refused, ev.ReplyRefused)
        waits.append(refused.after_s)
    assert min(waits) >= 1.5
    assert max(waits) <= 1.5 + SPREAD_S
    assert len(set(waits)) == len(waits)


async def test_a_quota_that_is_used_up_ends_the_session() -> None:
    failed = await answering(error("insufficient_quota", "insufficient_quota"), named=False)
    assert isinstance(failed, ev.AgentFailed)
    assert failed.recovery is Recovery.NEXT_MODEL


async def speaking(started: dict[str, Any], *pieces: bytes) -> bytes:
    """What is heard of a model that sends these pieces."""
    kind = "session.output_audio.delta"
    deltas = [{"type": kind, "delta": base64.b64encode(piece).decode()} for piece in pieces]
    async with server(PATH, say([started, *deltas])) as url, talking_to(url) as talk:
        await until(lambda: talk.agent.counters.deltas == len(pieces))
        return b"".join(talk.audio().values())


async def test_a_sample_in_two_pieces_is_whole_again() -> None:
    loud = encode(np.tile(np.array([8000, -8000], np.int16), 2400), "pcm")
    pieces = [loud[at : at + 961] for at in range(0, len(loud), 961)]
    assert await speaking(STARTED, *pieces) == loud


async def test_a_model_at_another_rate_is_heard_and_hears() -> None:
    form = {"type": "audio/pcm", "rate": 16000}
    started = {**STARTED, "session": {"id": "s", "audio": {"format": form}}}
    loud = np.repeat(np.tile(np.array([8000, -8000], np.int16), 800), 4)
    heard = decode(await speaking(started, encode(loud, "pcm")), "pcm")
    assert 1.5 * loud.size - 100 < heard.size <= 1.5 * loud.size
    taken: list[bytes] = []

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json(started)
        async for message in socket:
            told = json.loads(message.data)
            if told["type"] == "session.input_audio.append":
                taken.append(base64.b64decode(told["audio"]))

    with capture_logs() as logs:
        async with server(PATH, talk) as url, talking_to(url) as conversation:
            await conversation.until(ev.AgentReady)
            for _ in range(50):
                conversation.agent.hear(FRAME)
            await until(lambda: pcm(16000).ms(len(b"".join(taken))) > 990)
            assert pcm(16000).ms(len(b"".join(taken))) <= 1000
    assert [line["hears"] for line in logs if line["event"] == DIFFERENT] == ["pcm/16000"]


async def test_a_rate_that_we_cannot_convert_ends_the_session() -> None:
    form = {"type": "audio/pcm", "rate": 16001}
    started = {**STARTED, "session": {"id": "s", "audio": {"format": form}}}
    async with server(PATH, say([started])) as url, talking_to(url) as talk:
        await talk.until(ev.AgentFailed)
        (failed,) = talk.of(ev.AgentFailed)
        assert failed.recovery is Recovery.NEXT_MODEL
        assert "audio/pcm at 16001 Hz" in failed.reason


async def test_audio_in_another_format_than_asked_for_is_converted() -> None:
    session = {"id": "s", "audio": {"format": {"type": "audio/pcmu", "rate": 8000}}}
    loud = np.repeat(np.tile(np.array([8000, -8000], np.int16), 400), 4)
    heard = decode(await speaking({**STARTED, "session": session}, encode(loud, "pcmu")), "pcm")
    assert 3 * loud.size - 100 < heard.size <= 3 * loud.size
    assert 6000 < np.abs(heard.astype(int)).mean() < 9000

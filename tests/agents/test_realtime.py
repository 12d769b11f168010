"""The Realtime agent against a server that is told what to say."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import random
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import numpy as np
import pytest
from aiohttp import WSMsgType, web
from openai.types.realtime import RealtimeClientEventParam
from pydantic import TypeAdapter

from esl_controller import events as ev
from esl_controller.agents.realtime import BACKLOG_MS, PCM, RealtimeAgent, RealtimeModel
from esl_controller.settings_file import load
from esl_controller.simulator.model import ModelFaults, ModelStandIn
from media.frame import PCMU, Format
from tests.rig import until

T = TypeVar("T")
CLIENT_EVENT: TypeAdapter[Any] = TypeAdapter(RealtimeClientEventParam)


class Conversation:
    """An agent that runs, and what it reported."""

    def __init__(self, agent: RealtimeAgent) -> None:
        self.agent = agent
        self.got: list[ev.AgentEvent] = []

    def of(self, kind: type[T]) -> list[T]:
        return [event for event in self.got if isinstance(event, kind)]

    async def until(self, *kinds: type[ev.AgentEvent], timeout: float = 5.0) -> None:
        """Wait until an event of each kind has come."""
        await until(lambda: all(self.of(kind) for kind in kinds), timeout)


def model_for(base_url: str, **settings: str) -> RealtimeModel:
    environment = {f"ESL_CONTROLLER_AGENT_{name}": value for name, value in settings.items()}
    loaded = load(None, {"OPENAI_API_KEY": "sk-test", **environment})
    return RealtimeModel(loaded.settings.agent, base_url)


@contextlib.asynccontextmanager
async def talking_to(
    base_url: str, *, g711: bool = False, **settings: str
) -> AsyncIterator[Conversation]:
    """A running agent; it is cancelled at the end if it has not ended by itself."""
    model = model_for(base_url, **settings)
    conversation = Conversation(model.agent(g711=g711))
    running = asyncio.create_task(conversation.agent.run(conversation.got.append))
    try:
        yield conversation
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await model.close()


@contextlib.asynccontextmanager
async def server(
    talk: Callable[[web.WebSocketResponse], Any],
) -> AsyncIterator[str]:
    """A WebSocket server that does ``talk``; yields its base URL."""

    async def connect(request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await talk(socket)
        return socket

    application = web.Application()
    application.router.add_get("/v1/realtime", connect)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
    finally:
        await runner.cleanup()


async def test_everything_that_we_send_is_of_the_packages_types() -> None:
    async with ModelStandIn(think_ms=0, pace=0) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        talk.agent.greet()
        await talk.until(ev.AgentAudio)
        talk.agent.truncate(talk.of(ev.AgentAudio)[0].item, 100)
        talk.agent.hear(bytes(960))
        (session,) = standin.sessions
        await until(
            lambda: session.record.append_count > 0 and len(session.record.client_events) > 2
        )
        assert [event["type"] for event in session.record.client_events] == [
            "session.update",
            "response.create",
            "conversation.item.truncate",
        ]
        for event in session.record.client_events:
            CLIENT_EVENT.validate_python(event, strict=True, extra="forbid")
        assert session.record.violations == session.record.refusals == 0


async def test_the_session_is_what_the_settings_say() -> None:
    async with (
        ModelStandIn() as standin,
        talking_to(
            standin.base_url, VOICE="cedar", LANGUAGE="pt-BR", INSTRUCTIONS="Seja breve."
        ) as talk,
    ):
        await talk.until(ev.AgentReady)
        session = standin.sessions[0].record.client_events[0]["session"]
    assert session["type"] == "realtime"
    assert session["instructions"] == "Seja breve."
    assert session["audio"]["output"] == {
        "format": {"type": "audio/pcm", "rate": 24000},
        "voice": "cedar",
    }
    hearing = session["audio"]["input"]
    assert hearing["format"] == {"type": "audio/pcm", "rate": 24000}
    assert hearing["transcription"]["language"] == "pt"
    assert hearing["turn_detection"]["type"] == "server_vad"
    assert hearing["turn_detection"]["interrupt_response"] is True


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
        sent = standin.sessions[0].record.client_events[0]["session"]["audio"]
        assert sent["input"]["format"]["type"] == sent["output"]["format"]["type"] == kind


async def test_nothing_is_sent_before_the_session_is_confirmed() -> None:
    confirm = asyncio.Event()
    seen: list[str] = []

    async def talk(socket: web.WebSocketResponse) -> None:
        await socket.send_json({"type": "session.created", "event_id": "e", "session": {}})
        seen.append((await socket.receive_json())["type"])
        await confirm.wait()
        assert seen == ["session.update"]
        await socket.send_json({"type": "session.updated", "event_id": "e", "session": {}})
        async for message in socket:
            seen.append(json.loads(message.data)["type"])

    async with server(talk) as url, talking_to(url) as conversation:
        conversation.agent.hear(bytes(960))
        conversation.agent.greet()
        await until(lambda: bool(seen))
        await asyncio.sleep(0.05)
        assert seen == ["session.update"]
        confirm.set()
        await until(lambda: len(seen) == 3)
        assert sorted(seen[1:]) == ["input_audio_buffer.append", "response.create"]


async def test_audio_arrives_whole_and_in_order() -> None:
    ramp = np.arange(24000, dtype="<i2").tobytes()
    async with ModelStandIn() as standin, talking_to(standin.base_url) as talk:
        for at in range(0, len(ramp), 960):
            talk.agent.hear(ramp[at : at + 960])
            await asyncio.sleep(0)
        record = (await _session(standin)).record
        await until(lambda: record.append_bytes == len(ramp))
        heard, rate = record.heard()
        assert rate == 24000
        assert heard.tobytes() == ramp
        assert talk.agent.counters.dropped_ms == 0


async def _session(standin: ModelStandIn) -> Any:
    await until(lambda: bool(standin.sessions))
    return standin.sessions[0]


async def test_a_model_that_takes_nothing_loses_the_oldest_audio() -> None:
    agent = model_for("http://127.0.0.1:9/v1").agent(g711=False)
    for _ in range(1000):
        agent.hear(bytes(960))
    assert agent.counters.dropped_ms == 20_000 - BACKLOG_MS


async def test_a_whole_turn_is_reported() -> None:
    async with ModelStandIn(think_ms=0, pace=0) as standin, talking_to(standin.base_url) as talk:
        await talk.until(ev.AgentReady)
        talk.agent.greet()
        await talk.until(ev.ResponseDone, ev.Transcript, ev.AgentAudioDone)
        started, done = talk.of(ev.ResponseStarted)[0], talk.of(ev.ResponseDone)[0]
        assert started.id == done.id
        assert done.status == "completed"
        (item,) = {audio.item for audio in talk.of(ev.AgentAudio)}
        assert talk.of(ev.AgentAudioDone) == [ev.AgentAudioDone(item)]
        sent = standin.sessions[0].record.spoken[item]
        assert b"".join(audio.data for audio in talk.of(ev.AgentAudio)) == bytes(sent.audio)


@pytest.mark.parametrize(
    ("faults", "reason"),
    [
        (ModelFaults(refuse_key="http"), "HTTP 401; the key was refused: check OPENAI_API_KEY"),
        (ModelFaults(refuse_key="close"), "invalid_api_key"),
        (ModelFaults(too_many=True), "HTTP 429; too many requests"),
        (ModelFaults(refuse_update=True), "the model refused the session"),
        (ModelFaults(connect_delay_ms=3000), "not ready within 0.5 s"),
    ],
)
async def test_a_model_that_cannot_be_had_says_why(faults: ModelFaults, reason: str) -> None:
    async with (
        ModelStandIn(faults=faults) as standin,
        talking_to(standin.base_url, CONNECT_TIMEOUT_S="0.5") as talk,
    ):
        await talk.until(ev.AgentFailed)
        assert reason in talk.of(ev.AgentFailed)[0].reason
        assert not talk.of(ev.AgentReady)
        assert len(talk.of(ev.AgentFailed)) == 1


@pytest.mark.parametrize("how", ["clean", "abrupt"])
async def test_a_model_that_closes_in_mid_word_is_reported_once(how: Any) -> None:
    faults = ModelFaults(close_after_ms=500, close_how=how)
    async with (
        ModelStandIn(think_ms=0, pace=0, faults=faults) as standin,
        talking_to(standin.base_url) as talk,
    ):
        await talk.until(ev.AgentReady)
        talk.agent.greet()
        await talk.until(ev.AgentFailed)
        assert talk.of(ev.AgentAudio)
        assert "the model closed the connection" in talk.of(ev.AgentFailed)[0].reason


async def test_a_cancelled_response_ends_its_audio() -> None:
    deltas = base64.b64encode(bytes(4800)).decode()
    script: list[dict[str, Any]] = [
        {"type": "session.updated"},
        {"type": "response.created", "response": {"id": "r1"}},
        {
            "type": "response.output_audio.delta",
            "response_id": "r1",
            "item_id": "i1",
            "delta": deltas,
        },
        {"type": "response.done", "response": {"id": "r1", "status": "cancelled"}},
    ]
    async with server(_say(script)) as url, talking_to(url) as talk:
        await talk.until(ev.ResponseDone)
        assert talk.of(ev.AgentAudioDone) == [ev.AgentAudioDone("i1")]


def _say(script: list[Any]) -> Callable[[web.WebSocketResponse], Any]:
    async def talk(socket: web.WebSocketResponse) -> None:
        for event in script:
            if isinstance(event, bytes):
                await socket.send_bytes(event)
            else:
                await socket.send_str(event if isinstance(event, str) else json.dumps(event))
        async for message in socket:
            assert message.type is WSMsgType.TEXT

    return talk


async def test_a_thousand_fuzzed_events_raise_nothing() -> None:
    random.seed(11)
    types = [
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.created",
        "response.done",
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "conversation.item.input_audio_transcription.completed",
        "response.output_audio_transcript.done",
        "error",
        "no.such.event",
    ]
    values: list[Any] = [None, 0, -1, 1e99, "", "x", "\n", [], {}, [{}], True, {"id": 7}, "é" * 99]
    fields = ["response", "item_id", "delta", "response_id", "transcript", "audio_start_ms"]
    fields += ["error", "status", "type"]

    def event() -> Any:
        kind = random.randrange(10)
        if kind == 0:
            return random.choice(
                ["", "{", "[]", "null", '"x"', "\ud7ff", "[" * 5000, "{}", "1e999"]
            )
        if kind == 1:
            return random.randbytes(random.randrange(100))
        made: dict[str, Any] = {"type": random.choice(types)}
        for name in random.sample(fields, random.randrange(len(fields))):
            made[name] = random.choice(values)
        return made

    end = {"type": "response.done", "response": {"id": "the end", "status": "completed"}}
    script = [{"type": "session.updated"}, *(event() for _ in range(1000)), end]
    async with server(_say(script)) as url, talking_to(url) as talk:
        await until(lambda: any(done.id == "the end" for done in talk.of(ev.ResponseDone)))
        assert not talk.of(ev.AgentFailed)
        assert talk.agent.counters.ignored > 300


async def test_a_cancelled_agent_leaves_within_a_moment_even_if_the_model_stalls() -> None:
    async def stall(socket: web.WebSocketResponse) -> None:
        await socket.send_json({"type": "session.updated"})
        await asyncio.sleep(30)

    async with server(stall) as url:
        loop = asyncio.get_running_loop()
        async with talking_to(url) as talk:
            await talk.until(ev.AgentReady)
            began = loop.time()
        assert loop.time() - began < 2

"""The GPT-Live stand-in, as the SDK sees it. The client checks every event against its type."""

from __future__ import annotations

import asyncio
import typing
from typing import Any

import pytest
from openai.types.live import ClientEventParam
from websockets.exceptions import ConnectionClosed, InvalidStatus

from esl_controller.simulator.live import LiveStandIn
from esl_controller.simulator.live.protocol import CLIENT_EVENTS
from esl_controller.simulator.model import ModelFaults, ScriptedCall
from media.frame import PCMU
from tests.simulator.live.client import (
    PCM,
    SILENCE,
    START,
    Client,
    caller,
    connected,
    started,
)
from tests.simulator.model_base.client import KEY
from tests.waiting import until

APPEND = CLIENT_EVENTS.append


def test_it_knows_every_event_of_the_package() -> None:
    hints = [typing.get_type_hints(param)["type"] for param in typing.get_args(ClientEventParam)]
    assert {typing.get_args(hint)[0] for hint in hints} == set(CLIENT_EVENTS.names)


async def test_a_session_shows_what_it_was_started_with() -> None:
    history = [{"role": "user", "content": [{"type": "input_text", "text": "Hello"}]}]
    asked = {
        **START,
        "instructions": "Be brief.",
        "input": history,
        "audio": {"format": {"type": "audio/pcmu", "rate": 8000}, "output": {"voice": "cedar"}},
    }
    async with LiveStandIn(key=KEY) as standin, connected(standin) as client:
        await client.send("session.start", session=asked, event_id="mine")
        event = await client.next()
        assert event["type"] == "session.started"
        assert event["client_event_id"] == "mine"
        assert {key: event["session"][key] for key in asked} == asked
        assert standin.sessions[0].record.heard_format == PCMU


async def test_it_speaks_as_much_as_it_hears_and_silence_between() -> None:
    async with LiveStandIn() as standin, started(standin) as client:
        await client.append(SILENCE * 20)
        await client.heard(len(SILENCE) * 20)
        assert not any(client.levels())


async def test_commentary_makes_it_speak() -> None:
    async with LiveStandIn(think_ms=200) as standin, started(standin) as client:
        await client.append(SILENCE * 3)
        await client.send("session.commentary.append", content="Greet.", delegation_id=None)
        appended = await client.until("session.commentary.appended")
        assert appended["start_ms"] == appended["end_ms"] == 300
        await client.append(SILENCE * 60)
        words = await client.until("session.output_transcript.delta")
        assert words["delta"] == "Hello,"
        await client.heard(len(SILENCE) * 63)
        (spoken,) = standin.sessions[0].record.spoken.values()
        assert bytes(spoken.audio) in bytes(client.audio)
        assert not any(client.levels()[:4])


async def test_it_repeats_what_it_heard_and_tells_the_words() -> None:
    async with LiveStandIn(think_ms=200) as standin, started(standin) as client:
        await client.append(caller() + SILENCE * 80)
        words, end_ms = "", 0
        while not words.endswith(")"):
            event = await client.until("session.input_transcript.delta")
            assert end_ms <= event["start_ms"] <= event["end_ms"] <= event["start_ms"] + 500
            end_ms = event["end_ms"]
            words += event["delta"]
        assert words.startswith("(bla bla")
        said = ""
        while said != words:
            said += (await client.until("session.output_transcript.delta"))["delta"]
        assert standin.sessions[0].record.turns == 1


async def test_it_falls_silent_when_the_caller_speaks() -> None:
    async with LiveStandIn(think_ms=0) as standin, started(standin) as client:
        await client.send("session.commentary.append", content="Greet.", delegation_id=None)
        await client.append(SILENCE * 5)
        await client.append(caller()[: len(SILENCE) * 10])
        await client.until("session.input_transcript.delta")
        await client.heard(len(SILENCE) * 15)
        levels = client.levels()
        assert any(levels[:8])
        assert not any(levels[-3:])


async def test_what_is_muted_is_not_heard() -> None:
    fmt = {"type": "audio/pcmu", "rate": 8000}
    async with LiveStandIn() as standin, started(standin, audio={"format": fmt}) as client:
        await client.send("session.input_audio.mute", event_id="mute")
        assert (await client.next())["client_event_id"] == "mute"
        await client.append(bytes(range(256)) * 100)
        await client.send("session.input_audio.unmute")
        assert (await client.next())["type"] == "session.input_audio.unmuted"
        assert standin.sessions[0].record.turns == 0


async def _to_the_calls(client: Client) -> list[dict[str, Any]]:
    """Read to the end of a delegation's first response; gives its calls."""
    await client.send("session.commentary.append", content="Greet.", delegation_id=None)
    await client.append(SILENCE * 5)
    delegation = (await client.until("session.delegation.created"))["delegation"]
    assert delegation["target"] == "responses"
    calls = []
    while True:
        event = await client.until("response.event")
        assert event["delegation_id"] == delegation["id"]
        inner = event["event"]
        if inner["type"] == "response.output_item.done":
            calls.append(inner["item"])
        if inner["type"] == "response.completed":
            assert inner["response"]["id"] == delegation["response_id"]
            return calls


async def test_scripted_calls_are_delegated_and_their_results_spoken_of() -> None:
    script = (ScriptedCall(0, "look_up", '{"a": 1}'), ScriptedCall(0, "look_up", '{"a": 2}'))
    async with LiveStandIn(think_ms=100, script=script) as standin, started(standin) as client:
        first, second = await _to_the_calls(client)
        assert (first["name"], first["arguments"]) == ("look_up", '{"a": 1}')
        for call in (first, second):
            await client.send("response.create")
            error = (await client.next())["error"]
            assert error["code"] == "tool_outputs_missing"
            result = {"type": "function_call_output", "call_id": call["call_id"], "output": "{}"}
            await client.send("response.item.create", item=result)
        await client.send("response.create")
        assert (await client.next())["event"]["type"] == "response.created"
        assert (await client.next())["event"]["type"] == "response.completed"
        assert list(standin.sessions[0].backend.results) == [first["call_id"], second["call_id"]]
        await client.append(SILENCE * 5)
        await client.until("session.output_transcript.delta")


async def test_usage_is_told_now_and_then_and_at_the_end() -> None:
    async with LiveStandIn() as standin, started(standin) as client:
        await client.append(SILENCE * 60)
        assert (await client.until("session.usage.updated"))["usage"] == {"seconds": 5.0}
        await client.send("session.close")
        closed = await client.until("session.closed")
        assert closed["reason"] == "close_requested"
        assert closed["usage"] == {"seconds": 6.0}
        with pytest.raises(ConnectionClosed):
            await client.next()


ERRORS = [
    ("session.start", {"session": {}}, "missing_required_parameter", "session.model"),
    ("session.start", {"session": {**START, "voice": "x"}}, "unknown_parameter", "session.voice"),
    (
        "session.start",
        {"session": {**START, "audio": {"format": {"type": "audio/pcm", "rate": 16_001}}}},
        "invalid_value",
        "session.audio.format.rate",
    ),
    ("session.start", {"session": {"model": "m"}}, "not_supported", "session.delegation"),
    ("session.commentary.append", {"content": "x"}, "missing_required_parameter", "delegation_id"),
    (APPEND, {"audio": "A==="}, "invalid_value", "audio"),
    (APPEND, {"audio": "AAAA"}, "invalid_value", "audio"),
    (APPEND, {"audio": "AAA="}, "session_not_started", "type"),
    ("session.close", {}, "session_not_started", "type"),
    ("input_audio_buffer.append", {"audio": ""}, "invalid_value", "type"),
]


@pytest.mark.parametrize(("kind", "fields", "code", "param"), ERRORS)
async def test_a_mistake_is_answered_with_its_code_and_place(
    kind: str, fields: dict[str, Any], code: str, param: str
) -> None:
    async with LiveStandIn() as standin, connected(standin) as client:
        await client.send(kind, **fields, event_id="mine")
        event = await client.next()
        assert event["type"] == "error"
        error = event["error"]
        assert (error["code"], error["param"], error["client_event_id"]) == (code, param, "mine")
        await client.send("session.start", session=START)
        assert (await client.next())["type"] == "session.started"


@pytest.mark.parametrize("items", [129, 1])
async def test_history_is_limited(items: int) -> None:
    parts = [{"type": "input_text", "text": "x"}] * (2 if items == 1 else 1)
    history = [{"role": "user", "content": parts}] * items
    async with LiveStandIn() as standin, connected(standin) as client:
        await client.send("session.start", session={**START, "input": history})
        assert (await client.next())["error"]["param"] == "session.input"


async def test_what_it_cannot_do_it_says() -> None:
    async with LiveStandIn() as standin, started(standin) as client:
        for kind, fields in (
            ("session.update", {"session": {}}),
            ("decision.create", {"event_id": "x"}),
            ("session.start", {"session": START}),
        ):
            await client.send(kind, **fields)
            assert (await client.next())["type"] == "error"
        assert standin.sessions[0].record.violations == 0
        assert standin.sessions[0].record.refusals == 3


@pytest.mark.parametrize(
    ("faults", "key", "status"),
    [
        (ModelFaults(refuse_key="http"), None, 401),
        (ModelFaults(), "another key", 401),
        (ModelFaults(too_many=True), None, 429),
    ],
)
async def test_connections_are_refused(faults: ModelFaults, key: str | None, status: int) -> None:
    async with LiveStandIn(faults=faults, key=key) as standin:
        with pytest.raises(InvalidStatus) as caught:
            async with connected(standin):
                pass
        assert caught.value.response.status_code == status
        assert standin.refused == 1


@pytest.mark.parametrize(("how", "code"), [("clean", 1011), ("abrupt", 1006)])
async def test_it_closes_in_mid_word(how: Any, code: int) -> None:
    faults = ModelFaults(close_after_ms=500, close_how=how)
    async with LiveStandIn(think_ms=0, faults=faults) as standin, started(standin) as client:
        await client.send("session.commentary.append", content="Greet.", delegation_id=None)
        await client.append(SILENCE * 5)
        with pytest.raises(ConnectionClosed) as caught:
            await client.until("session.closed")
        assert (caught.value.rcvd.code if caught.value.rcvd else 1006) == code


async def test_it_stalls() -> None:
    faults = ModelFaults(stall_after_ms=300)
    async with LiveStandIn(think_ms=0, faults=faults) as standin, started(standin) as client:
        await client.send("session.commentary.append", content="Greet.", delegation_id=None)
        await client.append(SILENCE * 20)
        await until(lambda: standin.sessions[0].record.append_count == 20)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.until("session.closed")
        assert PCM.ms(len(client.audio)) < 1000


async def test_it_speaks_of_its_own_while_it_calls() -> None:
    script = (ScriptedCall(0, "look_up"),)
    live = LiveStandIn(think_ms=0, script=script, acknowledge=True, greeting="caller_interrupts")
    async with live as standin, started(standin) as client:
        (call,) = await _to_the_calls(client)
        await client.append(SILENCE * 30)
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "{}"}
        await client.send("response.item.create", item=result)
        await client.send("response.create")
        await client.append(SILENCE * 30)
        record = standin.sessions[0].record
        await until(lambda: len(record.spoken) == 2)
        assert record.refusals == 0


async def test_it_expires() -> None:
    faults = ModelFaults(expire_s=0.1)
    async with LiveStandIn(faults=faults) as standin, started(standin) as client:
        assert (await client.until("session.closed"))["reason"] == "expired"

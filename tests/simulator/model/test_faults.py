"""The model stand-in when it is told to misbehave."""

from __future__ import annotations

import asyncio
import json

import aiohttp
import pytest
from openai import AsyncOpenAI
from websockets.exceptions import ConnectionClosed, ConnectionClosedError, InvalidStatus

from esl_controller.simulator.model import ModelFaults, ModelStandIn
from tests.simulator.model.client import MODEL, check_server_event, connected
from tests.simulator.model_base.client import KEY


@pytest.mark.parametrize(
    ("faults", "key", "status", "code"),
    [
        (ModelFaults(), "sk-wrong", 401, "invalid_api_key"),
        (ModelFaults(refuse_key="http"), KEY, 401, "invalid_api_key"),
        (ModelFaults(too_many=True), KEY, 429, "rate_limit_exceeded"),
    ],
)
async def test_refused_in_the_handshake(
    faults: ModelFaults, key: str, status: int, code: str
) -> None:
    async with ModelStandIn(key=KEY, faults=faults) as stand_in:
        with pytest.raises(InvalidStatus) as refused:
            async with connected(stand_in, key=key):
                pass
        assert refused.value.response.status_code == status
        error = json.loads(refused.value.response.body)["error"]
        assert error["code"] == code
        assert key not in str(error)
        assert stand_in.refused == 1
        assert stand_in.sessions == []


async def test_a_model_must_be_named() -> None:
    async with (
        ModelStandIn() as stand_in,
        aiohttp.ClientSession() as http,
        http.get(f"{stand_in.base_url}/realtime") as answer,
    ):
        assert answer.status == 400
        assert (await answer.json())["error"]["code"] == "missing_model"


async def test_key_refused_after_the_handshake() -> None:
    async with (
        ModelStandIn(faults=ModelFaults(refuse_key="close")) as stand_in,
        AsyncOpenAI(api_key=KEY, base_url=stand_in.base_url) as openai,
        openai.realtime.connect(model=MODEL) as connection,
    ):
        event = json.loads(await connection.recv_bytes())
        check_server_event(event)
        assert event["error"]["code"] == "invalid_api_key"
        with pytest.raises(ConnectionClosedError, match=r"invalid_request_error\.invalid_api_key"):
            await connection.recv_bytes()


async def test_slow_connect() -> None:
    async with ModelStandIn(faults=ModelFaults(connect_delay_ms=80)) as stand_in:
        began = asyncio.get_running_loop().time()
        async with connected(stand_in):
            assert asyncio.get_running_loop().time() - began >= 0.08


async def test_refused_update() -> None:
    faults = ModelFaults(refuse_update=True)
    async with ModelStandIn(faults=faults) as stand_in, connected(stand_in) as client:
        await client.connection.session.update(session={"type": "realtime"}, event_id="e1")
        error = (await client.until("error"))["error"]
        assert (error["param"], error["event_id"]) == ("session", "e1")


@pytest.mark.parametrize(("how", "code"), [("clean", 1011), ("abrupt", 1006)])
async def test_closed_in_the_middle_of_a_word(how: str, code: int) -> None:
    faults = ModelFaults(close_after_ms=500, close_how=how)  # type: ignore[arg-type]
    async with (
        ModelStandIn(pace=0, think_ms=0, faults=faults) as stand_in,
        connected(stand_in) as client,
    ):
        await client.connection.response.create()
        with pytest.raises(ConnectionClosed) as closed:
            await client.until("response.done")
        assert (closed.value.rcvd.code if closed.value.rcvd else 1006) == code
        (audio,) = client.audio.values()
        assert len(audio) == 500 * 48
        await client.session.closed.wait()


@pytest.mark.parametrize("after_ms", [0, 300])
async def test_stalled(after_ms: int) -> None:
    faults = ModelFaults(stall_after_ms=after_ms)
    async with (
        ModelStandIn(pace=0, think_ms=0, faults=faults) as stand_in,
        connected(stand_in) as client,
    ):
        await client.connection.response.create()
        await client.until("response.created")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await client.until("response.done")
        assert sum(map(len, client.audio.values())) == after_ms * 48


async def test_responses_that_fail() -> None:
    async with (
        ModelStandIn(pace=0, think_ms=0, faults=ModelFaults(fail_responses=1)) as stand_in,
        connected(stand_in) as client,
    ):
        for status, output in (("failed", 0), ("completed", 1)):
            await client.connection.response.create()
            response = (await client.until("response.done"))["response"]
            assert (response["status"], len(response["output"])) == (status, output)
            if status == "failed":
                assert response["status_details"]["error"]["code"] == "overloaded"
            await client.until("rate_limits.updated")


async def test_sprinkled_messages_do_not_disturb_a_client_that_skips_them() -> None:
    faults = ModelFaults(sprinkle_every=2)
    async with (
        ModelStandIn(pace=0, think_ms=0, faults=faults) as stand_in,
        connected(stand_in) as client,
    ):
        await client.connection.response.create()
        kinds, odd = [], 0
        while "response.done" not in kinds:
            try:
                event = json.loads(await client.connection.recv_bytes())
                check_server_event(event)
                kinds.append(event["type"])
            except (ValueError, TypeError):
                odd += 1
        assert odd == pytest.approx(len(kinds) / 2, abs=2)
        assert kinds.count("response.output_audio.delta") == 48


async def test_expired() -> None:
    faults = ModelFaults(expire_s=0.1)
    async with ModelStandIn(faults=faults) as stand_in, connected(stand_in) as client:
        error = (await client.until("error"))["error"]
        assert error["code"] == "session_expired"
        with pytest.raises(ConnectionClosed, match="session_expired"):
            await client.next()


async def test_faults_may_change_between_sessions() -> None:
    async with ModelStandIn(faults=ModelFaults(too_many=True)) as stand_in:
        with pytest.raises(InvalidStatus):
            async with connected(stand_in):
                pass
        stand_in.faults = ModelFaults()
        async with connected(stand_in) as client:
            await client.update()

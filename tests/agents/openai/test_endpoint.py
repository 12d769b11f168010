"""The endpoint's options, loading the client, and what we use of ``openai`` that is not public."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import sys
import threading
from typing import Any, Literal

import pytest
from websockets.asyncio.client import ClientConnection

from esl_controller.agents.base import Counters
from esl_controller.agents.openai import endpoint as endpoint_module
from esl_controller.agents.openai.connection import Connection
from esl_controller.agents.openai.endpoint import IMPORTED_LATE, PCM, OpenAIEndpoint, confirmed
from esl_controller.agents.openai.wire import ModelConnection
from esl_controller.config.model_settings import AgentSettings
from media.frame import PCMA, PCMU, Format, pcm
from tests.agents.openai.rig import say, server

NOBODY = "http://127.0.0.1:9/v1"


@pytest.mark.parametrize(
    ("base_url", "proxied", "encrypted"),
    [
        ("", True, True),
        ("https://models.example.net/v1", True, True),
        ("http://models.example.net/v1", True, False),
        ("http://127.0.0.1:9/v1", False, False),
        ("http://[::1]:9/v1", False, False),
    ],
)
async def test_options_follow_the_endpoint(base_url: str, proxied: bool, encrypted: bool) -> None:
    endpoint = OpenAIEndpoint(AgentSettings(base_url=base_url), "realtime")
    options: dict[str, Any] = dict(endpoint.options(ModelConnection))
    assert ("proxy" not in options) is proxied
    assert ("ssl" in options) is encrypted
    assert options["create_connection"] is ModelConnection
    assert endpoint.service == (base_url or "OpenAI")
    await endpoint.close()


@pytest.mark.parametrize(
    ("wanted", "g711", "audio"),
    [
        ("auto", True, PCMU),
        ("auto", False, PCM),
        ("pcmu", False, PCMU),
        ("pcm", True, PCM),
    ],
)
async def test_the_audio_is_the_callers_unless_told_otherwise(
    wanted: Literal["auto", "pcm", "pcmu"], g711: bool, audio: Format
) -> None:
    endpoint = OpenAIEndpoint(AgentSettings(base_url=NOBODY, audio=wanted), "realtime")
    assert endpoint.audio(g711=g711) == audio
    await endpoint.close()


@pytest.mark.parametrize(
    ("form", "taken"),
    [
        (None, PCMU),
        ("audio/pcm", PCMU),
        ({}, PCMU),
        ({"type": "audio/pcm"}, PCM),
        ({"type": "audio/pcm", "rate": None}, PCM),
        ({"type": "audio/pcm", "rate": 24000}, PCM),
        ({"type": "audio/pcm", "rate": 16000}, pcm(16000)),
        ({"type": "audio/pcm", "rate": 16000.0}, pcm(16000)),
        ({"type": "audio/pcm", "rate": 48000}, pcm(48000)),
        ({"type": "audio/pcm", "rate": 8000}, pcm(8000)),
        ({"type": "audio/pcma"}, PCMA),
        ({"type": "audio/pcmu", "rate": 8000}, PCMU),
    ],
)
def test_the_format_is_the_one_that_was_confirmed_or_asked_for(form: Any, taken: Format) -> None:
    found = confirmed(form, PCMU)
    assert found == taken
    assert isinstance(found.rate, int)


@pytest.mark.parametrize(
    "rate", [0, -24000, 1, 16001, 22050, 44100, 96000, 2**63, 1e300, True, "24000", [24000], {}]
)
def test_a_rate_that_we_cannot_convert_is_no_format(rate: Any) -> None:
    with pytest.raises(ValueError, match=r"^audio that we do not have: audio/pcm at .* Hz$"):
        confirmed({"type": "audio/pcm", "rate": rate}, PCM)


async def test_whoever_waits_for_the_client_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = threading.Event()

    def make_client(*args: str) -> Any:
        loaded.wait(5)
        return real(*args)

    real = endpoint_module._make_client
    monkeypatch.setattr(endpoint_module, "_make_client", make_client)
    settings = AgentSettings(connect_timeout_s=0.5, base_url=NOBODY)
    endpoint = OpenAIEndpoint(settings, "realtime")
    connection = Connection(endpoint, PCM, "audio.append", Counters())
    failed = await connection.run(
        lambda client, options: client.realtime.connect(
            model="m", websocket_connection_options=options
        ),
        {"type": "hello"},
        lambda message: None,
    )
    assert failed.reason == "the model was not ready within 0.5 s"
    loaded.set()
    await endpoint.loaded()  # it is, though somebody has given up
    await endpoint.close()


@pytest.mark.parametrize(
    ("reason", "remedy"),
    [
        ("the model refused the connection: HTTP 401; the key was refused", "OPENAI_API_KEY"),
        ("the model refused the connection: HTTP 429; too many requests", "limits of the key"),
        ("no connection to the model: refused", "[agent] base_url"),
        ("the model was not ready within 10 s", "[agent] base_url"),
        ("the model refused the session: no such model", "[agent] model"),
    ],
)
async def test_each_failure_has_a_remedy(reason: str, remedy: str) -> None:
    endpoint = OpenAIEndpoint(AgentSettings(base_url=NOBODY), "realtime")
    assert remedy in endpoint.remedy(reason)
    await endpoint.close()


# --- what is not public ---------------------------------------------------------------------------


@pytest.mark.parametrize("api", ["realtime", "live"])
async def test_the_package_connects_with_our_options(api: Literal["realtime", "live"]) -> None:
    """``create_connection`` and ``proxy`` are unknown to the package, which must hand them on."""
    made: list[ModelConnection] = []

    def make_wire(*args: Any, **kwargs: Any) -> ModelConnection:
        made.append(ModelConnection(*args, **kwargs))
        return made[-1]

    path = {"realtime": "realtime", "live": "live/sessions"}[api]
    async with server(path, say([])) as url:
        endpoint = OpenAIEndpoint(AgentSettings(base_url=url), api)
        client = await endpoint.client()
        options = endpoint.options(make_wire)
        connect: Any = {
            "realtime": lambda: client.realtime.connect(
                model="m", websocket_connection_options=options
            ),
            "live": lambda: client.live.connect(websocket_connection_options=options),
        }[api]
        async with connect():
            (wire,) = made
            assert isinstance(wire, ClientConnection)
            assert wire.protocol.max_size == endpoint_module.MAX_MESSAGE
            assert not wire.protocol.extensions
        await endpoint.close()


@pytest.mark.parametrize("name", IMPORTED_LATE)
def test_what_is_imported_ahead_exists(name: str) -> None:
    """Else the first call would wait for it."""
    assert importlib.import_module(name)


def test_the_package_connects_through_what_is_imported_ahead() -> None:
    from openai.resources.live.live import AsyncLiveConnectionManager
    from openai.resources.realtime.realtime import AsyncRealtimeConnectionManager

    for manager in (AsyncLiveConnectionManager, AsyncRealtimeConnectionManager):
        assert "lib._websocket import" in inspect.getsource(manager)


async def test_nothing_is_imported_by_a_first_connection() -> None:
    code = """
import asyncio, sys
from esl_controller.agents.openai.endpoint import OpenAIEndpoint
from esl_controller.agents.openai.wire import ModelConnection
from esl_controller.config.model_settings import AgentSettings

async def main():
    endpoint = OpenAIEndpoint(AgentSettings(base_url=sys.argv[1]), "realtime")
    client = await endpoint.client()
    before = set(sys.modules)
    async with client.realtime.connect(
        model="m", websocket_connection_options=endpoint.options(ModelConnection)
    ):
        pass
    print(*(set(sys.modules) - before))

asyncio.run(main())
"""
    async with server("realtime", say([])) as url:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-W", "ignore", "-c", code, url), stdout=asyncio.subprocess.PIPE
        )
        out, _ = await process.communicate()
    assert process.returncode == 0
    assert out.decode().split() == []

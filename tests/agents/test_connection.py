"""The endpoint's options, and what a connection does before it is one.

All else of it is tested through the agents.
"""

from __future__ import annotations

from typing import Any

import pytest

from esl_controller.agents.base import Counters
from esl_controller.agents.connection import BACKLOG_MS, Connection, Endpoint
from esl_controller.agents.wire import ModelConnection
from esl_controller.settings import AgentSettings
from media.frame import pcm

PCM = pcm(24000)


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
    endpoint = Endpoint(AgentSettings(), base_url)
    options: dict[str, Any] = dict(endpoint.options(ModelConnection))
    assert ("proxy" not in options) is proxied
    assert ("ssl" in options) is encrypted
    assert options["create_connection"] is ModelConnection
    await endpoint.close()


async def test_audio_that_waits_is_bounded() -> None:
    counters = Counters()
    endpoint = Endpoint(AgentSettings(), "http://127.0.0.1:9/v1")
    connection = Connection(endpoint, PCM, "audio.append", counters)
    for _ in range(BACKLOG_MS // 20 + 7):
        connection.hear(bytes(PCM.frame_bytes))
    assert counters.dropped_ms == 7 * 20
    await endpoint.close()


async def test_nobody_there_is_one_line() -> None:
    endpoint = Endpoint(AgentSettings(), "http://127.0.0.1:9/v1")
    connection = Connection(endpoint, PCM, "audio.append", Counters())
    failed = await connection.run(
        lambda options: endpoint.client.live.connect(websocket_connection_options=options),
        {"type": "session.start"},
        lambda message: None,
    )
    assert failed.reason.startswith("no connection to the model: ")
    assert "\n" not in failed.reason
    assert not failed.permanent
    await endpoint.close()

"""``calls`` and ``drain`` on the controller's own machine, and those who may not use its socket."""

from __future__ import annotations

import asyncio
import os
import socket
from http.client import HTTPConnection

import pytest
from aiohttp import ClientSession
from structlog.testing import capture_logs

from esl_controller.server.web import local_socket
from esl_controller.server.web.client import Refused, ask
from tests.calls.rig import Rig, rig

DRAIN = "/drain?limit_s=0"


async def drained(of: Rig) -> object:
    """Ask for it as ``esl-controller drain`` does."""
    url = f"{of.controller.web_url}{DRAIN}"
    return await asyncio.to_thread(ask, of.controller.settings, url, "POST")


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the processes at the two ends of each local connection those of two users."""
    monkeypatch.setattr(os, "geteuid", lambda: 4711)
    monkeypatch.setattr(local_socket, "_user", lambda there: 4712)


async def test_a_drain_on_this_machine_needs_no_token() -> None:
    async with rig() as of:
        assert await drained(of) == {"calls": 0}
        assert not of.controller.shutdown.drain(1.0), "one was accepted before"


async def test_calls_and_a_drain_need_none_here_wherever_it_listens() -> None:
    """As on a machine whose own address is that of [web]."""
    async with rig(settings={"WEB_HOST": "0.0.0.0"}) as of, ClientSession() as http:
        async with http.get(f"{of.controller.web_url}/calls") as answer:
            assert answer.status == 403
        web = of.controller.settings.web.model_copy(update={"host": "192.0.2.7"})
        settings = of.controller.settings.model_copy(update={"web": web})
        url = web.base_url(of.controller.web_port)
        assert (await asyncio.to_thread(ask, settings, f"{url}/calls"))["calls"] == []
        assert await asyncio.to_thread(ask, settings, f"{url}{DRAIN}", "POST") == {"calls": 0}


async def test_what_a_webhook_or_a_page_can_send_drains_nothing() -> None:
    async with rig() as of, ClientSession() as http:
        async with http.post(f"{of.controller.web_url}{DRAIN}", json={}) as answer:
            assert answer.status == 403
        assert of.controller.calls.ready


@pytest.mark.usefixtures("strangers")
async def test_another_user_is_refused() -> None:
    def asks(port: int) -> tuple[int, bytes]:
        there = HTTPConnection("localhost")
        there.sock = socket.socket(socket.AF_UNIX)
        there.sock.connect(f"\0esl-controller/{port}")
        there.request("POST", DRAIN)
        answer = there.getresponse()
        told = answer.status, answer.read()
        there.close()
        return told

    async with rig() as of:
        told = await asyncio.to_thread(asks, of.controller.web_port)
        assert told == (403, b"only for root and the controller's own user\n")
        assert of.controller.calls.ready


@pytest.mark.usefixtures("strangers")
async def test_a_socket_of_another_user_is_not_asked() -> None:
    async with rig() as of:
        with pytest.raises(Refused, match="403 over TCP only with"):
            await drained(of)


async def test_a_name_that_is_taken_keeps_no_controller_from_its_calls() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with socket.socket(socket.AF_UNIX) as taken, capture_logs() as log:
        taken.bind(f"\0esl-controller/{port}")
        async with rig(settings={"WEB_PORT": str(port)}) as of:
            assert of.controller.calls.ready
            with pytest.raises(Refused, match="403 over TCP only with"):
                await drained(of)
    assert [line["event"] for line in log if line["log_level"] == "warning"] == [
        "no local socket: esl-controller drain needs [web] token"
    ]

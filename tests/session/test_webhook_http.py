"""Which addresses webhooks may reach."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import ClientConnectorError

from esl_controller.call.tool_budget import CALLS
from esl_controller.session import webhook_http
from esl_controller.session.webhook_http import (
    CONNECTIONS,
    TO_A_SERVER,
    PrivateAddress,
    _may_reach,
    webhook_session,
)
from tests.waiting import until


@pytest.mark.parametrize(
    "address",
    [
        *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1"),
        *("0.0.0.0", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1"),
        *("::ffff:10.0.0.1", "64:ff9b::10.0.0.1", "2002:0a00:0001::1", "ff02::1"),
    ],
)
def test_what_is_not_public_needs_a_yes(address: str) -> None:
    assert not _may_reach(address, ())


@pytest.mark.parametrize("address", ["93.184.216.34", "2606:4700::1111", "64:ff9b::5db8:d822"])
def test_what_is_public_needs_none(address: str) -> None:
    assert _may_reach(address, ())


def test_a_yes_is_for_its_network_only() -> None:
    allow = [ip_network("10.1.0.0/16"), ip_network("fd00::/8")]
    for address in ("10.1.2.3", "::ffff:10.1.2.3", "fd00::1"):
        assert _may_reach(address, allow)
    for address in ("10.2.0.1", "127.0.0.1", "::1"):
        assert not _may_reach(address, allow)


async def test_a_name_is_resolved_once_and_that_address_is_checked(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A name that means a public address when it is looked at and ours when it is dialled."""
    asked: list[str] = []

    async def resolve(host: str, port: int, **_: Any) -> list[Any]:
        asked.append(host)
        public = len(asked) > 1
        address = "93.184.216.34" if public else "10.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve, raising=False)
    async with webhook_session(()) as http:
        with pytest.raises(ClientConnectorError) as caught:
            await http.post("http://clinic.example/")
    assert isinstance(caught.value.os_error, PrivateAddress)
    assert asked == ["clinic.example"]


async def test_a_server_that_does_not_answer_leaves_the_others_theirs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert 5 * CALLS < TO_A_SERVER < CONNECTIONS, "a share for each call, and for each server"
    monkeypatch.setattr(webhook_http, "CONNECTIONS", 5)
    monkeypatch.setattr(webhook_http, "TO_A_SERVER", 3)
    held: list[asyncio.StreamWriter] = []

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.append(writer)
        await reader.read()

    async def answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        writer.close()

    async with (
        await asyncio.start_server(silent, "127.0.0.1", 0) as one,
        await asyncio.start_server(answers, "127.0.0.1", 0) as other,
        webhook_session([ip_network("127.0.0.0/8")]) as http,
    ):
        urls = [f"http://127.0.0.1:{each.sockets[0].getsockname()[1]}/" for each in (one, other)]
        waiting = [asyncio.create_task(http.post(urls[0])) for _ in range(20)]
        try:
            await until(lambda: len(held) == 3)
            async with asyncio.timeout(2), http.post(urls[1]) as answer:
                assert answer.status == 200
            assert len(held) == 3
        finally:
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            for writer in held:
                writer.close()

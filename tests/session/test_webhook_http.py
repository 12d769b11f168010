"""Which addresses webhooks may reach."""

from __future__ import annotations

import asyncio
import socket
from ipaddress import ip_network
from typing import Any

import pytest
from aiohttp import ClientConnectorError

from esl_controller.session.webhook_http import PrivateAddress, _may_reach, webhook_session


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

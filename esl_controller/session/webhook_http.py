"""How the operator's servers are asked: signed, and only where the settings allow it.

A tenant writes the URLs. Without the settings' yes, none leads into the controller's own network:
each connection is made to the very address that was checked, so that a name which means another
address a moment later (DNS rebinding) changes nothing.
"""

from __future__ import annotations

import hmac
import socket
import time
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, Final

from aiohttp import ClientSession, DummyCookieJar, TCPConnector

from esl_controller.config.setting_types import Network

CONNECTIONS: Final = 400
TO_A_SERVER: Final = 100
_NAT64: Final = ip_network("64:ff9b::/96")


class PrivateAddress(OSError):
    """A webhook's URL leads to an address that the settings do not allow."""


def webhook_session(allow: Collection[Network]) -> ClientSession:
    """The client for all webhooks. ``allow``: networks that are not public and may be reached.

    Its requests raise PrivateAddress, perhaps within a ClientConnectorError. It keeps no cookies,
    which would go from one tenant to another, and unpacks nothing: a small answer may become large.
    A server that does not answer keeps the connections to itself only; a call has at most as many
    as it may call functions in a turn (``call/tool_budget.py``).
    """

    def checked(info: tuple[Any, ...]) -> socket.socket:
        family, kind, protocol, _, address = info
        if not _may_reach(str(address[0]), allow):
            raise PrivateAddress(
                f"{address[0]} is no public address; to allow it, write its network into [webhook]"
                " allow"
            )
        return socket.socket(family, kind, protocol)

    return ClientSession(
        connector=TCPConnector(
            socket_factory=checked, limit=CONNECTIONS, limit_per_host=TO_A_SERVER
        ),
        cookie_jar=DummyCookieJar(),
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
    )


def refused_address(error: Exception) -> str:
    """The text of the PrivateAddress that this error of a request means, or ""."""
    cause = getattr(error, "os_error", error)
    return str(cause) if isinstance(cause, PrivateAddress) else ""


def _may_reach(text: str, allow: Collection[Network]) -> bool:
    address = ip_address(text.partition("%")[0])
    meant = {address, *_embedded(address)}
    if all(each.is_global and not each.is_multicast for each in meant):
        return True
    return any(each in network for each in meant for network in allow)


def _embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that a packet to an IPv6 address may end at."""
    if isinstance(address, IPv4Address):
        return []
    nat64 = IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else None
    teredo = address.teredo[1] if address.teredo else None
    found = (address.ipv4_mapped, address.sixtofour, teredo, nat64)
    return [each for each in found if each is not None]


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The X-Esl-Controller-Signature of ``body``, sent at ``timestamp`` (Unix seconds)."""
    return (
        "sha256=" + hmac.digest(secret.encode(), timestamp.encode() + b"." + body, "sha256").hex()
    )


def headers(event: str, identity: str, secret: str, body: bytes) -> dict[str, str]:
    """The headers of a webhook that is sent now; signed unless ``secret`` is empty."""
    timestamp = str(int(time.time()))
    given = {
        "Content-Type": "application/json",
        "X-Esl-Controller-Event": event,
        "X-Esl-Controller-Id": identity,
        "X-Esl-Controller-Timestamp": timestamp,
    }
    if secret:
        given["X-Esl-Controller-Signature"] = signature(secret, timestamp, body)
    return given

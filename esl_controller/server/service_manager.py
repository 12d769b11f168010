"""What systemd is told of this process: sd_notify(3), without its library.

``NOTIFY_SOCKET`` has the address of a datagram socket, with ``@`` in the place of the zero byte of
an abstract one. A service of ``Type=notify`` gets it.
"""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Mapping


class ServiceManager:
    """``environment``: that of the process. Without ``NOTIFY_SOCKET`` nobody is told."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        address = environment.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address

    def ready(self, status: str = "") -> None:
        """Calls can come. ``status``: a line for people."""
        self._tell(f"READY=1\nSTATUS={status}" if status else "READY=1")

    def status(self, status: str) -> None:
        """What the process does, for people."""
        self._tell(f"STATUS={status}")

    def stopping(self) -> None:
        """The process is about to end."""
        self._tell("STOPPING=1")

    def alive(self) -> None:
        """Keep its watchdog (``WatchdogSec``) from ending us."""
        self._tell("WATCHDOG=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        # If nobody takes it, the watchdog will end us; there is nobody else to tell.
        with (
            contextlib.suppress(OSError),
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as there,
        ):
            there.setblocking(False)
            there.sendto(state.encode(), self._address)

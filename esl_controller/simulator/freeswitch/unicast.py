"""``unicast``: the caller's frames out by UDP, the controller's frames in.

It opens, closes and fails as in switch_ivr.c (``switch_ivr_activate_unicast``,
``switch_ivr_park``): the reply is always ``+OK``, even if the port cannot be bound, and a park has
no second lane after its first one (docs/design/freeswitch.md#the-lane-opens-once-per-park).
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable

_MAX_DATAGRAM = 8192


class UnicastSocket:
    """One bound UDP port of a channel. It plays what anybody sends to it: nothing is checked."""

    def __init__(
        self, local: tuple[str, int], remote: tuple[str, int], play: Callable[[bytes], None]
    ) -> None:
        """Bind ``local``; datagrams that come in are given to ``play`` at once.

        Raises OSError when the port cannot be bound.
        """
        self._loop = asyncio.get_running_loop()
        self._remote = remote
        self._play = play
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(local)
        except OSError:
            self._socket.close()
            raise
        self._open = True
        self._started = False

    @property
    def open(self) -> bool:
        """Whether frames flow."""
        return self._open and self._started

    def start(self) -> None:
        """Play what arrives from now on."""
        self._started = True
        self._loop.add_reader(self._socket.fileno(), self._receive)

    def send(self, frame: bytes) -> None:
        """Send the caller's frame; it is lost if the network refuses it now."""
        with contextlib.suppress(OSError):
            self._socket.sendto(frame, self._remote)

    def close(self) -> None:
        """Unbind."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    def _receive(self) -> None:
        try:
            frame = self._socket.recv(_MAX_DATAGRAM)
        except OSError:
            return
        if frame:
            self._play(frame)
        else:
            # An empty datagram ends FreeSWITCH's reading thread; the port stays bound.
            self._loop.remove_reader(self._socket.fileno())


class Unicast:
    """The lanes of one park: the one that carries audio, and those that are dead."""

    def __init__(self, play: Callable[[bytes], None], bind_failures: int = 0) -> None:
        self._play = play
        self._failures = bind_failures
        self._carrying: UnicastSocket | None = None
        self._pending: list[UnicastSocket] = []
        self._used = False

    @property
    def carrying(self) -> UnicastSocket | None:
        """The lane that carries frames, if any."""
        return self._carrying

    def activate(self, local: tuple[str, int], remote: tuple[str, int]) -> None:
        """Open a lane, or silently fail, as FreeSWITCH does."""
        if self._failures:
            self._failures -= 1 if self._failures > 0 else 0
            return
        try:
            lane = UnicastSocket(local, remote, self._play)
        except (OSError, OverflowError):
            return
        if self._used:
            if self._carrying is None:
                lane.close()
            else:
                self._pending.append(lane)
            return
        self._used = True
        self._carrying = lane
        lane.start()

    def reset(self) -> None:
        """Something reset the session: the lane is gone, and this park gets no other."""
        for lane in (self._carrying, *self._pending):
            if lane is not None:
                lane.close()
        self._carrying = None
        self._pending.clear()

    def new_park(self) -> None:
        """A park begins: it may open its one lane."""
        self.reset()
        self._used = False

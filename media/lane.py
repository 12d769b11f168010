"""The UDP lane to one channel, and the process's one clock: caller out.

FreeSWITCH plays each datagram at once as one frame and paces nothing
(docs/design/freeswitch.md#the-lane), so this clock is the clock of every call: absolute deadlines
20 ms apart, a frame for every lane at each, silence where there is nothing to say.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable

from media.frame import FRAME_MS, RATE_OF_FRAME
from media.playout import Playout

_TICK = FRAME_MS / 1000
_LATE = 0.005  # a tick that comes later than this is counted
_CATCH_UP = 5  # ticks made up for at once after a stall; what is beyond is skipped


class Ports:
    """UDP ports for FreeSWITCH's ends of the lanes, from ``first`` to ``last``, at random.

    At random because a port that is guessed could be spoken to by somebody else, and because the
    ports of another controller on the same switch are not known here.
    """

    def __init__(self, first: int, last: int) -> None:
        self._range = range(first, last + 1)
        self.taken: set[int] = set()

    def take(self) -> int:
        """A port that no lane of this process has. Raises OSError where all are taken."""
        if len(self.taken) == len(self._range):
            raise OSError(f"all {len(self._range)} lane ports are taken")
        while (port := random.choice(self._range)) in self.taken:
            pass
        self.taken.add(port)
        return port

    def give_back(self, port: int) -> None:
        """The lane is closed."""
        self.taken.discard(port)


class Clock:
    """Calls every lane's ``tick`` 50 times a second for as long as there is a lane.

    After a stall of up to 100 ms the missed frames are sent at once, so that the receiver's jitter
    buffer gets the stream complete; after a longer one the schedule starts anew, and no audio is
    lost by it: it is only later. ``ticks``, ``late`` and ``skipped`` count since the start.
    """

    def __init__(self) -> None:
        self.ticks = self.late = self.skipped = 0
        self.worst_late_ms = 0.0
        self.lanes: dict[Lane, None] = {}
        self._timer: asyncio.Handle | None = None
        self._deadline = 0.0

    def add(self, lane: Lane) -> None:
        """Start to call ``lane.tick``; the first call comes within 20 ms."""
        self.lanes[lane] = None
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.time()
            self._timer = loop.call_soon(self._run)

    def remove(self, lane: Lane) -> None:
        """Stop calling ``lane.tick``. Unknown lanes are ignored."""
        self.lanes.pop(lane, None)
        if not self.lanes and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _run(self) -> None:
        loop = asyncio.get_running_loop()
        behind = loop.time() - self._deadline
        due = 1 + int(behind / _TICK)
        if behind > _LATE:
            self.late += 1
            self.worst_late_ms = max(self.worst_late_ms, behind * 1000)
        if due > _CATCH_UP:
            self.skipped += due - 1
            self._deadline += (due - 1) * _TICK
            due = 1
        self._deadline += due * _TICK
        self._timer = loop.call_at(self._deadline, self._run)
        self.ticks += due
        for lane in tuple(self.lanes):
            for _ in range(due):
                lane.tick()


class Lane:
    """One call's way to the caller: a UDP socket connected to the port that FreeSWITCH binds.

    Create it, send ``unicast`` with ``switch`` and ``local``, then wait for ``opened``: the first
    datagram is the only proof that FreeSWITCH has bound the port (its reply is ``+OK`` anyway), and
    its size tells the channel's rate in Hz, the future's result. ``start`` then puts the lane on
    the clock.

    ``on_event`` is called after a tick in which an item of the playout started or finished, and
    ``on_lost`` once if FreeSWITCH has closed the port (ICMP tells us, on the same machine at least;
    see docs/design/freeswitch.md#what-closes-it).
    """

    def __init__(
        self,
        clock: Clock,
        *,
        host: str,
        switch: tuple[str, int],
    ) -> None:
        self.switch = switch
        self.on_event: Callable[[], None] = lambda: None
        self.on_lost: Callable[[OSError], None] = lambda error: None
        self.frames = 0
        self.unsent = 0  # frames that the kernel would not take: its buffer was full
        self.playout: Playout | None = None
        self._clock = clock
        self._on_frame: Callable[[bytes], None] | None = None
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[int] = self._loop.create_future()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind((host, 0))
            # Connected: nobody else's datagrams reach us, and a closed port is reported.
            self._socket.connect(switch)
            self._loop.add_reader(self._socket, self._readable)
        except OSError:
            self._socket.close()
            raise
        self._send = self._socket.send  # looked up once, not fifty times a second
        self._closed = False

    @property
    def local(self) -> tuple[str, int]:
        """Our address: what ``unicast`` calls remote-ip and remote-port."""
        host, port = self._socket.getsockname()
        return str(host), int(port)

    def start(self, playout: Playout, hear: Callable[[bytes], None] | None = None) -> None:
        """Send the playout's frames from now on.

        ``hear`` gets the caller's frames (linear, at the channel's rate). Without it they are not
        even read: mod_audio_stream brings the same audio, and an unread socket costs nothing.
        """
        self.playout = playout
        self.listen(hear)
        self._clock.add(self)

    def listen(self, hear: Callable[[bytes], None] | None) -> None:
        """Change who gets the caller's frames, from the next one on."""
        if self._closed:
            return
        if self._on_frame is None:
            self._discard()
        self._on_frame = hear
        self._loop.remove_reader(self._socket)
        if hear is not None:
            self._loop.add_reader(self._socket, self._readable)

    def tick(self) -> None:
        """Send one frame."""
        playout = self.playout
        if playout is None or self._closed:
            return
        try:
            self._send(playout.pop())
            self.frames += 1
        except BlockingIOError:
            self.unsent += 1
        except OSError as error:
            self._lose(error)
            return
        if playout.events:
            self.on_event()

    def close(self) -> None:
        """Leave the clock and free the port. May be called again."""
        self._clock.remove(self)
        self.opened.cancel()
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _lose(self, error: OSError) -> None:
        self.close()
        self.on_lost(error)

    def _discard(self) -> None:
        """Drop what came while nobody listened: seconds of it, all old."""
        try:
            while self._socket.recv(8192):
                pass
        except OSError:
            return

    def _readable(self) -> None:
        try:
            frame = self._socket.recv(8192)
        except BlockingIOError:
            return
        except OSError as error:
            # The kernel tells of a closed port once: here, or to ``tick``, whoever comes first.
            if self.playout is not None:
                self._lose(error)
            return
        if not self.opened.done():
            rate = RATE_OF_FRAME.get(len(frame))
            if rate is None:
                return  # another packet time, or not a frame: the attempt will time out
            self.opened.set_result(rate)
        if self._on_frame is not None:
            self._on_frame(frame)

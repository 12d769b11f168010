"""The UDP lane to a channel, and the one clock of all lanes: what the caller hears.

FreeSWITCH's `unicast` does not pace: a datagram that arrives is played at once, as one frame
(docs/design/freeswitch.md#the-lane). A frame that we send early is heard early, and one that we do
not send is a gap. So the sender is the clock, and the sender is us:

- In each packet time of its channel (20 ms, on some trunks 10 to 60) each lane sends a frame,
  silence where there is nothing to say: after a time without frames the caller's phone loses the
  first 20 to 40 ms of what follows.
- Deadlines are absolute. A tick that comes late does not move the next one, so delays do not add
  up and the audio does not drift.
- One timer serves all lanes of a packet time (docs/design/audio.md#the-clock).
- Speech stops within one frame, because nothing of it waits beyond this point.
"""

from __future__ import annotations

import asyncio
import random
import socket
from collections.abc import Callable

from media.frame import FRAME_MS, PACKET_MS, RATE_OF_FRAME, pcm
from media.playout import Playout

_LATE = 0.005  # a tick that comes later than this is counted
_CATCH_UP = 5  # ticks sent at once after a stall; after a longer one the schedule starts anew


class Ports:
    """The UDP ports that FreeSWITCH may bind for lanes, ``first`` to ``last``, taken at random.

    Random, because FreeSWITCH plays whatever arrives at the port, so nobody should be able to guess
    it; and because other controllers on the same switch take ports that we do not know of.
    """

    def __init__(self, first: int, last: int) -> None:
        self._range = range(first, last + 1)
        self.taken: set[int] = set()

    def take(self) -> int:
        """A port that no lane of this process uses. Raises OSError if all are taken."""
        if len(self.taken) == len(self._range):
            raise OSError(f"all {len(self._range)} lane ports are taken")
        while (port := random.choice(self._range)) in self.taken:
            pass
        self.taken.add(port)
        return port

    def give_back(self, port: int) -> None:
        """Release ``port``, whose lane is closed."""
        self.taken.discard(port)


class Clock:
    """Calls every lane's ``tick`` once in each packet time of its channel.

    All lanes of one packet time share a timer. After a stall of up to ``_CATCH_UP`` ticks the
    missed frames are sent at once, so that the receiver's jitter buffer gets all of them. After a
    longer stall the schedule starts anew: the audio is then heard later, and none of it is lost.
    ``ticks``, ``late`` and ``skipped`` count since the start.
    """

    def __init__(self) -> None:
        self.ticks = self.late = self.skipped = 0
        self.worst_late_ms = 0.0
        self.lanes: dict[Lane, None] = {}
        self._beats: dict[int, _Beat] = {}  # by packet time

    def add(self, lane: Lane) -> None:
        """Call ``lane.tick`` from now on; the first call comes within one packet time."""
        self.lanes[lane] = None
        beat = self._beats.get(lane.frame_ms)
        if beat is None:
            beat = self._beats[lane.frame_ms] = _Beat(self, lane.frame_ms)
        beat.lanes[lane] = None

    def remove(self, lane: Lane) -> None:
        """Stop calling ``lane.tick``. Unknown lanes are ignored."""
        if lane not in self.lanes:
            return
        del self.lanes[lane]
        beat = self._beats[lane.frame_ms]
        del beat.lanes[lane]
        if not beat.lanes:
            beat.stop()
            del self._beats[lane.frame_ms]


class _Beat:
    """The timer of all lanes with a packet time of ``frame_ms``. It runs from the start."""

    def __init__(self, clock: Clock, frame_ms: int) -> None:
        self.lanes: dict[Lane, None] = {}
        self._clock = clock
        self._tick = frame_ms / 1000
        loop = asyncio.get_running_loop()
        self._deadline = loop.time()
        self._timer: asyncio.Handle = loop.call_soon(self._run)

    def stop(self) -> None:
        """Call nobody any more."""
        self._timer.cancel()

    def _run(self) -> None:
        loop, clock = asyncio.get_running_loop(), self._clock
        behind = loop.time() - self._deadline
        due = 1 + int(behind / self._tick)
        if behind > _LATE:
            clock.late += 1
            clock.worst_late_ms = max(clock.worst_late_ms, behind * 1000)
        if due > _CATCH_UP:
            clock.skipped += due - 1
            self._deadline += (due - 1) * self._tick
            due = 1
        self._deadline += due * self._tick
        self._timer = loop.call_at(self._deadline, self._run)
        clock.ticks += due
        for lane in tuple(self.lanes):
            for _ in range(due):
                lane.tick()


class Lane:
    """One channel's lane: a UDP socket connected to ``switch``, the port that FreeSWITCH binds.

    Create it, have FreeSWITCH run ``unicast`` with ``switch`` and ``local``, then wait for
    ``opened``: the first datagram is the only proof that FreeSWITCH has bound the port, because its
    reply is ``+OK`` in any case. The datagram is one packet of the channel
    (docs/design/freeswitch.md#packet-times): with the channel's ``rate`` in Hz its size tells the
    packet time, ``frame_ms``. Where the rate is not known (0), 20 ms are taken for granted, and the
    size tells the rate. The result of ``opened`` is the rate. ``start`` then puts the lane on the
    clock, with a playout of frames of ``frame_ms``.

    ``on_event`` is called after a tick in which an item of the playout started or finished;
    ``on_lost`` is called once if FreeSWITCH closes the port, for example because the channel ran a
    ``playback`` (docs/design/freeswitch.md#what-closes-it). We learn of that by ICMP, which is
    certain on the same machine only.
    """

    frame_ms = FRAME_MS

    def __init__(
        self,
        clock: Clock,
        *,
        host: str,
        switch: tuple[str, int],
        rate: int = 0,
    ) -> None:
        self.switch = switch
        self._rate = rate
        self.on_event: Callable[[], None] = lambda: None
        self.on_lost: Callable[[OSError], None] = lambda error: None
        self.frames = 0
        self.unsent = 0  # frames that the kernel refused because its buffer was full
        self.playout: Playout | None = None
        self._next: Callable[[], bytes]
        self._clock = clock
        self._on_frame: Callable[[bytes], None] | None = None
        self._loop = asyncio.get_running_loop()
        self.opened: asyncio.Future[int] = self._loop.create_future()
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind((host, 0))
            # A connected socket gets datagrams from this peer only, and hears of a closed port.
            self._socket.connect(switch)
            self._loop.add_reader(self._socket, self._readable)
        except OSError:
            self._socket.close()
            raise
        self._send = self._socket.send  # looked up once, not 50 times a second
        self._closed = False

    @property
    def local(self) -> tuple[str, int]:
        """Our address, which ``unicast`` calls remote-ip and remote-port."""
        host, port = self._socket.getsockname()
        return str(host), int(port)

    def start(
        self,
        playout: Playout,
        on_frame: Callable[[bytes], None] | None = None,
        convert: Callable[[bytes], bytes] | None = None,
    ) -> None:
        """Send the playout's frames from now on; ``on_frame`` as for ``receive``. ``convert`` turns
        a frame into one of the channel's rate, where the playout has another.

        Without ``on_frame`` the caller's frames are not even read: mod_audio_stream brings the same
        audio, and a socket that is not read costs nothing.
        """
        self.playout = playout
        pop = playout.pop
        self._next = pop if convert is None else lambda: convert(pop())
        if on_frame is None:
            self.stop_receiving()
        else:
            self.receive(on_frame)
        self._clock.add(self)

    def receive(self, on_frame: Callable[[bytes], None]) -> None:
        """Call ``on_frame`` for each frame of the caller, linear at the channel's rate, that
        arrives from now on; those that were not read while nobody wanted them are dropped."""
        if self._closed:
            return
        if self._on_frame is None:
            self._drop_unread()
        self._on_frame = on_frame
        self._loop.remove_reader(self._socket)
        self._loop.add_reader(self._socket, self._readable)

    def stop_receiving(self) -> None:
        """Leave the caller's frames unread from now on."""
        if not self._closed:
            self._on_frame = None
            self._loop.remove_reader(self._socket)

    def stop_sending(self) -> None:
        """Send nothing until ``send_again``. The playout stands still."""
        self._clock.remove(self)

    def send_again(self) -> None:
        """Go on with the playout, if the lane was started and is open."""
        if self.playout is not None and not self._closed:
            self._clock.add(self)

    def tick(self) -> None:
        """Send one frame. Called by the clock."""
        playout = self.playout
        if playout is None or self._closed:
            return
        try:
            self._send(self._next())
            self.frames += 1
        except BlockingIOError:
            self.unsent += 1
        except OSError as error:
            self._lose(error)
            return
        if playout.events:
            self.on_event()

    def close(self) -> None:
        """Leave the clock and close the socket. May be called again."""
        self._clock.remove(self)
        self.opened.cancel()
        if not self._closed:
            self._closed = True
            self._loop.remove_reader(self._socket)
            self._socket.close()

    def _lose(self, error: OSError) -> None:
        self.close()
        self.on_lost(error)

    def _drop_unread(self) -> None:
        """Drop what the socket has buffered: it may be seconds of audio, all of it old."""
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
            # The kernel reports a closed port once, to whichever call comes first: this or a send.
            if self.playout is not None:
                self._lose(error)
            return
        if not self.opened.done():
            rate = self._rate or RATE_OF_FRAME.get(len(frame), 0)
            frame_ms = pcm(rate).ms(len(frame)) if rate else 0
            if frame_ms not in PACKET_MS:
                return  # whoever waits will time out
            self.frame_ms = int(frame_ms)
            self.opened.set_result(rate)
        if self._on_frame is not None:
            self._on_frame(frame)

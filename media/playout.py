"""The one queue of everything that a caller hears, and the only place that knows what was heard.

[core]: no clock, no socket. Somebody with a clock calls ``pop`` every 20 ms and sends what it gets.

Audio belongs to an item: a sentence of the model (its item id), a greeting, a prompt, a beep. Items
are played in the order of their first audio. What became of an item is told by events, in
``events``: ``Started`` with its first frame, ``Finished`` one frame after its last one, when the
caller has heard it all.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from media.frame import Format, pcm


@dataclass(frozen=True)
class Started:
    """The first frame of ``item`` was taken to be sent."""

    item: str


@dataclass(frozen=True)
class Finished:
    """The last sample of ``item`` has been heard: ``heard_ms`` milliseconds in all."""

    item: str
    heard_ms: int


@dataclass(frozen=True)
class Heard:
    """What was heard of an item that was cut off: the first ``heard_ms`` milliseconds."""

    item: str
    heard_ms: int


@dataclass
class _Item:
    name: str
    frames: deque[bytes] = field(default_factory=deque)
    rest: bytes = b""
    played: int = 0  # bytes
    complete: bool = False  # no more audio will come


class Playout:
    """The speech queue of one call, in linear audio at the channel's ``rate``.

    At most ``limit_ms`` of audio wait in it; what comes on top is dropped and counted in
    ``dropped_ms`` (a model that says five minutes in advance is not one that is listened to).
    """

    def __init__(self, rate: int, limit_ms: int = 300_000) -> None:
        self.format: Format = pcm(rate)
        self._size = self.format.frame_bytes
        self.silence = bytes(self._size)
        self.events: deque[Started | Finished] = deque()
        self.paused = False
        self.gaps = 0  # frames of silence in the middle of an item: its audio came too late
        self.dropped_ms = 0.0
        self._limit = int(limit_ms / 20) * self._size
        self._waiting = 0  # bytes
        self._items: deque[_Item] = deque()
        self._gone: deque[str] = deque(maxlen=64)  # flushed or finished: late audio is dropped

    @property
    def speaking(self) -> bool:
        """Whether an item is being played or waits to be (also while paused)."""
        return bool(self._items)

    @property
    def waiting_ms(self) -> float:
        """Audio that waits to be played, in milliseconds."""
        return self.format.ms(self._waiting)

    def wants(self, item: str) -> bool:
        """False for an item that is over: what still comes of it is dropped."""
        return item not in self._gone

    def push(self, item: str, data: bytes) -> None:
        """Append audio (whole samples) to ``item``. Audio of an item that is over is dropped."""
        if not self.wants(item):
            return
        room = self._limit - self._waiting
        if len(data) > room:
            self.dropped_ms += self.format.ms(len(data) - room)
            data = data[:room]
        entry = self._find(item) or self._add(item)
        self._waiting += len(data)
        size = self._size
        if entry.rest:
            data = entry.rest + data
        whole = len(data) - len(data) % size
        entry.frames.extend([data[i : i + size] for i in range(0, whole, size)])
        entry.rest = data[whole:]

    def complete(self, item: str) -> None:
        """Say that no more audio of ``item`` will come, so that its last part frame is played."""
        entry = self._find(item)
        if entry is not None:
            entry.complete = True

    def pop(self) -> bytes:
        """The next frame to send: speech, or silence where there is nothing to say."""
        while self._items and not self.paused:
            item = self._items[0]
            if item.frames:
                frame = item.frames.popleft()
            elif not item.complete:
                self.gaps += item.played > 0
                break
            elif item.rest:
                frame, item.rest = item.rest, b""
            else:
                self._items.popleft()
                self._gone.append(item.name)
                self.events.append(Finished(item.name, self._ms(item)))
                continue
            if not item.played:
                self.events.append(Started(item.name))
            item.played += len(frame)
            self._waiting -= len(frame)
            return frame if len(frame) == self._size else frame.ljust(self._size, b"\0")
        return self.silence

    def pause(self) -> None:
        """Go silent with the next frame and lose nothing."""
        self.paused = True

    def unpause(self) -> None:
        """Go on from the very sample where ``pause`` stopped."""
        self.paused = False

    def flush(self) -> list[Heard]:
        """Drop all that was not yet played; returns what was heard of each item, oldest first."""
        heard = [Heard(item.name, self._ms(item)) for item in self._items]
        self._gone.extend(item.name for item in self._items)
        self._items.clear()
        self._waiting = 0
        self.paused = False
        return heard

    def heard_ms(self, item: str) -> int:
        """Whole milliseconds heard so far of an item that is not over."""
        entry = self._find(item)
        return self._ms(entry) if entry else 0

    def _ms(self, item: _Item) -> int:
        return int(self.format.ms(item.played))

    def _add(self, name: str) -> _Item:
        item = _Item(name)
        self._items.append(item)
        return item

    def _find(self, name: str) -> _Item | None:
        for item in self._items:
            if item.name == name:
                return item
        return None

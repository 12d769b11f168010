"""The playout: the queue of speech that is being played, and what was heard of it. [core]

The model speaks faster than anyone listens: a reply of 20 s is here within a few seconds. When the
caller interrupts, the model must be told how much of it was heard, so everything that the caller
hears passes this one queue, and only the queue is asked.

- Audio belongs to an item: a piece of the model's speech (its item id) or a sentence of our own.
  Items are played one after the other, in the order of their first audio.
- Whoever has a clock calls ``pop`` once a frame and sends the frame that it returns. A frame that
  was returned counts as heard: FreeSWITCH plays it at once and buffers none. Where it turns out
  that nobody was there to hear (``hold``, ``take_back``), the last frames are put back.
- ``Started`` is put into ``events`` with an item's first frame, ``Finished`` one frame after its
  last, when the caller has heard it to the end. ``flush`` cuts off all items and returns how much
  of each was heard; audio that still arrives for them is dropped.
- ``heard_ms`` is counted in samples that were played, without padding and silence.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Final

from media.frame import FRAME_MS, Format, pcm

LIMIT_MS: Final = 300_000  # of speech that waits: more than any reply lasts
# What may have been sent before we knew that nobody heard it (tests/live/test_trunks.py):
# FreeSWITCH tells of a hold within 35 ms, and of another codec 60 ms after it has stopped sending,
# on a busy machine 150 ms.
HOLD_MS: Final = 40
LOST_MS: Final = 200


@dataclass(frozen=True)
class Started:
    """The first frame of ``item`` has been sent."""

    item: str


@dataclass(frozen=True)
class Finished:
    """``item`` has been heard to its last sample: ``heard_ms`` milliseconds in all."""

    item: str
    heard_ms: int


@dataclass(frozen=True)
class CutOff:
    """``item`` was cut off after its first ``heard_ms`` milliseconds; 0: it never began."""

    item: str
    heard_ms: int


@dataclass(eq=False)
class _Item:
    name: str
    frames: deque[bytes] = field(default_factory=deque)
    rest: bytes = b""
    played: int = 0  # bytes
    begun: bool = False  # its first frame was sent, even if it was taken back since
    complete: bool = False  # no more audio will come


class Playout:
    """The playout of one call, in linear audio at the channel's ``rate`` in Hz, in frames of
    ``frame_ms`` milliseconds.

    At most ``limit_ms`` of audio wait in it: five minutes, more than any caller listens to in one
    go. Audio beyond that is dropped and counted in ``dropped_ms``.
    """

    def __init__(self, rate: int, limit_ms: int = LIMIT_MS, *, frame_ms: int = FRAME_MS) -> None:
        self.format: Format = pcm(rate)
        self._frame_ms = frame_ms
        self._set_size(self.format.bytes_of(frame_ms))
        self.events: deque[Started | Finished] = deque()
        self.paused = False
        self.held = False
        self.gaps = 0  # frames of silence within an item, because its audio came too late
        self.dropped_ms = 0.0
        self._limit = self.format.bytes_of(limit_ms // frame_ms * frame_ms)
        self._waiting = 0  # bytes
        self._items: dict[str, _Item] = {}  # in the order in which they are played
        self._over: deque[str] = deque(maxlen=64)  # flushed or finished: late audio is dropped

    @property
    def speaking(self) -> bool:
        """Whether an item is being played or waits to be (also while paused)."""
        return bool(self._items)

    @property
    def waiting_ms(self) -> float:
        """Audio that waits to be played, in milliseconds."""
        return self.format.ms(self._waiting)

    def fit(self, frame_ms: int) -> None:
        """Give out frames of ``frame_ms`` from now on: the channel has another packet time."""
        if frame_ms == self._frame_ms:
            return
        self._frame_ms = frame_ms
        self._set_size(self.format.bytes_of(frame_ms))
        for item in self._items.values():
            waiting = b"".join(item.frames) + item.rest
            item.frames.clear()
            self._cut(item, waiting)

    def _set_size(self, size: int) -> None:
        self._size = size
        self.silence = bytes(size)
        self._sent: deque[tuple[_Item | None, bytes]] = deque(maxlen=-(-LOST_MS // self._frame_ms))

    def _cut(self, item: _Item, data: bytes) -> None:
        """Cut ``data``, which follows the item's frames, into frames and a rest."""
        size = self._size
        whole = len(data) - len(data) % size
        item.frames.extend([data[i : i + size] for i in range(0, whole, size)])
        item.rest = data[whole:]

    def wants(self, item: str) -> bool:
        """False for an item that is finished or cut off: its audio would be dropped."""
        return item not in self._over

    def push(self, item: str, data: bytes) -> None:
        """Append audio (whole samples) to ``item``, unless it is finished or cut off."""
        if not self.wants(item):
            return
        room = self._limit - self._waiting
        if len(data) > room:
            self.dropped_ms += self.format.ms(len(data) - room)
            data = data[:room]
        entry = self._items.get(item)
        if entry is None:
            entry = self._items[item] = _Item(item)
        self._waiting += len(data)
        self._cut(entry, entry.rest + data if entry.rest else data)

    def complete(self, item: str) -> None:
        """No more audio of ``item`` will come: its last frame may be played though not full."""
        entry = self._items.get(item)
        if entry is not None:
            entry.complete = True

    def pop(self) -> bytes:
        """The next frame to send: speech, or silence where there is nothing to say."""
        while self._items and not (self.paused or self.held):
            item = next(iter(self._items.values()))
            if item.frames:
                frame = item.frames.popleft()
            elif not item.complete:
                self.gaps += item.played > 0
                break
            elif item.rest:
                frame, item.rest = item.rest, b""
            else:
                del self._items[item.name]
                self._over.append(item.name)
                self.events.append(Finished(item.name, self._ms(item)))
                continue
            if not item.played:
                item.begun = True
                self.events.append(Started(item.name))
            item.played += len(frame)
            self._waiting -= len(frame)
            self._sent.append((item, frame))
            return frame if len(frame) == self._size else frame.ljust(self._size, b"\0")
        self._sent.append((None, self.silence))
        return self.silence

    def hold(self, unheard_ms: int = HOLD_MS) -> None:
        """Nobody hears us, and nobody has for ``unheard_ms``: send silence until ``unhold``, and
        keep everything."""
        if not self.held:
            self.held = True
            self.take_back(unheard_ms)

    def unhold(self) -> None:
        """Go on with the first sample that was not heard."""
        self.held = False

    def take_back(self, unheard_ms: int) -> None:
        """The frames of the last ``unheard_ms`` (at most ``LOST_MS``) reached nobody: send them
        again, except those of an item that is finished or was cut off."""
        frames = min(len(self._sent), -(-unheard_ms // self._frame_ms))
        for item, frame in (self._sent.pop() for _ in range(frames)):
            if item is not None and self._items.get(item.name) is item:
                item.frames.appendleft(frame)
                item.played -= len(frame)
                self._waiting += len(frame)
        self._sent.clear()

    def pause(self) -> None:
        """Be silent from the next frame on, and keep everything."""
        self.paused = True

    def unpause(self) -> None:
        """Go on with the sample at which ``pause`` stopped."""
        self.paused = False

    def flush(self) -> list[CutOff]:
        """Drop all audio that waits; returns what was heard of each item, oldest first."""
        cut = [CutOff(item.name, self._ms(item)) for item in self._items.values()]
        self._over.extend(self._items)
        self._items.clear()
        self._sent.clear()
        self._waiting = 0
        self.paused = False
        return cut

    def heard(self) -> list[CutOff]:
        """What was heard so far of each item that has begun."""
        return [CutOff(item.name, self._ms(item)) for item in self._items.values() if item.begun]

    def heard_ms(self, item: str) -> int:
        """Whole milliseconds heard so far of an item that is queued or playing; else 0."""
        entry = self._items.get(item)
        return self._ms(entry) if entry else 0

    def _ms(self, item: _Item) -> int:
        return int(self.format.ms(item.played))

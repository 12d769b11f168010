"""The playout of a call whose speech is played as files: the fallback for the lane. [core]

It is used like ``Playout``, but FreeSWITCH plays whole files, so it hands out segments, each of
which becomes a file: one is played, one waits behind it, and what the model says meanwhile becomes
the next. What was heard is an estimate from FreeSWITCH's events: the files that were played to
their end, and the time since the current one began. Times are seconds of any monotonic clock.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from media.frame import Format, pcm
from media.playout import CutOff, Finished, Started

FIRST_MS = 240  # the first file is short, to begin soon
LATER_MS = 1000  # later ones are longer, because there is a gap of about 20 ms between two files
LONGEST_MS = 8000
OUTSTANDING = 2  # segments at the switch: one that is played, one behind it


@dataclass(eq=False)
class Segment:
    """A part of ``item`` that becomes one file: linear audio at the playout's rate."""

    item: str
    data: bytes
    started: float | None = None  # when the switch began to play it


@dataclass
class _Item:
    name: str
    waiting: bytearray
    complete: bool = False
    started: bool = False
    ended_ms: float = 0.0  # audio of segments that were played to their end


class FilePlayout:
    """The playout of one call at ``rate`` Hz. At most ``limit_ms`` wait, as in ``Playout``."""

    def __init__(self, rate: int, limit_ms: int = 300_000) -> None:
        self.format: Format = pcm(rate)
        self.events: deque[Started | Finished] = deque()
        self.dropped_ms = 0.0
        self._limit = self.format.frame_bytes * limit_ms // 20
        self._items: deque[_Item] = deque()
        self._out: deque[Segment] = deque()
        self._over: deque[str] = deque(maxlen=64)
        self._held = False

    @property
    def speaking(self) -> bool:
        """Whether an item is being played or waits to be."""
        return bool(self._items)

    def wants(self, item: str) -> bool:
        """False for an item that is finished or cut off: its audio would be dropped."""
        return item not in self._over

    def push(self, item: str, data: bytes) -> None:
        """Append audio (whole samples) to ``item``, unless it is finished or cut off."""
        if not self.wants(item):
            return
        room = max(0, self._limit - sum(len(entry.waiting) for entry in self._items))
        if len(data) > room:
            self.dropped_ms += self.format.ms(len(data) - room)
        entry = self._find(item)
        if entry is None:
            entry = _Item(item, bytearray())
            self._items.append(entry)
        entry.waiting += data[:room]

    def complete(self, item: str) -> None:
        """No more audio of ``item`` will come."""
        entry = self._find(item)
        if entry is not None:
            entry.complete = True
            self._drop_finished()

    def next_segment(self) -> Segment | None:
        """The segment to hand to the switch now; None if there is not enough audio for one."""
        if self._held or len(self._out) >= OUTSTANDING:
            return None
        for entry in self._items:
            if not entry.waiting and entry.complete:
                continue  # all of it was handed out: the next item may follow
            enough = 0 if entry.complete else LATER_MS if self._out else FIRST_MS
            if not entry.waiting or self.format.ms(len(entry.waiting)) < enough:
                return None
            size = self.format.frame_bytes * LONGEST_MS // 20
            segment = Segment(entry.name, bytes(entry.waiting[:size]))
            del entry.waiting[:size]
            self._out.append(segment)
            return segment
        return None

    def playing(self, segment: Segment, now: float) -> None:
        """The switch began to play ``segment``."""
        if segment in self._out:
            segment.started = now
            entry = self._find(segment.item)
            if entry is not None and not entry.started:
                entry.started = True
                self.events.append(Started(segment.item))

    def played(self, segment: Segment, now: float) -> None:
        """The switch is done with ``segment``. One that it could not play counts as heard, too."""
        if segment not in self._out:
            return
        self._out.remove(segment)
        entry = self._find(segment.item)
        if entry is not None:
            entry.ended_ms += self.format.ms(len(segment.data))
        self._drop_finished()

    def hold(self, now: float) -> None:
        """Nobody has heard us since ``now``: hand out nothing until ``unhold``. What the switch has
        and had not played then is to be handed out again."""
        self._held = True
        while self._out:
            segment = self._out.pop()
            entry = self._find(segment.item)
            if entry is not None:
                heard_ms = self._segment_ms(segment, now)
                entry.ended_ms += heard_ms
                heard = int(heard_ms * self.format.rate / 1000) * self.format.sample_bytes
                entry.waiting[:0] = segment.data[heard:]

    def unhold(self) -> None:
        """Go on with what was not heard."""
        self._held = False

    def heard(self, now: float) -> list[CutOff]:
        """What was heard so far of each item that has begun."""
        return [CutOff(e.name, self._heard_ms(e, now)) for e in self._items if e.started]

    def flush(self, now: float) -> list[CutOff]:
        """Drop everything; returns what was heard of each item at least, oldest first."""
        cut = [CutOff(entry.name, self._heard_ms(entry, now)) for entry in self._items]
        self._over.extend(entry.name for entry in self._items)
        self._items.clear()
        self._out.clear()
        return cut

    def heard_ms(self, item: str, now: float) -> int:
        """Whole milliseconds heard so far of an item that is queued or playing; else 0."""
        entry = self._find(item)
        return self._heard_ms(entry, now) if entry else 0

    def _heard_ms(self, entry: _Item, now: float) -> int:
        out = (segment for segment in self._out if segment.item == entry.name)
        return int(entry.ended_ms + sum(self._segment_ms(segment, now) for segment in out))

    def _segment_ms(self, segment: Segment, now: float) -> float:
        if segment.started is None:
            return 0.0
        return min(self.format.ms(len(segment.data)), max(0.0, now - segment.started) * 1000)

    def _drop_finished(self) -> None:
        while self._items:
            entry = self._items[0]
            if not entry.complete or entry.waiting:
                return
            if any(segment.item == entry.name for segment in self._out):
                return
            self._items.popleft()
            self._over.append(entry.name)
            self.events.append(Finished(entry.name, int(entry.ended_ms)))

    def _find(self, name: str) -> _Item | None:
        return next((entry for entry in self._items if entry.name == name), None)

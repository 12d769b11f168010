"""Which worker processes there should be. [core]"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from math import inf
from typing import Final, TypeAlias

SILENT_S: Final = (
    10.0  # of a worker that takes calls: it stands still, and its callers hear nothing
)
START_S: Final = 60.0  # for a worker's imports, and for it to open its ports
STOP_S: Final = 15.0  # for a worker to hand over its calls and end; it needs 10
RETRY_S: Final = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)  # after a process that did not get that far
EXTRA: Final = 2  # slots besides those of the workers: for the spare, and for one that leaves


class State(Enum):
    """What a worker does."""

    STARTING = "starting"  # it imports
    SPARE = "spare"  # it is there, and takes no calls yet
    OPENING = "opening"  # it was told to take calls
    READY = "ready"
    LEAVING = "leaving"  # it takes no more calls: somebody else told it to end
    STOPPING = "stopping"


# What a worker tells that is news. One that was told to begin before it was the spare, is none.
_STEPS: Final = (
    (State.STARTING, State.SPARE),
    (State.OPENING, State.READY),
    (State.READY, State.LEAVING),
)


@dataclass(eq=False)
class Worker:
    """One process, in its slot. ``generation``: that of the settings and the code it runs with."""

    slot: int
    generation: int
    state: State = State.STARTING
    seen_at: float = 0.0  # when it last told something, or was told to stop


@dataclass(frozen=True)
class Start:
    """Start this process."""

    worker: Worker


@dataclass(frozen=True)
class Begin:
    """Let it take calls."""

    worker: Worker


@dataclass(frozen=True)
class Stop:
    """Have it hand over its calls and end."""

    worker: Worker


@dataclass(frozen=True)
class Kill:
    """It does not do what it should."""

    worker: Worker


Step: TypeAlias = Start | Begin | Stop | Kill


@dataclass
class Crew:
    """``wanted`` workers, and a spare. ``decide`` says what is to be done by now; the times are
    seconds of one monotonic clock.

    ``proven``: one of them has been ready, so the settings can be used. ``ending``: nobody is
    replaced any more. ``stopping``: those that take calls are to end, too.
    """

    wanted: int
    workers: list[Worker] = field(default_factory=list)
    proven: bool = False
    ending: bool = False
    stopping: bool = False
    generation: int = 0
    _failures: int = 0  # in a row
    _retry_at: float = 0.0

    @property
    def taking(self) -> list[Worker]:
        """Those that take calls, or are about to."""
        return [w for w in self.workers if w.state in (State.OPENING, State.READY)]

    @property
    def complete(self) -> bool:
        """Whether as many as wanted take calls."""
        return sum(w.state is State.READY for w in self.workers) >= self.wanted

    def renew(self) -> None:
        """Replace all of them, one after the other, by new processes."""
        self.generation += 1
        self._failures, self._retry_at = 0, 0.0

    def told(self, worker: Worker, state: State | None, now: float) -> None:
        """The worker is alive; ``state``: what it is now, if it says so."""
        if worker.state is State.STOPPING:
            return  # to be alive is not enough: it has to end
        worker.seen_at = now
        if (worker.state, state) in _STEPS:
            assert state is not None
            worker.state = state
            if state is State.READY:
                self._failures, self.proven = 0, True

    def stood_still(self, seconds: float) -> None:
        """For so long we heard of nobody: our own process stood still, and theirs perhaps, too."""
        for worker in self.workers:
            worker.seen_at += seconds

    def ended(self, worker: Worker, now: float) -> bool:
        """The process has ended. Returns whether it should not have."""
        self.workers.remove(worker)
        if worker.state in (State.LEAVING, State.STOPPING) or self.ending:
            return False
        if worker.state is not State.READY:
            self._retry_at = now + RETRY_S[min(self._failures, len(RETRY_S) - 1)]
            self._failures += 1
            # It may be the new settings: whoever has calls goes on with the old ones.
            for each in self.taking:
                each.generation = self.generation
        return True

    def decide(self, now: float) -> list[Step]:
        """What is to be done now, in this order."""
        steps: list[Step] = [Kill(worker) for worker in self._stuck(now)]
        idle = [w for w in self.workers if w.state in (State.STARTING, State.SPARE)]
        unwanted = [w for w in idle if self.ending or w.generation != self.generation]
        if self.ending:  # who is about to take calls was not told; who takes them, where we drain
            unwanted += [w for w in self.taking if self.stopping or w.state is State.OPENING]
        if self.stopping:
            unwanted += [w for w in self.workers if w.state is State.LEAVING]
        steps += [self._stop(worker, now) for worker in unwanted]
        if self.ending:
            return steps
        old = [w for w in self.taking if w.generation != self.generation]
        if not any(w.state is State.OPENING for w in self.workers):
            spare = next((w for w in self.workers if w.state is State.SPARE), None)
            if len(self.taking) > self.wanted:  # with none that is old: a renewal was called off
                steps.append(self._stop((old or self.taking)[0], now))
            elif spare is not None and len(self.taking) < self.wanted + bool(old):
                spare.state, spare.seen_at = State.OPENING, now
                steps.append(Begin(spare))
        # The first one need not wait for anything. It shows whether the settings can be used; until
        # then no second one is tried.
        missing = 1 + (max(0, self.wanted - len(self.taking)) if self.proven else 0)
        idle = [w for w in self.workers if w.state in (State.STARTING, State.SPARE)]
        if now >= self._retry_at and (self.proven or not self.workers):
            for slot in self._free_slots()[: missing - len(idle)]:
                worker = Worker(slot, self.generation, seen_at=now)
                self.workers.append(worker)
                steps.append(Start(worker))
                if not self.proven:
                    worker.state = State.OPENING
                    steps.append(Begin(worker))
        return steps

    def _stuck(self, now: float) -> list[Worker]:
        limits = {
            State.STARTING: START_S,
            State.SPARE: inf,  # it has nothing to tell while it waits
            State.OPENING: START_S,
            State.READY: SILENT_S,
            State.LEAVING: SILENT_S,
            State.STOPPING: STOP_S,
        }
        return [w for w in self.workers if now - w.seen_at > limits[w.state]]

    def _stop(self, worker: Worker, now: float) -> Stop:
        worker.state, worker.seen_at = State.STOPPING, now
        return Stop(worker)

    def _free_slots(self) -> list[int]:
        taken = {worker.slot for worker in self.workers}
        return [slot for slot in range(self.wanted + EXTRA) if slot not in taken]

"""The connection to the model: made, made again, moved, renewed, and at last given up. [core]

Part of ``model_recovery.py``. A call may have several models: that of ``[agent]``, then those of
``[[models]]``. A connection that breaks is made again once, since a broken network is soon back;
then each other model is tried at once, and when all have failed, the first again after a wait. A
call stays with the model that has it.

What gives a call up is time, not a number of tries: the caller has ``PATIENCE_S`` without a model,
and a model that has not been tried is tried all the same.
How often an endpoint that is down is really dialled is decided by all calls together
(``agents/health.py``). Times are seconds of the call's clock.
"""

from __future__ import annotations

from typing import Literal

from esl_controller.call.actions import Actions, ConnectAgent, Note
from esl_controller.call.agent import PATIENCE_S, Recovery
from esl_controller.call.agent_events import AgentFailed

RECONNECT_S = (0.0, 0.3, 0.6, 1.2, 2.4)  # the wait before each further try; then as the last
STABLE_S = 5.0  # a connection that lasted this long makes up for the failures before it
MUTE_S = 15.0  # the same if its model said nothing: longer than it takes to see that it stalls
MAX_AGE_S = 55 * 60.0  # the API ends a session after 60 minutes


class ModelLink:
    """One call's connections to its models, one at a time.

    ``models``: how many it may have. ``state`` is "lost" once no further try is made, ``place`` the
    model that is connected, or to be.
    """

    def __init__(self, models: int = 1) -> None:
        self.state: Literal["none", "connecting", "ready", "lost"] = "none"
        self.place = 0
        self._models = models
        self._useless: set[int] = set()  # for this call
        self._failed: set[int] = set()  # in this round
        self._tried: set[int] = set()  # in vain, since a connection was stable
        self._rounds = 0
        self._ready_at = 0.0
        self._reconnect_at: float | None = None
        self._failing_since: float | None = None  # no connection has been stable since
        self._last_failure = ""

    @property
    def given_up(self) -> bool:
        """Whether the call has to do without a model."""
        return self.state == "lost"

    def connect(self) -> Actions:
        """Connect, in place of the connection that there may be."""
        if self.state == "ready":
            self._forgive()
        self.state = "connecting"
        self._reconnect_at = None
        return [ConnectAgent(self.place)]

    def ready(self, now: float) -> None:
        """The model has confirmed the session."""
        self.state, self._ready_at = "ready", now

    def failed(self, event: AgentFailed, now: float, *, spoke: bool = True) -> Actions:
        """The connection is gone, could not be made, or is of no use: try again, try another one,
        or give up. ``spoke``: whether its model has said anything."""
        broke = self.state == "ready"
        if broke and now - self._ready_at >= (STABLE_S if spoke else MUTE_S):
            self._forgive()
        if self._failing_since is None:
            self._failing_since = now
        self._last_failure = event.reason
        self._tried.add(self.place)
        useless = event.recovery in (Recovery.NEXT_MODEL, Recovery.GIVE_UP)
        if useless:
            self._useless.add(self.place)
        if len(self._useless) == self._models:
            return self._lose(event.reason)
        before, wait = self.place, self._choose(again=broke)
        after_s = event.after_s if self.place == before else 0.0
        if self.place in self._tried and now + after_s > self._failing_since + PATIENCE_S:
            return self._lose(event.reason)
        wait = 0.0 if useless else max(wait, after_s)
        self.state = "none"
        self._reconnect_at = now + wait
        what = "the model is called again" if self.place == before else "another model is called"
        note = Note(what, event.reason)
        return [note] if wait else [note, *self.connect()]

    def give_up(self) -> None:
        """No model is of any use."""
        self.state = "lost"
        self._reconnect_at = None

    def _choose(self, *, again: bool) -> float:
        """Choose the model that is tried next: ``again`` the same one, if nothing has failed
        before. Returns the seconds to wait first."""
        if not again or self._rounds:
            self._failed.add(self.place)
        usable = [place for place in range(self._models) if place not in self._useless]
        left = [place for place in usable if place not in self._failed]
        if left and self.place not in left:
            self.place = left[0]
            return 0.0
        if not left:  # all have failed: a new round
            self._failed.clear()
            self.place = next((place for place in usable if place != self.place), self.place)
        self._rounds += 1
        return RECONNECT_S[min(self._rounds, len(RECONNECT_S)) - 1]

    def time_up(self, now: float, *, idle: bool) -> Actions:
        """Do one thing that is due: the next try, the end of the tries, or a new session in place
        of one that the API is soon going to end. ``idle``: nobody speaks, so that a new session
        disturbs nobody."""
        patient_until = self._patient_until
        if patient_until is not None and now >= patient_until:
            return self._lose(f"not back within {PATIENCE_S:g} s; before: {self._last_failure}")
        if self._reconnect_at is not None and now >= self._reconnect_at:
            return self.connect()
        if idle and self.state == "ready" and now >= self._ready_at + MAX_AGE_S:
            return self.connect()
        return []

    def deadline(self, *, idle: bool) -> float | None:
        """When ``time_up`` has something to do."""
        times = [self._reconnect_at, self._patient_until]
        if idle and self.state == "ready":
            times.append(self._ready_at + MAX_AGE_S)
        return min((time for time in times if time is not None), default=None)

    @property
    def _patient_until(self) -> float | None:
        """When the caller has waited long enough for a model that is away."""
        if self._failing_since is None or self.state in ("ready", "lost"):
            return None
        if self.place not in self._tried:
            return None  # its own time to connect is short
        return self._failing_since + PATIENCE_S

    def _forgive(self) -> None:
        self._rounds = 0
        self._failed.clear()
        self._tried.clear()
        self._failing_since = None

    def _lose(self, reason: str) -> Actions:
        self.give_up()
        return [Note("the model cannot be had, the call goes on without it", reason)]

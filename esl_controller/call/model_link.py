"""The connection to the model: made, made again, renewed, and at last given up. [core]

Part of ``model_recovery.py``. What gives a call up is time, not a number of tries: the caller has
``PATIENCE_S`` without a model. How often an endpoint that is down is really dialled is decided by
all calls together (``agents/health.py``). Times are seconds of the call's clock.
"""

from __future__ import annotations

from typing import Literal

from esl_controller.call.actions import Actions, ConnectAgent, Note
from esl_controller.call.agent import PATIENCE_S, Recovery
from esl_controller.call.agent_events import AgentFailed

RECONNECT_S = (0.0, 0.3, 0.6, 1.2, 2.4)  # the wait before each further try; then as the last
STABLE_S = 5.0  # a connection that lasted this long makes up for the failures before it
MAX_AGE_S = 55 * 60.0  # the API ends a session after 60 minutes


class ModelLink:
    """One call's connections to the model, one at a time.

    ``state`` is "lost" once no further try is made.
    """

    def __init__(self) -> None:
        self.state: Literal["none", "connecting", "ready", "lost"] = "none"
        self._ready_at = 0.0
        self._tries = 0
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
        return [ConnectAgent()]

    def ready(self, now: float) -> None:
        """The model has confirmed the session."""
        self.state, self._ready_at = "ready", now

    def failed(self, event: AgentFailed, now: float) -> Actions:
        """The connection is gone, or could not be made: try again, or give up."""
        if self.state == "ready" and now - self._ready_at >= STABLE_S:
            self._forgive()
        if self._failing_since is None:
            self._failing_since = now
        self._last_failure = event.reason
        wait = max(event.after_s, RECONNECT_S[min(self._tries, len(RECONNECT_S) - 1)])
        # Another model, which a call does not have: the fallback takes its place.
        of_no_use = event.recovery in (Recovery.NEXT_MODEL, Recovery.GIVE_UP)
        if of_no_use or now + event.after_s > self._failing_since + PATIENCE_S:
            return self._lose(event.reason)
        self.state = "none"
        self._tries += 1
        self._reconnect_at = now + wait
        note = Note("the model is called again", event.reason)
        return [note] if wait else [note, *self.connect()]

    def give_up(self) -> None:
        """The model is connected, or may yet be, and is of no use."""
        self.state = "lost"

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
        return self._failing_since + PATIENCE_S

    def _forgive(self) -> None:
        self._tries = 0
        self._failing_since = None

    def _lose(self, reason: str) -> Actions:
        self.state = "lost"
        self._reconnect_at = None
        return [Note("the model cannot be had, the call goes on without it", reason)]

"""The line to the model: called, called again, renewed, and at last given up. [core]

Part of ``call.py``. Times are seconds of the call's clock.
"""

from __future__ import annotations

from typing import Literal

from esl_controller.call.actions import Actions, ConnectAgent, Note
from esl_controller.call.events import AgentFailed

REDIAL_S = (0.0, 0.3, 0.6, 1.2)  # before each further try to reach the model
GOOD_S = 20.0  # a connection that lasted so long was a good one: the tries begin anew
AGE_S = 55 * 60.0  # the API ends a session after 60 minutes
PATIENCE_S = 1.5  # of silence, while the model is not there
AGAIN_S = 10.0  # until the caller hears that word once more


class ModelLink:
    """One call's connections to the model, of which one at a time is in use."""

    def __init__(self) -> None:
        self.state: Literal["none", "connecting", "ready", "lost"] = "none"
        self._since = 0.0  # it is ready
        self._redials = 0
        self._redial_at: float | None = None
        self._patience_until: float | None = None

    @property
    def lost(self) -> bool:
        """Whether it cannot be had any more."""
        return self.state == "lost"

    def dial(self) -> Actions:
        """Connect, or connect anew."""
        if self.state == "ready":
            self._redials = 0
        self.state = "connecting"
        self._redial_at = None
        return [ConnectAgent()]

    def ready(self, now: float) -> None:
        """The model has confirmed the session."""
        self.state, self._since = "ready", now
        self._patience_until = None

    def failed(self, event: AgentFailed, now: float) -> Actions:
        """The connection is gone: another one, or ``state`` is lost."""
        if self.state == "ready" and now - self._since >= GOOD_S:
            self._redials = 0
        if event.permanent or self._redials == len(REDIAL_S):
            self.state = "lost"
            return [Note("the model cannot be had, the call goes on without it", event.reason)]
        self.state = "none"
        wait = REDIAL_S[self._redials]
        self._redials += 1
        self._redial_at = now + wait
        note = Note("the model is called again", event.reason)
        return [note] if wait else [note, *self.dial()]

    def give_up(self) -> None:
        """The model is there and of no use."""
        self.state = "lost"

    def awaited(self, now: float) -> None:
        """The caller listens, and from now on misses the model."""
        if self.state != "ready" and self._patience_until is None:
            self._patience_until = now + PATIENCE_S

    def redial_due(self, now: float) -> bool:
        """Whether it is time to connect again."""
        return self._redial_at is not None and now >= self._redial_at

    def excuse_due(self, now: float) -> bool:
        """Whether the caller has waited long enough for a word of ours, again."""
        if self._patience_until is None or now < self._patience_until:
            return False
        self._patience_until = now + AGAIN_S
        return True

    def too_old(self, now: float) -> bool:
        """Whether the API will soon end the session by itself."""
        return self.state == "ready" and now >= self._since + AGE_S

    def deadline(self, *, at_rest: bool, silent: bool) -> float | None:
        """When something is due; ``at_rest``: a new session would disturb nobody; ``silent``: the
        caller hears nothing, and could."""
        times = [self._redial_at, self._patience_until if silent else None]
        if at_rest and self.state == "ready":
            times.append(self._since + AGE_S)
        return min((time for time in times if time is not None), default=None)

"""The connection to the model: made, made again, renewed, and at last given up. [core]

Part of ``machine.py``. Times are seconds of the call's clock.
"""

from __future__ import annotations

from typing import Literal

from esl_controller.call.actions import Actions, ConnectAgent, Note, PlaySentence
from esl_controller.call.events import AgentFailed

RECONNECT_S = (0.0, 0.3, 0.6, 1.2)  # the wait before each further try
STABLE_S = 20.0  # after a connection that lasted this long, the tries are counted anew
MAX_AGE_S = 55 * 60.0  # the API ends a session after 60 minutes
SILENCE_S = 1.5  # until a caller who hears nothing is asked for a moment's patience
SILENCE_AGAIN_S = 10.0  # until the caller hears that sentence again


class ModelLink:
    """One call's connections to the model, one at a time.

    ``state`` is "lost" once no further try is made.
    """

    def __init__(self) -> None:
        self.state: Literal["none", "connecting", "ready", "lost"] = "none"
        self._ready_at = 0.0
        self._tries = 0
        self._reconnect_at: float | None = None
        self._moment_at: float | None = None  # when the sentence "moment" is due

    @property
    def given_up(self) -> bool:
        """Whether the call has to do without a model."""
        return self.state == "lost"

    def connect(self) -> Actions:
        """Connect, in place of the connection that there may be."""
        if self.state == "ready":
            self._tries = 0
        self.state = "connecting"
        self._reconnect_at = None
        return [ConnectAgent()]

    def ready(self, now: float) -> None:
        """The model has confirmed the session."""
        self.state, self._ready_at = "ready", now
        self._moment_at = None

    def failed(self, event: AgentFailed, now: float) -> Actions:
        """The connection is gone, or could not be made: try again, or give up."""
        if self.state == "ready" and now - self._ready_at >= STABLE_S:
            self._tries = 0
        if event.permanent or self._tries == len(RECONNECT_S):
            self.state = "lost"
            return [Note("the model cannot be had, the call goes on without it", event.reason)]
        self.state = "none"
        wait = RECONNECT_S[self._tries]
        self._tries += 1
        self._reconnect_at = now + wait
        note = Note("the model is called again", event.reason)
        return [note] if wait else [note, *self.connect()]

    def give_up(self) -> None:
        """The model is connected, or may yet be, and is of no use."""
        self.state = "lost"

    def caller_waits(self, now: float) -> None:
        """The caller is on the line, and waits for the model if it is not ready."""
        if self.state != "ready" and self._moment_at is None:
            self._moment_at = now + SILENCE_S

    def time_up(self, now: float, *, idle: bool, silent: bool) -> Actions:
        """Do one thing that is due: the next try, the sentence "moment", or a new session in place
        of one that the API is soon going to end.

        ``idle``: nobody speaks, so that a new session disturbs nobody; ``silent``: the caller hears
        nothing, and could.
        """
        if self._reconnect_at is not None and now >= self._reconnect_at:
            return self.connect()
        if silent and self._moment_at is not None and now >= self._moment_at:
            self._moment_at = now + SILENCE_AGAIN_S
            return [PlaySentence("moment")]
        if idle and self.state == "ready" and now >= self._ready_at + MAX_AGE_S:
            return self.connect()
        return []

    def deadline(self, *, idle: bool, silent: bool) -> float | None:
        """When ``time_up`` has something to do."""
        times = [self._reconnect_at, self._moment_at if silent else None]
        if idle and self.state == "ready":
            times.append(self._ready_at + MAX_AGE_S)
        return min((time for time in times if time is not None), default=None)
